"""The JSON API as an ASGI app: routes in, one response shape out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route as PathRoute

from authkit_asgi.errors import AuthError, MethodNotAllowed, NotFound, WrongMediaType
from authkit_asgi.web.asgi import ASGIApp, Receive, Scope, Send
from authkit_asgi.web.bodies import content_type, parse_json, read_body
from authkit_asgi.web.calls import Desk, Fault, parsed, refused
from authkit_asgi.web.cors import Cors
from authkit_asgi.web.replies import Answer, fault, good, refusal
from authkit_asgi.web.routes import Reply, Route


def build_api(routes: Iterable[Route], desk: Desk) -> ASGIApp:
    by_path: dict[str, dict[str, Route]] = {}
    for route in routes:
        methods = by_path.setdefault(route.path, {})
        if route.method in methods:
            raise ValueError(f"two features have a route {route.name}")
        methods[route.method] = route
    paths = [PathRoute(path, _Path(methods, desk)) for path, methods in by_path.items()]
    app = Starlette(routes=paths, exception_handlers={404: _not_found})
    # Starlette would send `/login/` on to `/login` at whatever host the request names.
    app.router.redirect_slashes = False
    return app


class _Path:
    """One path: one route a method. An ASGI app, so that every method comes here (SECURITY
    N-16)."""

    def __init__(self, methods: dict[str, Route], desk: Desk) -> None:
        self._methods = methods
        self._desk = desk
        self._cors = Cors(desk.settings.trusted_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._cors:
            if (leave := self._cors.preflight(scope)) is not None:
                return await leave(scope, receive, send)
            send = self._cors.adding(scope, send)
        outcome = await refused(self._answer(scope, receive))
        return await answer_of(outcome)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = self._methods.get(method)
        if route is None:
            raise MethodNotAllowed(", ".join(sorted(self._methods)))
        await self._desk.demand_own_site(scope)
        body = parsed(route.body, await _json(scope, receive)) if route.body else None
        return await self._desk.run(route, await self._desk.call(scope, body))


async def _json(scope: Scope, receive: Receive) -> dict[str, object]:
    if content_type(scope["headers"]) != "application/json":
        raise WrongMediaType
    return parse_json(await read_body(scope, receive))


def answer_of(outcome: Reply | AuthError | Fault) -> Answer:
    if isinstance(outcome, Reply):
        return good(outcome)
    if isinstance(outcome, Fault):
        return fault(outcome.reference)
    return refusal(outcome, cookies=outcome.cookies)


async def _not_found(request: Any, error: Exception) -> Any:
    return refusal(NotFound())
