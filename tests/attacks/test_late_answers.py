"""Apps that take their time, and what the browser did meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import Receive, Scope, Send
from tests.house import Breaking
from tests.world import PASSWORD, Browser, World, world

PASSWORDS = {"currentPassword": PASSWORD, "newPassword": "an entirely new battery"}


class Slow:
    """A page that waits until it is let go."""

    def __init__(self, w: World) -> None:
        self.begun, self.go_on = anyio.Event(), anyio.Event()
        self._app, w.app.app = w.app.app, self
        self.answer: httpx2.Response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/open/page" and not self.go_on.is_set():
            self.begun.set()
            await self.go_on.wait()
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def asked_by(self, browser: Browser) -> AsyncIterator[None]:
        """While it works, the browser goes on in other tabs; then the answer arrives there."""
        async with Browser(browser._transport.app) as tab:  # type: ignore[attr-defined]
            tab.take_tokens(browser.tokens())

            async def ask() -> None:
                self.answer = await tab.get("/open/page")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await self.begun.wait()
                yield
                self.go_on.set()
        assert self.answer.status_code == 200
        browser.cookies.update(self.answer.cookies)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/change-password", PASSWORDS, id="a new password"),
        pytest.param("/token", None, id="the next refresh"),
    ],
)
async def test_no_slow_answer_brings_older_tokens_back(path: str, body: Any) -> None:
    """SECURITY S-08: the browser would be a generation behind, and pass for a thief."""
    async with world() as w:
        await w.person()
        slow = Slow(w)
        async with w.browser() as browser:
            await browser.sign_in()
            w.clock.pass_(hours=2)
            async with slow.asked_by(browser):
                for _ in range(2):  # in use: a new password is followed by a new generation
                    assert (await browser.get("/members")).status_code == 200
                w.clock.pass_(seconds=40)
                assert (await browser.api("POST", path, body)).status_code == 200
                assert (await browser.get("/members")).status_code == 200
            assert not slow.answer.headers.get_list("set-cookie")
            for _ in range(3):
                w.clock.pass_(hours=2)
                assert (await browser.get("/members")).status_code == 200
        assert "SessionReused" not in w.ear.names()


@pytest.mark.parametrize("over", [False, True], ids=["refreshed", "over"])
async def test_no_slow_answer_takes_a_new_sign_in_away(over: bool) -> None:
    """What it began with was another session's: tokens of that, or the end of its cookies."""
    async with world() as w:
        await w.person()
        slow = Slow(w)
        async with w.browser() as browser:
            await browser.sign_in()
            w.clock.pass_(days=8 if over else 0, hours=2)
            async with slow.asked_by(browser):
                w.clock.pass_(seconds=40)
                await browser.sign_in()
            assert not slow.answer.headers.get_list("set-cookie")
            assert (await browser.get("/members")).status_code == 200


@pytest.mark.parametrize("is_down", [False, True], ids=["up", "down"])
async def test_a_slow_answer_that_nothing_overtook_brings_its_tokens(is_down: bool) -> None:
    """Also where the store cannot tell: then an answer is as it always was."""
    store = Breaking(MemoryStore())
    async with world(store=store) as w:
        await w.person()
        slow = Slow(w)
        async with w.browser() as browser:
            await browser.sign_in()
            w.clock.pass_(hours=2)
            async with slow.asked_by(browser):
                w.clock.pass_(seconds=40)
                store.before = {"get"} if is_down else set()
            store.before = set()
            assert len(slow.answer.headers.get_list("set-cookie")) == 2
            assert (await browser.get("/members")).status_code == 200
