"""The guard starts and stops with the server, whatever the app around which it stands can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.middleware.knocking import App, ask, visitor
from tests.world import Clock, Mailbox, settings, world


class Rows(MemoryStore):
    """Counts how often it was opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.closed = 0
        self.down = False

    async def open(self, tables: Any) -> None:
        if self.down:
            raise StoreUnavailable
        self.opened += 1
        await super().open(tables)

    async def close(self) -> None:
        self.closed += 1
        await super().close()


class Server:
    """What a server does about a lifespan: start-up, life, shutdown; and what it was told."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.told: list[str] = []
        self.state: dict[str, Any] = {}
        self._news = anyio.Event()

    async def run(self, *, until: str = "lifespan.startup.complete") -> None:
        """Up to shutdown, which is asked for once the app has told `until`."""
        steps = ["lifespan.startup", "lifespan.shutdown"]

        async def receive() -> Message:
            if len(steps) == 1:
                while until not in self.told:
                    await self._news.wait()
            return {"type": steps.pop(0)}

        async def send(message: Message) -> None:
            self.told.append(message["type"])
            self._news.set()
            self._news = anyio.Event()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        await self._app(scope, receive, send)


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def kit_on(store: Any) -> AuthKit:
    return AuthKit(settings(), store=store, mailer=Mailbox(), clock=Clock())


async def speaks(scope: Scope, receive: Receive, send: Send) -> None:
    """A bare app that speaks the protocol."""
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["ready"] = True
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    """As Django does."""
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def raises_after_hearing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise KeyError("path")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    """Looks at http only."""


async def returns_after_hearing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


@pytest.mark.parametrize(
    "app", [speaks, raises, raises_after_hearing, returns, returns_after_hearing]
)
async def test_the_store_opens_and_closes_with_the_server(app: ASGIApp) -> None:
    """SECURITY P-15: and the server hears one answer to each of its questions."""
    rows = Rows()
    server = Server(AuthMiddleware(app, kit=kit_on(rows)))
    await server.run()
    assert server.told == COMPLETE
    assert (rows.opened, rows.closed) == (1, 1)


async def test_the_state_of_the_app_reaches_the_server() -> None:
    server = Server(AuthMiddleware(speaks, kit=kit_on(Rows())))
    await server.run()
    assert server.state == {"ready": True}


async def test_the_store_is_open_before_the_app_starts_and_until_it_has_stopped() -> None:
    rows, seen = Rows(), []

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        seen.append((rows.opened, rows.closed))
        yield
        seen.append((rows.opened, rows.closed))

    server = Server(AuthMiddleware(Starlette(lifespan=lifespan), kit=kit_on(rows)))
    await server.run()
    assert seen == [(1, 0), (1, 0)]
    assert rows.closed == 1


async def test_an_app_that_fails_at_start_up_is_heard() -> None:
    """And what was opened for it is closed again."""

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        raise ZeroDivisionError("no database")
        yield

    rows = Rows()
    server = Server(AuthMiddleware(Starlette(lifespan=lifespan), kit=kit_on(rows)))
    with pytest.raises(ZeroDivisionError):
        await server.run()
    assert server.told == ["lifespan.startup.failed"]
    assert (rows.opened, rows.closed) == (1, 1)


async def test_an_app_that_fails_at_shutdown_is_heard() -> None:
    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        yield
        raise ZeroDivisionError

    rows = Rows()
    server = Server(AuthMiddleware(Starlette(lifespan=lifespan), kit=kit_on(rows)))
    with pytest.raises(ZeroDivisionError):
        await server.run()
    assert server.told == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert rows.closed == 1


async def test_a_store_that_is_down_stops_no_server() -> None:
    """Valid tokens are still good, and the first request that needs the store tries again."""
    rows = Rows()
    rows.down = True
    server = Server(AuthMiddleware(speaks, kit=kit_on(rows)))
    await server.run()
    assert server.told == COMPLETE
    assert rows.opened == 0


async def test_a_server_without_lifespan_needs_none() -> None:
    """As daphne: the first request opens the store."""
    rows = Rows()
    async with world(store=rows) as elsewhere:
        tokens = await visitor(elsewhere)
        rows.opened = 0
        kit = AuthKit(elsewhere.kit.settings, store=rows, mailer=Mailbox(), clock=elsewhere.clock)
        guard = AuthMiddleware(App(), kit=kit, rules=PathRules(public=["/"]))
        assert (await ask(guard, "/")).status == 200
        assert rows.opened == 0  # nobody asked for anybody
        assert (await ask(guard, tokens=tokens)).status == 200
        assert rows.opened == 1
        await kit.close()


async def test_life_may_begin_again_after_a_shutdown(tmp_path: Path) -> None:
    """As with `uvicorn --reload` in one process, or a test suite that starts its app many times."""
    store = SqliteStore.from_url(f"sqlite:///{tmp_path / 'rows.db'}")
    async with world(store=store) as here:
        guard = AuthMiddleware(App(), kit=here.kit)
        for number in range(3):
            await Server(AuthMiddleware(speaks, kit=here.kit)).run()
            tokens = await visitor(here, f"ada{number}")
            assert (await ask(guard, tokens=tokens)).status == 200


async def test_the_kits_own_lifespan_may_stand_inside_the_guard(tmp_path: Path) -> None:
    """Started twice and stopped twice is as good as once."""
    store = SqliteStore.from_url(f"sqlite:///{tmp_path / 'rows.db'}")
    kit = kit_on(store)
    app = Starlette(routes=[Mount("/api/users", kit.api)], lifespan=kit.lifespan)
    server = Server(AuthMiddleware(app, kit=kit))
    await server.run()
    assert server.told == COMPLETE


async def test_two_guards_of_one_kit_may_stand_around_each_other() -> None:
    rows = Rows()
    kit = kit_on(rows)
    server = Server(AuthMiddleware(AuthMiddleware(speaks, kit=kit), kit=kit))
    await server.run()
    assert server.told == COMPLETE
