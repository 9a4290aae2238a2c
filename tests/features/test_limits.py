"""Budgets: how often something may be tried, whoever counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from authkit_asgi.core.passwords import Passwords
from authkit_asgi.events import SignedIn
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.features.stories import (
    NEW_PASSWORD,
    WatchedStore,
    at_once,
    can_sign_in,
    code_of,
    post,
    raw,
    seen,
    signed_in,
    user_of,
)
from tests.world import PASSWORD, World, registration, world

WRONG = {"email": "ada@example.test", "password": "wrong horse battery"}


class CountedPasswords(Passwords):
    verified = 0

    def verify(self, password: str, stored: str | None) -> bool:
        self.verified += 1
        return super().verify(password, stored)


def counted(town: World) -> CountedPasswords:
    passwords = CountedPasswords(rounds=4, min_length=8)
    town.kit.services.hashing._passwords = passwords
    return passwords


@asynccontextmanager
async def store_of(kind: str, folder: Path) -> AsyncIterator[Store]:
    yield MemoryStore() if kind == "memory" else SqliteStore(folder / "rows.db")


async def wrong_guesses(town: World, times: int, email: str = "ada@example.test") -> None:
    for _ in range(times):
        await post(town, "/login", {**WRONG, "email": email})


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_burst_of_guesses_gets_ten_hashes_and_no_more(kind: str, tmp_path: Path) -> None:
    """L-01, L-05: also when all of them arrive at once."""
    async with store_of(kind, tmp_path) as store, world(store=store) as town:
        await town.person("ada")
        passwords = counted(town)
        answers = await at_once(90, lambda: post(town, "/login", WRONG))
        codes = [code_of(answer) for answer in answers]
        assert passwords.verified == 10
        assert codes.count((401, "bad_credentials")) == 10
        assert codes.count((429, "rate_limited")) == 80


async def test_too_many_is_told_in_the_one_shape() -> None:
    """L-09."""
    async with world() as town:
        await wrong_guesses(town, 10)
        answer = await post(town, "/login", WRONG)
    assert code_of(answer) == (429, "rate_limited")
    assert answer.headers["retry-after"].isdigit()
    assert "no-store" in answer.headers["cache-control"]
    assert answer.json()["success"] is False


async def test_a_limit_never_tells_who_has_an_account() -> None:
    """E-07, L-02."""
    async with world() as town:
        await town.person("ada")
        answers = {}
        for email in ("ada@example.test", "nobody@example.test"):
            answers[email] = [
                await post(town, "/login", {**WRONG, "email": email}) for _ in "x" * 12
            ]
        known, unknown = answers.values()
        assert [seen(one) for one in known] == [seen(one) for one in unknown]


async def test_one_account_has_one_budget_however_its_address_is_typed() -> None:
    """L-02."""
    async with world() as town:
        await town.person("ada")
        for email in (
            "ADA@example.test",
            "ada@EXAMPLE.TEST",
            " ada@example.test",
            "Ada@example.test",
        ):
            await wrong_guesses(town, 3, email)
        assert code_of(await post(town, "/login", WRONG)) == (429, "rate_limited")


async def test_another_spelling_of_the_path_is_no_way_around() -> None:
    """L-08."""
    async with world() as town:
        passwords = counted(town)
        for path in (
            "/login/",
            "//login",
            "/LOGIN",
            "/%6cogin",
            "/./login",
            "/x/../login",
            "/login;x",
        ):
            for _ in range(4):
                async with town.browser() as browser:
                    answer = await browser.api("POST", path, WRONG)
                assert answer.status_code in (400, 401, 404, 429), path
        assert passwords.verified <= 10


async def test_a_good_sign_in_clears_the_account_and_not_the_address() -> None:
    """L-06."""
    async with world() as town:
        await town.person("ada")
        for _ in range(12):
            await wrong_guesses(town, 7)
            assert await can_sign_in(town, PASSWORD)
        # 96 calls from one address so far: four are left in this hour.
        await wrong_guesses(town, 4, "bob@example.test")
        assert code_of(await post(town, "/login", WRONG)) == (429, "rate_limited")


async def test_parallel_sign_ins_leave_no_credit_to_guess_with() -> None:
    """L-05, L-06: a counter is cleared, never overdrawn."""
    async with world() as town:
        await town.person("ada")
        await wrong_guesses(town, 9)
        user = await user_of(town)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(town.kit.events.tell, SignedIn(at=town.clock(), user_id=user.id))
        passwords = counted(town)
        await wrong_guesses(town, 20)
        assert passwords.verified == 10


async def test_a_locked_account_opens_again_by_itself() -> None:
    """L-07: a delay, not a ban."""
    async with world() as town:
        await town.person("ada")
        await wrong_guesses(town, 30)
        assert not await can_sign_in(town, PASSWORD)
        town.clock.pass_(minutes=15)
        assert await can_sign_in(town, PASSWORD)


async def test_a_reset_opens_a_locked_account() -> None:
    """L-07: its owner gets in, whoever keeps guessing."""
    async with world() as town:
        await town.person("ada")
        await wrong_guesses(town, 30)
        await post(town, "/forgot-password/sent", {"email": "ada@example.test"})
        token = await town.mailed_token()
        await post(town, "/forgot-password/verify", {"token": token, "password": NEW_PASSWORD})
        assert await can_sign_in(town, NEW_PASSWORD)


async def test_an_address_that_is_locked_out_locks_nobody_else_out() -> None:
    """L-07, V-15: what is refused for its address does not count against an account."""
    async with world() as town:
        await town.person("ada")
        await wrong_guesses(town, 5, "bob@example.test")
        for number in range(95):
            await post(town, "/login", {**WRONG, "email": f"n{number}@example.test"})
        await wrong_guesses(town, 30)
        town.clock.pass_(hours=1)
        assert await can_sign_in(town, PASSWORD)


@pytest.mark.parametrize(
    ("path", "body", "times"),
    [
        pytest.param("/login", WRONG, 10, id="sign in"),
        pytest.param("/register", registration("ada"), 5, id="register"),
        pytest.param("/user-verify/sent", {"email": "ada@example.test"}, 3, id="resend"),
        pytest.param("/forgot-password/sent", {"email": "ada@example.test"}, 3, id="forgot"),
        pytest.param("/user-verify", {"token": "x"}, 60, id="verify"),
        pytest.param("/change-email/verify", {"token": "x"}, 60, id="prove a new address"),
        pytest.param("/change-email/revert", {"token": "x"}, 60, id="take it back"),
        pytest.param(
            "/forgot-password/verify", {"token": "x", "password": PASSWORD}, 60, id="reset"
        ),
    ],
)
async def test_whoever_is_not_signed_in_has_a_budget(
    path: str, body: dict[str, Any], times: int
) -> None:
    """L-01, L-11, V-15."""
    async with world() as town:
        for _ in range(times):
            assert (await post(town, path, body)).status_code != 429
        assert code_of(await post(town, path, body)) == (429, "rate_limited")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/change-password", {"currentPassword": "wrong horse", "newPassword": NEW_PASSWORD}),
        ("/change-email", {"newEmail": "new@example.test", "password": "wrong horse"}),
        ("/delete-account", {"password": "wrong horse"}),
    ],
)
async def test_a_stolen_session_does_not_guess_the_password_for_long(
    path: str, body: dict[str, str]
) -> None:
    """L-01, L-13."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            passwords = counted(town)
            for _ in range(25):
                answer = await browser.api("POST", path, body)
            assert code_of(answer) == (429, "rate_limited")
            assert passwords.verified == 20


async def test_asking_for_mails_never_blocks_signing_in() -> None:
    """V-15."""
    async with world() as town:
        await town.person("ada")
        for _ in range(10):
            await post(town, "/forgot-password/sent", {"email": "ada@example.test"})
            await post(town, "/user-verify/sent", {"email": "ada@example.test"})
        assert await can_sign_in(town, PASSWORD)
        assert sum("Choose a new" in mail.subject for mail in await town.mails()) == 3


async def test_exchanges_have_no_budget_that_a_busy_browser_could_use_up() -> None:
    """L-12."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            tokens = browser.tokens()

            async def ask() -> Any:
                async with town.browser() as tab:
                    tab.take_tokens(tokens)
                    return await tab.api("POST", "/token", {})

            assert {answer.status_code for answer in await at_once(100, ask)} == {200}


async def test_a_made_up_forwarding_header_is_no_new_address() -> None:
    """L-04."""
    async with world() as town:
        for number in range(100):
            body = {**WRONG, "email": f"n{number}@example.test"}
            more = {"headers": {"x-forwarded-for": f"192.0.2.{number}"}}
            assert (await post(town, "/login", body, **more)).status_code == 401
        answer = await post(town, "/login", WRONG, headers={"x-forwarded-for": "192.0.2.200"})
        assert code_of(answer) == (429, "rate_limited")


async def test_what_does_not_parse_is_neither_counted_nor_kept() -> None:
    """A-06, L-09: a password typed as an address is in no counter's name."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await post(town, "/login", **raw('{"email": 1, "password": 2}'))
        assert store.verbs == []
        await post(town, "/login", {"email": "hunter2-typed-here", "password": PASSWORD})
        counters = [args[0] for verb, args, _ in store.asked if verb == "add"]
        assert counters
        assert not any("hunter2" in counter for counter in counters)


async def test_a_store_that_is_down_is_neither_a_free_guess_nor_a_wrong_password() -> None:
    """L-10: no guess is looked at, and the answer says that it is our fault."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        passwords = counted(town)
        store.unplug_after(0)
        with anyio.fail_after(5):
            answer = await post(town, "/login", WRONG)
        assert code_of(answer) == (503, "unavailable")
        assert passwords.verified == 0
