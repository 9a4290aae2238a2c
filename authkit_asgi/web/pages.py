"""The HTML pages as an ASGI app. Server-rendered, usable without JavaScript, under a strict
policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.routing import Route as PathRoute
from starlette.staticfiles import StaticFiles

from authkit_asgi.core.identity import ANONYMOUS
from authkit_asgi.core.paths import safe_next
from authkit_asgi.errors import AuthError, InvalidInput, MethodNotAllowed, NotFound
from authkit_asgi.web.asgi import ASGIApp, Receive, Scope, Send
from authkit_asgi.web.bodies import content_type, parse_form, read_body
from authkit_asgi.web.calls import Desk, Fault, parsed, query_of, refused
from authkit_asgi.web.replies import Answer, redirect
from authkit_asgi.web.routes import Page, Panel, Reply, Route

HERE = Path(__file__).parent
CLIENT = ("authkit_asgi", "client/js")  # authkit.js, for pages of the app
FORM = "application/x-www-form-urlencoded"
TRUE = frozenset(("on", "true", "1", "yes"))

# Nothing inline, nothing from elsewhere, in nobody's frame (SECURITY K-07, F-01, F-03).
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
    )
)

TITLES = {
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    429: "Slow down, please",
    503: "Not available right now",
}

# What a page may say about what was just done: a key travels in the address, never a sentence.
NOTICES = {
    "signed-out": "You are signed out.",
    "check-mail": "We have sent you a mail. Follow the link in it to go on.",
    "verified": "Your e-mail address is confirmed. You can sign in now.",
    "password-set": "Your new password is set. Please sign in with it.",
    "password-changed": "Your password is changed. Your other sessions are over.",
    "saved": "Saved.",
    "session-ended": "That session is over.",
    "sessions-ended": "Those sessions are over.",
    "email-change": "We have sent a link to your new address. Follow it to make the change.",
    "email-changed": "Your e-mail address is changed.",
    "deleted": "Your account is deleted.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One rendering of a page: what was typed, what was wrong with it, and what is to be said."""

    values: Mapping[str, str]
    error: str = ""
    code: str = ""
    fields: Mapping[str, str]
    notice: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cookies: Sequence[str] = ()


def build_pages(
    pages: Iterable[Page],
    panels: Iterable[Panel],
    templates: Iterable[Path],
    desk: Desk,
    home: Callable[[], str],
) -> ASGIApp:
    """`home` gives where a sign-in leads that wanted nothing else: a path of the whole site."""
    pages = list(pages)
    loaders = [FileSystemLoader(folder) for folder in (*templates, HERE / "templates")]
    press = _Press(
        # StrictUndefined: a misspelt name is a fault in a test, not an empty place on a page.
        jinja=Environment(loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined),
        panels=sorted(panels, key=lambda panel: panel.order),
        paths=frozenset(page.path for page in pages),
        desk=desk,
        home=home,
    )
    routes: list[PathRoute | Mount] = [
        PathRoute(page.path, _PageApp(page, press)) for page in pages
    ]
    routes.append(Mount("/assets", _Assets(directory=HERE / "assets", packages=[CLIENT])))
    app = Starlette(routes=routes, exception_handlers={404: _NotFound(press)})
    # Starlette would send `/login/` on to `/login` at whatever host the request names.
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class _Press:
    """Prints pages: what all of them share."""

    jinja: Environment
    panels: Sequence[Panel]
    paths: frozenset[str]
    desk: Desk
    home: Callable[[], str]

    def html(
        self, scope: Scope, page: Page, shown: Shown, data: Mapping[str, Any] | None = None
    ) -> Answer:
        base = scope.get("root_path", "")
        context = {
            **(data or {}),
            "page": page,
            "panels": self.panels,
            "paths": self.paths,
            "base": base,
            "here": base + page.path,
            "app_name": self.desk.settings.app_name,
            "password_min_length": self.desk.settings.password_min_length,
            "who": scope.get("user") or ANONYMOUS,
            "values": shown.values,
            "error": shown.error,
            "code": shown.code,
            "fields": shown.fields,
            "notice": shown.notice,
            "next": safe_next(shown.values.get("next")) or "",
        }
        text = self.jinja.get_template(page.template).render(context)
        return Answer(
            status=shown.status,
            body=text.encode(),
            headers=(*self._headers(page), *shown.headers),
            cookies=shown.cookies,
        )

    def failure(self, scope: Scope, outcome: AuthError | Fault) -> Answer:
        """A page that cannot be shown, in the look of the others."""
        if isinstance(outcome, Fault):
            sentence = f"It has been noted as {outcome.reference}. Please try again in a moment."
            page = Page(path="", template="error.html", title="Something went wrong on our side")
            return self.html(scope, page, Shown(values={}, fields={}, error=sentence, status=500))
        page = Page(path="", template="error.html", title=TITLES.get(outcome.status, "Sorry"))
        return self.html(scope, page, _rejected(outcome, {}))

    def _headers(self, page: Page) -> list[tuple[str, str]]:
        # An address with a mailed token in it is told to nobody (SECURITY K-05).
        referrer = "no-referrer" if page.holds_token else "same-origin"
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", referrer),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ]
        if self.desk.settings.https:
            headers.append(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))
        return headers


class _PageApp:
    """One page: an ASGI app, so that every method comes here."""

    def __init__(self, page: Page, press: _Press) -> None:
        self._page = page
        self._press = press
        self._desk = press.desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome = await refused(self._answer(scope, receive))
        if isinstance(outcome, AuthError | Fault):
            outcome = self._press.failure(scope, outcome)
        await outcome(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] in ("GET", "HEAD"):
            return await self._show(scope, _asked(scope))
        if scope["method"] == "POST" and self._page.submit is not None:
            return await self._submit(self._page.submit, scope, receive)
        raise MethodNotAllowed("GET, HEAD" + (", POST" if self._page.submit else ""))

    async def _submit(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        await self._desk.demand_own_site(scope)
        form: dict[str, str] = {}
        if route.body is not None:
            if content_type(scope["headers"]) != FORM:
                raise InvalidInput("Send the form as a browser does.")
            form = parse_form(await read_body(scope, receive))
        try:
            body = parsed(route.body, _typed(route.body, form))
            reply = await self._desk.run(route, await self._desk.call(scope, body))
        except AuthError as error:
            return await self._show(scope, _rejected(error, form))
        return self._onward(scope, reply, form)

    def _onward(self, scope: Scope, reply: Reply, form: Mapping[str, str]) -> Answer:
        wanted = safe_next(form.get("next")) if self._page.follows_next else None
        base = scope.get("root_path", "")
        root = base.rpartition(self._desk.settings.pages_path)[0]  # of the whole site
        then = base + self._page.then if self._page.then else root + self._press.home()
        target = wanted or then
        notice = f"?notice={quote(self._page.done)}" if self._page.done and not wanted else ""
        return redirect(target + notice, cookies=reply.cookies)

    async def _show(self, scope: Scope, shown: Shown) -> Answer:
        call = await self._desk.call(scope)
        data = await self._desk.show(self._page, call)
        return self._press.html(scope, self._page, shown, data)


class _Assets(StaticFiles):
    """Files that a browser asks about each time, and gets when they have changed (by ETag): left to
    guess, it would run the script of an older version against a newer API."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        response = super().file_response(*args, **more)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class _NotFound:
    """Starlette asks this when no page matches."""

    def __init__(self, press: _Press) -> None:
        self._press = press

    async def __call__(self, request: Request, error: Exception) -> Any:
        return self._press.failure(request.scope, NotFound())


def _asked(scope: Scope) -> Shown:
    query = query_of(scope)
    return Shown(values=query, fields={}, notice=NOTICES.get(query.get("notice", ""), ""))


def _rejected(error: AuthError, form: Mapping[str, str]) -> Shown:
    fields = error.details.get("fields")
    return Shown(
        # What is secret is never sent back, not even to the one who typed it.
        values={name: value for name, value in form.items() if "assword" not in name},
        error=str(error),
        code=error.code,
        fields=dict(fields) if isinstance(fields, Mapping) else {},
        status=error.status,
        headers=tuple(error.headers.items()),
        cookies=error.cookies,
    )


def _typed(model: type[BaseModel] | None, form: Mapping[str, str]) -> dict[str, Any]:
    """A form's strings as the model's types: a ticked box is true, one that was not ticked is
    absent."""
    if model is None:
        return {}
    typed: dict[str, Any] = dict(form)
    for name, field in model.model_fields.items():
        key = field.alias or name
        if field.annotation is bool:
            typed[key] = form.get(key, "") in TRUE
    return typed
