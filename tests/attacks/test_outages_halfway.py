"""The store fails at each of a flow's steps in turn, before the step or after it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store.memory import MemoryStore
from tests.world import PASSWORD, Browser, World, world

pytestmark = pytest.mark.promise("faults", store="memory")

NEW = "another good phrase"
VERBS = ("get", "find", "insert", "swap", "take", "delete", "count", "add")
Act = Callable[[World, Browser], Awaitable[httpx2.Response]]


class Failing(MemoryStore):
    """Fails once, at one of its calls."""

    calls = 0
    fails_at = 0
    fails_late = False

    def __getattribute__(self, name: str) -> Any:
        verb = super().__getattribute__(name)
        return self._counted(verb) if name in VERBS else verb

    def begin(self, fails_at: int = 0, *, late: bool = False) -> None:
        self.calls, self.fails_at, self.fails_late = 0, fails_at, late

    def _counted(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            fails = self.calls == self.fails_at
            if fails and not self.fails_late:
                raise StoreUnavailable
            answer = await verb(*args, **more)
            if fails:
                raise StoreUnavailable
            return answer

        return call


async def visit(w: World, browser: Browser) -> httpx2.Response:
    return await browser.get("/members")


async def refresh(w: World, browser: Browser) -> httpx2.Response:
    w.clock.pass_(hours=2)
    return await browser.get("/members")


async def sign_in_again(w: World, browser: Browser) -> httpx2.Response:
    return await browser.sign_in()


async def edit(w: World, browser: Browser) -> httpx2.Response:
    return await browser.api("PATCH", "/profile", {"bio": "Hello"})


async def change_password(w: World, browser: Browser) -> httpx2.Response:
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    return await browser.api("POST", "/change-password", body)


async def end_others(w: World, browser: Browser) -> httpx2.Response:
    return await browser.api("DELETE", "/sessions")


async def story(act: Act, fails_at: int = 0, *, late: bool = False) -> int:
    """What holds wherever the store fails; how many calls the act made."""
    store = Failing()
    async with world(store=store) as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()
            w.clock.pass_(seconds=5)
            store.begin(fails_at, late=late)
            answer = await act(w, browser)
            calls = store.calls
            store.begin()
            assert answer.status_code in (200, 503), answer.text
            assert answer.status_code == 200 or "retry-after" in answer.headers
            assert not any("Max-Age=0" in one for one in answer.headers.get_list("set-cookie"))
            w.clock.pass_(hours=2)
            assert (await browser.get("/members")).status_code == 200
            assert "SessionReused" not in w.ear.names()
            if act is change_password and not await _still(browser, PASSWORD):
                # Listeners hear of every new password, unless the answer to its write was lost.
                told = "PasswordChanged" in w.ear.names()
                assert told or (late and answer.status_code == 503)
    return calls


async def _still(browser: Browser, password: str) -> bool:
    return (await browser.sign_in(password=password)).status_code == 200


@pytest.mark.parametrize("late", [False, True], ids=["before a step", "after a step"])
@pytest.mark.parametrize("act", [visit, refresh, sign_in_again, edit, change_password, end_others])
async def test_no_outage_halfway_signs_anybody_out(act: Act, late: bool) -> None:
    """SECURITY Q-06: nobody is signed out, taken for a thief, or answered with a fault."""
    calls = await story(act)
    for step in range(1, calls + 1):
        await story(act, step, late=late)


async def test_the_old_address_hears_of_a_move_whatever_fails_after_it() -> None:
    """SECURITY V-13: the way back is there before the move is."""
    step, calls = 0, 1
    while step < calls:
        store = Failing()
        async with world(store=store) as w:
            await w.person()
            async with w.browser() as browser:
                await browser.sign_in()
                body = {"newEmail": "new@example.test", "password": PASSWORD}
                await browser.api("POST", "/change-email", body)
                link = [mail for mail in await w.mails() if mail.to == "new@example.test"][-1]
                found = re.search(r"token=([\w-]+)", link.text)
                assert found
                w.clock.pass_(seconds=5)
                store.begin(step)
                await browser.api("POST", "/change-email/verify", {"token": found[1]})
                calls = max(calls, store.calls)
                store.begin()
                moved = (await browser.sign_in("new@example.test")).status_code == 200
                told = any("was changed" in mail.subject for mail in await w.mails())
                assert told == moved
        step += 1
