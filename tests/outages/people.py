"""Two people in a town where things fail: one has a valid access token, the other's has run out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from authkit_asgi import AuthKit, AuthMiddleware, PathRules
from authkit_asgi.accounts import USERS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.testing import Clock, login_as
from tests.world import PASSWORD, Browser, World, members_app, registration, world

ADA, BOB = "ada@example.test", "bob@example.test"
JUST_MADE = {"SignedIn", "SessionRefreshed", "SignInFailed", "Registered"}


@dataclass
class Town:
    """`ada` is within her hour; `bob` is past his, and has only the refresh token."""

    w: World
    ada: Browser
    bob: Browser

    async def lives_on_without_the_store(self, *, reads: bool = False) -> None:
        """What goes on, what is told to try again, and that no cookie is touched."""
        before = self.ada.tokens(), self.bob.tokens()
        self.w.clock.pass_(seconds=2)  # what the worker knows of ended sessions is old by now
        goes_on = [
            await self.ada.get("/members"),
            await self.ada.navigate("/members"),
            await self.ada.get("/"),
            await self.bob.get("/"),
        ]
        assert [answer.status_code for answer in goes_on] == [200] * 4
        assert goes_on[2].json()["signedIn"]
        assert not goes_on[3].json()["signedIn"]  # a public page, without a name
        later = [
            await self.bob.get("/members"),
            await self.bob.navigate("/members"),
            await self.bob.api("POST", "/token"),
            await self.bob.api("POST", "/logout"),
            await self.ada.api("POST", "/logout"),
            await self.w.browser().api("POST", "/login", {"email": ADA, "password": PASSWORD}),
            await self.w.browser().api("POST", "/register", registration("eve")),
        ]
        if not reads:
            later.append(await self.ada.api("GET", "/profile"))
        assert_told_to_try_again(later)
        assert not any("set-cookie" in answer.headers for answer in goes_on + later)
        assert (self.ada.tokens(), self.bob.tokens()) == before

    async def is_as_if_nothing_had_been(self) -> None:
        """Afterwards: the same tokens work, no session ended, nothing was taken for theft."""
        self.w.clock.pass_(seconds=2)
        for one in (self.ada, self.bob):
            assert (await one.get("/members")).status_code == 200
        sessions = await self.w.kit.store.find(SESSIONS, {})
        assert [session.closed_at for session in sessions] == [None] * len(sessions)
        assert len(sessions) == 2
        assert len(await self.w.kit.store.find(USERS, {})) == 2
        assert set(self.w.ear.names()) <= JUST_MADE


def assert_told_to_try_again(answers: list[httpx2.Response]) -> None:
    assert [answer.status_code for answer in answers] == [503] * len(answers)
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)


@asynccontextmanager
async def town(store: Store, **changes: Any) -> AsyncIterator[Town]:
    async with world(store=store, **changes) as w, w.browser() as ada, w.browser() as bob:
        await login_as(bob, BOB, kit=w.kit, create=True)
        w.clock.pass_(hours=2)
        await login_as(ada, ADA, kit=w.kit, create=True, password=PASSWORD)
        await ada.get("/members")
        yield Town(w, ada, bob)


class OffClock(Clock):
    """A worker's view of the true time."""

    def __init__(self, true: Clock, off: float) -> None:
        super().__init__(true.at)
        self.true = true
        self.off = off

    def __call__(self) -> float:
        return self.true() + self.off


@asynccontextmanager
async def workers(*off: float, **changes: Any) -> AsyncIterator[tuple[World, list[AuthMiddleware]]]:
    """One that is right, and others that are so many seconds off; one store."""
    rows = MemoryStore()
    async with world(store=rows, **changes) as w:
        kits = [
            AuthKit(w.kit.settings, store=rows, mailer=w.mailbox, clock=OffClock(w.clock, seconds))
            for seconds in off
        ]
        apps = [kit.wrap(members_app(), PathRules(public=["/"])) for kit in kits]
        for kit in kits:
            kit.events.listen(w.ear)
        yield w, [w.app, *apps]
        for kit in kits:
            await kit.close()


async def asked(app: AuthMiddleware, tokens: dict[str, str]) -> httpx2.Response:
    async with Browser(app) as browser:
        browser.take_tokens(tokens)
        return await browser.get("/members")
