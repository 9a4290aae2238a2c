"""From an ASGI request to a `Call`, and from whatever a handler raises to an answer."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from authkit_asgi.core.fields import sentence_of
from authkit_asgi.core.identity import Identity
from authkit_asgi.core.origin import is_own_site
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import AuthError, CrossSite, InvalidInput, NotSignedIn
from authkit_asgi.events import CrossSiteRefused, Events
from authkit_asgi.patience import Patience
from authkit_asgi.settings import Settings
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.cookies import CookieJar, read_cookies
from authkit_asgi.web.requests import PATIENCE, site_of, visitor_in
from authkit_asgi.web.routes import Call, Page, Reply, Route

logger = logging.getLogger("authkit_asgi.web")

Check = Callable[[Route, Call[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Takes requests for handlers: what the JSON API and the pages have in common."""

    settings: Settings
    events: Events
    jar: CookieJar
    checks: Sequence[Check]
    clock: Callable[[], float]
    start: Callable[[], Awaitable[None]]

    async def call(self, scope: Scope, body: Any = None) -> Call[Any]:
        names = (self.jar.access_name.encode(), self.jar.refresh_name.encode())
        access_token, refresh_token = read_cookies(scope["headers"], names)
        who = scope.get("user")
        return Call(
            body=body,
            now=self.clock(),
            visitor=visitor_in(scope, self.settings),
            caller=who if isinstance(who, Identity) else None,
            params=scope.get("path_params", {}),
            query=query_of(scope),
            access_token=access_token,
            refresh_token=refresh_token,
            # Of this request, whoever waited for the store before: the guard, or a form's handler.
            patience=scope.setdefault(PATIENCE, Patience()),
        )

    async def demand_own_site(self, scope: Scope) -> None:
        """Every unsafe method of account routes, with or without cookies: signing someone in to a
        stranger's account is an attack too (SECURITY X-01, X-04). Raises `CrossSite`."""
        site = site_of(scope, self.settings, has_cookie=True)
        if not is_own_site(scope["method"], **site):
            visitor = visitor_in(scope, self.settings)
            await self.events.tell(CrossSiteRefused(at=self.clock(), visitor=visitor))
            raise CrossSite

    def demand_access(self, access: Access, call: Call[Any]) -> None:
        """What is mounted where no guard or rule knows of it is closed all the same (SECURITY
        P-22). Raises `NotSignedIn`."""
        if access is Access.PROTECTED and call.caller is None:
            raise NotSignedIn

    async def run(self, route: Route, call: Call[Any]) -> Reply:
        self.demand_access(route.access, call)
        return await call.patience.counted(self._run(route, call))

    async def show(self, page: Page, call: Call[Any]) -> Mapping[str, Any]:
        """What the page's template shows."""
        self.demand_access(page.access, call)
        return await call.patience.counted(self._data(page, call))

    async def _run(self, route: Route, call: Call[Any]) -> Reply:
        await self.start()
        for check in self.checks:
            await check(route, call)
        return await route.handler(call)

    async def _data(self, page: Page, call: Call[Any]) -> Mapping[str, Any]:
        await self.start()
        return await page.data(call)


def query_of(scope: Scope) -> dict[str, str]:
    """The query's parameters. One that comes twice is left out: nobody can say which was meant
    (N-15)."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    try:
        pairs = parse_qsl(
            scope.get("query_string", b"").decode("ascii"),
            keep_blank_values=True,
            max_num_fields=50,
        )
    except ValueError:
        return {}
    for name, value in pairs:
        if name in found:
            twice.add(name)
        found[name] = value
    return {name: value for name, value in found.items() if name not in twice}


def parsed(model: type[BaseModel] | None, fields: Mapping[str, object]) -> BaseModel | None:
    """The fields as the route's own type. Raises `InvalidInput` with a sentence for each field."""
    if model is None:
        return None
    try:
        return model.model_validate(fields, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise InvalidInput(
            fields={".".join(map(str, one["loc"])) or "body": sentence_of(one) for one in problems}
        ) from None


async def refused(work: Awaitable[Any]) -> Any:
    """The work's result, or the `AuthError` that it raised, or a `Fault` that was logged."""
    try:
        return await work
    except AuthError as error:
        return error
    except Exception:
        fault = Fault(secrets.token_hex(6))
        logger.exception("A fault of ours, reference %s", fault.reference)
        return fault


@dataclass(frozen=True, slots=True)
class Fault:
    reference: str
