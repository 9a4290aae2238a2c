"""What the fault tests run: a whole kit, whose process ends where a request says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from motor.motor_asyncio import AsyncIOMotorClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.events import Event, SessionReused, SessionRolledBack
from authkit_asgi.store import Store
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.urls import store_from_url
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send

VERBS = ("get", "find", "insert", "swap", "take", "delete", "count", "add")
Place = Literal["before", "after", "answer"]


class Doom:
    """Where a request ends the process: around its n-th verb, or before its answer goes out.

    In a header, `die: 3 after`. Whatever reaches that place is done as kill -9 does it.
    """

    def __init__(self, verb: int, place: str) -> None:
        self._verb = verb
        self._place = place
        self._verbs = 0

    def reach(self, place: Place) -> None:
        self._verbs += place == "before"
        if self._place == place and (self._verbs == self._verb or place == "answer"):
            os.kill(os.getpid(), signal.SIGKILL)


_doom: ContextVar[Doom | None] = ContextVar("doom", default=None)


class Mortal:
    """Any store; its verbs are where a process may end."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        verb: Callable[..., Awaitable[Any]] = getattr(self._store, name)
        return self._mortal(verb) if name in VERBS else verb

    def _mortal(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            doom = _doom.get()
            if doom is None:
                return await verb(*args, **more)
            doom.reach("before")
            answer = await verb(*args, **more)
            doom.reach("after")
            return answer

        return call


def doomed(app: ASGIApp) -> ASGIApp:
    """The app, whose requests may say where they end the process."""

    async def with_doom(scope: Scope, receive: Receive, send: Send) -> None:
        said = dict(scope.get("headers", ())).get(b"die", b"").decode()
        if not said:
            await app(scope, receive, send)
            return
        verb, place = said.split()
        doom = Doom(int(verb), place)
        _doom.set(doom)

        async def answer(message: Message) -> None:
            doom.reach("answer")
            await send(message)

        await app(scope, receive, answer)

    return with_doom


class Witness:
    """Writes down what must never be said of an honest browser."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self, event: Event) -> None:
        if isinstance(event, SessionReused | SessionRolledBack):
            with self._path.open("a") as file:
                file.write(f"{type(event).__name__} {event.session_id}\n")


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"name": request.user.display_name, "id": request.user.identity})


def build() -> ASGIApp:
    """A new kit, for a process of its own."""
    settings = Settings()
    by_motor = os.environ.get("FAULTS_DRIVER") == "motor"
    url = settings.database_url
    store = MongoStore(AsyncIOMotorClient(url)) if by_motor else store_from_url(url)
    kit = AuthKit(settings, store=Mortal(store))
    kit.events.listen(Witness(Path(os.environ["FAULTS_EVENTS"])))
    members = Starlette(routes=[Route("/", who), Route("/members", who)])
    return doomed(kit.wrap(members, PathRules(public=["/"])))
