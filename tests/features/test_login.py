"""Signing in, signing out, refreshing: what an attacker would try, and what must not show."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.core.times import iso
from authkit_asgi.errors import Busy
from authkit_asgi.hashing import WAITING_PER_THREAD, Hashing
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import (
    WatchedStore,
    at_once,
    can_sign_in,
    code_of,
    post,
    seen,
    signed_in,
    user_of,
    works,
)
from tests.world import PASSWORD, World, world

NOBODYS = "nobody@example.test"


async def change_row(town: World, email: str, **changes: Any) -> None:
    user = await user_of(town, email)
    assert await town.kit.store.swap(USERS, user.id, expect={}, change=changes)


async def five_who_may_not(town: World) -> list[tuple[str, str]]:
    """Pairs of address and password that open nothing, each for another reason."""
    for name in ("ada", "bob", "cleo"):
        await town.person(name)
    await town.register("dora")
    await change_row(town, "bob@example.test", disabled_at=town.clock())
    await change_row(town, "cleo@example.test", password_hash=None)
    return [
        (NOBODYS, PASSWORD),
        ("ada@example.test", "wrong horse battery"),
        ("bob@example.test", PASSWORD),
        ("cleo@example.test", PASSWORD),
        ("dora@example.test", "wrong horse battery"),
    ]


async def test_a_failed_sign_in_never_says_why() -> None:
    """E-01: unknown, wrong, disabled, passwordless, unverified and wrong: byte for byte alike."""
    async with world() as town:
        answers = []
        for email, password in await five_who_may_not(town):
            async with town.browser() as browser:
                answers.append(await browser.sign_in(email, password))
        assert code_of(answers[0]) == (401, "bad_credentials")
        assert all(seen(answer) == seen(answers[0]) for answer in answers)
        assert "set-cookie" not in answers[0].headers


class CountedPasswords(Passwords):
    """The real thing; keeps what it was asked to do. One `verify` is one hash, whatever is stored:
    tests/core/test_passwords.py proves it."""

    work: list[str]

    @classmethod
    def into(cls, town: World) -> CountedPasswords:
        counted = cls(rounds=4, min_length=8)
        counted.work = []
        town.kit.services.hashing._passwords = counted
        return counted

    def hash(self, password: str) -> str:
        self.work.append("hash")
        return super().hash(password)

    def verify(self, password: str, stored: str | None) -> bool:
        self.work.append("verify")
        return super().verify(password, stored)


async def test_every_sign_in_costs_one_hash() -> None:
    """E-02."""
    async with world() as town:
        pairs = [*await five_who_may_not(town), ("ada@example.test", PASSWORD)]
        passwords = CountedPasswords.into(town)
        for email, password in pairs:
            async with town.browser() as browser:
                await browser.sign_in(email, password)
            assert passwords.work == ["verify"], email
            passwords.work.clear()


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("x" * 129, id="129 characters"),
        pytest.param("é" * 37, id="74 bytes"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("x" * 1025, id="too long to look at"),
        pytest.param("", id="empty"),
    ],
)
async def test_an_odd_password_never_tells_who_has_an_account(password: str) -> None:
    """E-09, W-14."""
    async with world() as town:
        await town.person("ada")
        answers = []
        for email in ("ada@example.test", NOBODYS):
            async with town.browser() as browser:
                answers.append(await browser.sign_in(email, password))
        assert seen(answers[0]) == seen(answers[1])
        assert answers[0].status_code in (400, 401)


async def test_only_a_right_password_learns_that_the_address_is_not_confirmed() -> None:
    async with world() as town:
        await town.register("ada")
        async with town.browser() as browser:
            answer = await browser.sign_in()
        assert code_of(answer) == (403, "email_not_verified")
        assert "set-cookie" not in answer.headers


async def test_an_address_is_one_account_however_it_is_typed() -> None:
    """N-09."""
    async with world() as town:
        await town.person("ada")
        for email in ("ADA@EXAMPLE.TEST", " ada@example.test ", "ada@EXAMPLE.test"):
            assert await can_sign_in(town, PASSWORD, email), email
        for email in ("\u0430da@example.test", "ada@example.test.", "ada@example.test\u200b"):
            assert not await can_sign_in(town, PASSWORD, email), email


async def test_no_session_of_before_is_adopted() -> None:
    """S-01: each sign-in has a session of its own, and the one it replaces is over."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as copy:
            copy.take_tokens(browser.tokens())
            first = browser.tokens()
            await browser.sign_in()
            assert browser.tokens()["refreshToken"] != first["refreshToken"]
            assert await works(town, browser)
            assert not await works(town, copy)


async def test_cookies_that_a_client_made_up_are_not_adopted() -> None:
    """S-01."""
    async with world() as town:
        await town.person("ada")
        async with town.browser() as browser:
            browser.take_tokens({"token": "chosen", "refreshToken": "chosen"})
            answer = await browser.sign_in()
            assert answer.status_code == 200
            assert "chosen" not in str(answer.headers.get_list("set-cookie"))
            assert await works(town, browser)


async def test_a_sign_out_ends_the_session_for_every_copy_of_its_tokens() -> None:
    """S-10."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as thief:
            thief.take_tokens(browser.tokens())
            answer = await browser.api("POST", "/logout", {})
            assert answer.status_code == 200
            assert not browser.tokens()
            assert code_of(await thief.api("POST", "/token", {})) == (401, "not_signed_in")
            assert not await works(town, thief)
        assert town.ear.names().count("SignedOut") == 1


async def test_a_sign_out_needs_no_living_access_token_and_may_come_twice() -> None:
    """S-10."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as copy:
            copy.take_tokens(browser.tokens())
            town.clock.pass_(hours=2)
            first = await browser.api("POST", "/logout", {})
            again = await browser.api("POST", "/logout", {})
            assert seen(first) == seen(again)
            assert first.status_code == 200
            assert code_of(await copy.api("POST", "/token", {})) == (401, "not_signed_in")
        assert town.ear.names().count("SignedOut") == 1


async def test_a_sign_out_ends_the_sessions_of_both_tokens() -> None:
    """A browser with tokens of two sessions acts by the access token: that one must end too."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as one, signed_in(town) as other, town.browser() as mixed:
            tokens = {**one.tokens(), "refreshToken": other.tokens()["refreshToken"]}
            mixed.take_tokens(tokens)
            await mixed.api("POST", "/logout", {})
            assert not await works(town, one)
            assert not await works(town, other)


async def test_a_sign_out_says_so_when_it_could_not_be_written() -> None:
    """S-10, Q-06: a cookie is not cleared for a session that goes on."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            store.unplug_after(0)
            answer = await browser.api("POST", "/logout", {})
            store.plug_in()
            assert code_of(answer) == (503, "unavailable")
            assert "set-cookie" not in answer.headers
            assert "retry-after" in answer.headers
            assert await works(town, browser)


async def test_an_exchange_gives_new_tokens_and_says_until_when() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            town.clock.pass_(hours=2)
            answer = await browser.api("POST", "/token", {})
            expected = iso(town.clock() + 3600)
            assert answer.json()["data"] == {"accessTokenExpiresAt": expected}
            assert await works(town, browser)


async def test_an_access_token_exchanges_nothing() -> None:
    """S-14."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as swapped:
            tokens = browser.tokens()
            swapped.take_tokens({"token": tokens["refreshToken"], "refreshToken": tokens["token"]})
            assert code_of(await swapped.api("POST", "/token", {})) == (401, "not_signed_in")
            assert not await works(town, swapped)


@pytest.mark.parametrize("remember", [False, True], ids=["a week", "a month"])
async def test_a_session_has_an_end_that_no_exchange_moves(remember: bool) -> None:
    """S-09, S-16."""
    async with world(session_max_age=10 * 86400.0, refresh_token_lifetime=7 * 86400.0) as town:
        await town.person("ada")
        async with signed_in(town, remember=remember) as browser:
            for _ in range(9):
                town.clock.pass_(hours=24)
                assert (await browser.api("POST", "/token", {})).status_code == 200
            town.clock.pass_(hours=23.5)
            answer = await browser.api("POST", "/token", {})
            end = iso(town.clock() + 1800)
            assert answer.json()["data"]["accessTokenExpiresAt"] == end
            town.clock.pass_(hours=0.5)
            last = await browser.api("POST", "/token", {})
            assert code_of(last) == (401, "not_signed_in")
            assert all("Max-Age=0" in cookie for cookie in last.headers.get_list("set-cookie"))


@pytest.mark.parametrize(("remember", "days"), [(False, 7), (True, 30)])
async def test_a_session_that_nobody_uses_ends(remember: bool, days: int) -> None:
    """S-09."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town, remember=remember) as browser:
            town.clock.pass_(hours=24 * days, seconds=-1)
            assert (await browser.api("POST", "/token", {})).status_code == 200
            town.clock.pass_(hours=24 * days)
            assert (await browser.api("POST", "/token", {})).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"disabled_at": 1.0}, id="disabled"),
        pytest.param({"deleted_at": 1.0}, id="deleted"),
        pytest.param({"epoch": 1}, id="epoch raised"),
        pytest.param({"is_verified": False}, id="no longer verified"),
    ],
)
async def test_an_exchange_looks_at_the_account_again(change: dict[str, Any]) -> None:
    """S-12, S-15."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await change_row(town, "ada@example.test", **change)
            answer = await browser.api("POST", "/token", {})
            assert code_of(answer) == (401, "not_signed_in")
            assert not browser.tokens()


async def test_new_tokens_carry_what_the_account_says_now() -> None:
    """S-12, S-15."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await change_row(town, "ada@example.test", is_admin=True)
            await browser.api("POST", "/token", {})
            who = await browser.get("/members")
            assert who.json()["scopes"] == ["authenticated", "verified", "admin"]


async def test_an_outage_during_an_exchange_uses_nothing_up() -> None:
    """S-05: whichever call it is that fails."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            for calls in range(3):
                store.unplug_after(calls)
                answer = await browser.api("POST", "/token", {})
                store.plug_in()
                assert code_of(answer) == (503, "unavailable")
                assert "set-cookie" not in answer.headers
                assert (await browser.api("POST", "/token", {})).status_code == 200


async def test_a_hash_from_elsewhere_is_made_new_at_the_next_sign_in() -> None:
    """W-09."""
    async with world() as town:
        await town.person("ada")
        old = Passwords(rounds=5, min_length=8).hash(PASSWORD)
        await change_row(town, "ada@example.test", password_hash=old)
        assert await can_sign_in(town, PASSWORD)
        kept = (await user_of(town)).password_hash
        assert kept is not None
        assert "r=4$" in kept
        assert await can_sign_in(town, PASSWORD)


async def test_more_hashes_than_wait_in_line_are_refused_at_once() -> None:
    """W-10."""
    hashing = Hashing(Passwords(rounds=10, min_length=8), threads=1)
    refused: list[float] = []
    done: list[bool] = []

    async def one() -> None:
        started = anyio.current_time()
        try:
            done.append(await hashing.verify("a password", None))
        except Busy:
            refused.append(anyio.current_time() - started)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    hashing.close()
    assert len(done) == 1 + WAITING_PER_THREAD
    assert len(refused) == 100 - len(done)
    assert max(refused) < 0.1


async def test_whoever_hangs_up_leaves_no_place_in_line_to_the_next() -> None:
    """W-10: the work of a cancelled request is still in the queue, so its place is taken."""
    hashing = Hashing(Passwords(rounds=12, min_length=8), threads=1)
    for _ in range(1 + WAITING_PER_THREAD):
        with anyio.move_on_after(0):
            await hashing.verify("a password", None)
    with pytest.raises(Busy):
        await hashing.verify("a password", None)
    hashing.close()


async def test_a_full_line_answers_503_and_touches_no_cookie() -> None:
    """W-10."""
    names = iter(range(60))
    async with world() as town:
        town.kit.services.accounts._hashing = Hashing(Passwords(rounds=8, min_length=8), threads=1)
        answers = await at_once(
            60,
            lambda: post(
                town, "/login", {"email": f"n{next(names)}@example.test", "password": PASSWORD}
            ),
        )
        town.kit.services.accounts._hashing.close()
    codes = [code_of(answer) for answer in answers]
    assert codes.count((401, "bad_credentials")) >= 1 + WAITING_PER_THREAD
    assert codes.count((503, "unavailable")) >= 1
    assert all("set-cookie" not in answer.headers for answer in answers)
