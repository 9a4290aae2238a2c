"""Something happens between a flow's look at a row and its write."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.store import R, Table, Value
from authkit_asgi.store.memory import MemoryStore
from tests.world import PASSWORD, Browser, World, members_app, world

POLL = 1.0


class Trap(MemoryStore):
    """Does `then` just before the first write of this column."""

    column = ""
    then: Callable[[], Awaitable[None]] | None = None

    def set(self, column: str, then: Callable[[], Awaitable[None]]) -> None:
        self.column, self.then = column, then

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        if self.then is not None and change.get(self.column) is not None:
            then, self.then = self.then, None
            await then()
        return await super().swap(table, key, expect=expect, change=change)


async def test_an_account_that_is_confirmed_just_now_is_not_displaced() -> None:
    """SECURITY V-04: an unproved account gives way to a move of another one, a proved one never."""
    store = Trap()
    async with world(store=store) as w:
        await w.person("ada")
        await w.register("bob")
        bobs = await w.mailed_token()
        async with w.browser() as ada, w.browser() as bob:
            await ada.sign_in()
            body = {"newEmail": "bob@example.test", "password": PASSWORD}
            assert (await ada.api("POST", "/change-email", body)).status_code == 200
            moves = [mail for mail in await w.mails() if mail.to == "bob@example.test"][-1]
            found = re.search(r"token=([\w-]+)", moves.text)
            assert found

            async def confirm() -> None:
                assert (await bob.api("POST", "/user-verify", {"token": bobs})).status_code == 200

            store.set("deleted_at", confirm)
            moved = await ada.api("POST", "/change-email/verify", {"token": found[1]})
            assert moved.json()["code"] == "link_invalid"
            assert (await bob.sign_in("bob@example.test")).status_code == 200
            assert (await ada.api("GET", "/profile")).json()["data"]["user"]["email"] == (
                "ada@example.test"
            )


async def test_a_session_that_is_ended_slowly_is_over_in_every_worker() -> None:
    """SECURITY S-10: dated when the request began, it would lie before what others read anew."""
    store = Trap()
    async with world(store=store) as w:
        await w.person("ada")
        other_worker = _Worker(w)
        async with w.browser() as mine, w.browser() as lost:
            await mine.sign_in()
            await lost.sign_in()
            assert await other_worker.status(lost) == 200
            listed = (await mine.api("GET", "/sessions")).json()["data"]["sessions"]
            [theirs] = [one["id"] for one in listed if not one["current"]]
            read = store.get

            async def slowly(table: Table[Any], key: str) -> Any:
                w.clock.pass_(seconds=6)  # three verbs take so long before one gives up
                assert await other_worker.status(lost) == 200  # nothing is written yet
                return await read(table, key)

            store.get = slowly  # type: ignore[method-assign]
            ended = await mine.api("DELETE", f"/sessions/{theirs}")
            store.get = read  # type: ignore[method-assign]
            assert ended.status_code == 200
            w.clock.pass_(seconds=POLL)
            assert await other_worker.status(lost) == 401


class _Worker:
    """Another process beside the world's: its own kit on the same store, clock and secrets."""

    def __init__(self, w: World) -> None:
        kit = AuthKit(w.kit.settings, store=w.kit.store, mailer=w.mailbox, clock=w.clock)
        self.app = kit.wrap(members_app(), PathRules(public=["/"]))

    async def status(self, browser: Browser) -> int:
        async with Browser(self.app) as here:
            access = {name: one for name, one in browser.tokens().items() if name == "token"}
            here.take_tokens(access)
            return (await here.get("/members")).status_code


async def test_a_password_changes_while_another_tab_ends_the_other_sessions() -> None:
    """Both spare this session: who is signed in in it must not be told to sign in."""
    store = Trap()
    async with world(store=store) as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()

            async def end_others() -> None:
                assert (await browser.api("DELETE", "/sessions")).status_code == 200

            store.set("password_hash", end_others)
            body = {"currentPassword": PASSWORD, "newPassword": "another good phrase"}
            assert (await browser.api("POST", "/change-password", body)).status_code == 200
            assert (await browser.sign_in(password="another good phrase")).status_code == 200


async def test_of_two_password_changes_at_once_one_counts() -> None:
    store = Trap()
    async with world(store=store) as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()

            def body(new: str) -> dict[str, str]:
                return {"currentPassword": PASSWORD, "newPassword": new}

            async def first() -> None:
                answer = await browser.api("POST", "/change-password", body("the first phrase"))
                assert answer.status_code == 200

            store.set("password_hash", first)
            second = await browser.api("POST", "/change-password", body("the second phrase"))
            assert second.json()["code"] == "wrong_password"
            assert (await browser.get("/members")).status_code == 200
            assert (await browser.sign_in(password="the first phrase")).status_code == 200
