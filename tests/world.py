"""A small world to tell stories in: a real kit, a browser, a mailbox, and a clock that is set.

Real stores, real tokens, no mocks; bcrypt at four rounds, because a story is not about waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.events import Event
from authkit_asgi.features import Feature
from authkit_asgi.kit import default_features
from authkit_asgi.mail import Mail
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.testing import Clock as Clock
from authkit_asgi.testing import Mailbox as Mailbox
from authkit_asgi.testing import quick_settings, token_in
from authkit_asgi.testing.quick import BASE_URL as BASE_URL

settings = quick_settings
PASSWORD = "correct horse battery"
START = 1_800_000_000.0


class CountingStore:
    """Any store, with a list of what was asked of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in ("open", "close"):
            self.calls.append(name)
        return verb


@dataclass
class Ear:
    """Listens to everything."""

    heard: list[Event] = field(default_factory=list)

    async def __call__(self, event: Event) -> None:
        self.heard.append(event)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.heard]


class Browser(httpx2.AsyncClient):
    """A browser of one person: its own cookies, and the headers that browsers send."""

    def __init__(
        self, app: Any, user_agent: str = "Mozilla/5.0 (X11; Linux) Firefox/150.0"
    ) -> None:
        super().__init__(
            transport=httpx2.ASGITransport(app=app),
            base_url=BASE_URL,
            headers={"user-agent": user_agent, "sec-fetch-site": "same-origin"},
        )

    async def api(self, method: str, path: str, json: Any = None, **more: Any) -> httpx2.Response:
        if json is not None:
            more["json"] = json
        return await self.request(method, f"/api/users{path}", **more)

    async def sign_in(
        self, email: str = "ada@example.test", password: str = PASSWORD, *, remember: bool = False
    ) -> httpx2.Response:
        body = {"email": email, "password": password, "rememberMe": remember}
        return await self.api("POST", "/login", body)

    async def navigate(self, path: str) -> httpx2.Response:
        return await self.get(path, headers={"sec-fetch-mode": "navigate", "accept": "text/html"})

    def tokens(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self.cookies.jar}

    def take_tokens(self, tokens: dict[str, str]) -> None:
        self.cookies.clear()
        for name, value in tokens.items():
            self.cookies.set(name, value, domain="localhost.local")


class World:
    """`app` is guarded: `/` is public, everything else is for members."""

    def __init__(self, kit: AuthKit, clock: Clock, mailbox: Mailbox, ear: Ear) -> None:
        self.kit = kit
        self.clock = clock
        self.mailbox = mailbox
        self.ear = ear
        self.app: AuthMiddleware = kit.wrap(members_app(), PathRules(public=["/", "/open/*"]))

    def browser(self, **options: Any) -> Browser:
        return Browser(self.app, **options)

    async def mails(self) -> list[Mail]:
        assert await self.kit.outbox.flush(5)
        return self.mailbox.mails

    async def mailed_token(self) -> str:
        """The token in the link of the newest mail."""
        return token_in((await self.mails())[-1])

    async def register(self, name: str = "ada", **changes: Any) -> httpx2.Response:
        async with self.browser() as browser:
            return await browser.api("POST", "/register", registration(name, **changes))

    async def person(self, name: str = "ada", **changes: Any) -> None:
        """An account whose address is confirmed."""
        assert (await self.register(name, **changes)).status_code == 201
        token = await self.mailed_token()
        async with self.browser() as browser:
            verified = await browser.api("POST", "/user-verify", {"token": token})
        assert verified.status_code == 200, verified.text


def registration(name: str = "ada", **changes: Any) -> dict[str, Any]:
    return {
        "firstname": name.capitalize(),
        "lastname": "Lovelace",
        "username": name,
        "email": f"{name}@example.test",
        "password": PASSWORD,
        **changes,
    }


def members_app() -> Starlette:
    async def who(request: Request) -> JSONResponse:
        user = request.user
        return JSONResponse(
            {
                "id": user.identity,
                "name": user.display_name,
                "signedIn": user.is_authenticated,
                "scopes": list(request.auth.scopes),
                "cookies": dict(request.cookies),
            }
        )

    methods = ["GET", "POST", "OPTIONS"]
    paths = ("/", "/open/page", "/members", "/members/{rest:path}")
    return Starlette(routes=[Route(path, who, methods=methods) for path in paths])


@asynccontextmanager
async def world(
    *,
    store: Store | None = None,
    features: Iterable[Feature] | None = None,
    more: Iterable[Feature] = (),
    **changes: Any,
) -> AsyncIterator[World]:
    """`features` in place of the default ones, or `more` beside them; settings by name."""
    clock, mailbox, ear = Clock(START), Mailbox(), Ear()
    kit = AuthKit(
        settings(**changes),
        store=store or MemoryStore(),
        mailer=mailbox,
        clock=clock,
        features=features if features is not None else [*default_features(), *more],
    )
    kit.events.listen(ear)
    try:
        yield World(kit, clock, mailbox, ear)
    finally:
        await kit.close()
