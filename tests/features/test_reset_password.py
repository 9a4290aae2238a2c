"""A forgotten password: the link, and what it ends."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.kit import default_features
from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.outbox import Outbox
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.features.stories import (
    NEW_PASSWORD,
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
from tests.world import PASSWORD, Mailbox, World, world


async def reset_token(town: World, email: str = "ada@example.test") -> str:
    assert (await post(town, "/forgot-password/sent", {"email": email})).status_code == 200
    return await town.mailed_token()


async def reset(town: World, token: str, password: str = NEW_PASSWORD) -> tuple[int, str]:
    body = {"token": token, "password": password}
    return code_of(await post(town, "/forgot-password/verify", body))


async def test_a_reset_ends_every_session_and_opens_none() -> None:
    """V-11, V-16, S-11."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as one, signed_in(town) as other, town.browser() as fresh:
            body = {"token": await reset_token(town), "password": NEW_PASSWORD}
            answer = await fresh.api("POST", "/forgot-password/verify", body)
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            for browser in (one, other, fresh):
                assert not await works(town, browser)
            for browser in (one, other):
                assert (await browser.api("POST", "/token", {})).status_code == 401
        assert not await can_sign_in(town, PASSWORD)
        assert await can_sign_in(town, NEW_PASSWORD)
        notice = (await town.mails())[-1]
        assert (notice.to, "was changed" in notice.subject) == ("ada@example.test", True)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_many_parallel_resets_by_one_link_one_counts(kind: str, tmp_path: Path) -> None:
    """V-04: and its password is the one that holds."""
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "rows.db")
    features = [feature for feature in default_features() if feature.name != "limits"]
    async with world(store=store, features=features) as town:
        await town.person("ada")
        token = await reset_token(town)
        numbers = iter(range(100))
        won: list[str] = []

        async def ask() -> httpx2.Response:
            password = f"staple number {next(numbers)}"
            body = {"token": token, "password": password}
            answer = await post(town, "/forgot-password/verify", body)
            if answer.status_code == 200:
                won.append(password)
            return answer

        answers = await at_once(100, ask)
        codes = [code_of(answer) for answer in answers]
        assert codes.count((200, "")) == 1
        # A full line of hashes says so; none of those used the link up.
        assert set(codes) <= {(200, ""), (400, "link_invalid"), (503, "unavailable")}
        assert await can_sign_in(town, won[0])


async def test_asking_never_tells_who_has_an_account() -> None:
    """E-03: after as many writes, too."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        answers, work = [], []
        for email in ("ada@example.test", "nobody@example.test"):
            store.asked.clear()
            answers.append(await post(town, "/forgot-password/sent", {"email": email}))
            work.append(store.verbs)
        assert seen(answers[0]) == seen(answers[1])
        assert work[0] == work[1]


class Refusing(Mailbox):
    """A mail server that takes nothing."""

    async def send(self, mail: Mail) -> None:
        raise MailError("no", retryable=False)


async def test_a_broken_mail_server_shows_in_no_answer() -> None:
    """E-04."""
    async with world() as town:
        await town.person("ada")
        town.kit.outbox = Outbox(Refusing())
        known = await post(town, "/forgot-password/sent", {"email": "ada@example.test"})
        unknown = await post(town, "/forgot-password/sent", {"email": "nobody@example.test"})
        assert seen(known) == seen(unknown)


async def test_a_link_is_good_for_its_purpose_and_its_account_alone() -> None:
    """V-06."""
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        token = await reset_token(town)
        for path in ("/user-verify", "/change-email/verify", "/change-email/revert"):
            answer = await post(town, path, {"token": token})
            assert code_of(answer) == (400, "link_invalid")
        more = {"email": "bob@example.test", "userId": (await user_of(town, "bob@example.test")).id}
        body = {"token": token, "password": NEW_PASSWORD, **more}
        assert (await post(town, "/forgot-password/verify", body)).status_code == 200
        assert await can_sign_in(town, NEW_PASSWORD)
        assert await can_sign_in(town, PASSWORD, "bob@example.test")


async def test_a_new_link_voids_the_one_before_and_a_used_one_is_void() -> None:
    """V-04, V-07."""
    async with world() as town:
        await town.person("ada")
        first = await reset_token(town)
        second = await reset_token(town)
        assert await reset(town, first) == (400, "link_invalid")
        assert await reset(town, second) == (200, "")
        assert await reset(town, second, "a third staple") == (400, "link_invalid")
        assert await can_sign_in(town, NEW_PASSWORD)


async def test_a_link_lives_for_ten_minutes() -> None:
    """V-05."""
    async with world() as town:
        await town.person("ada")
        token = await reset_token(town)
        town.clock.pass_(minutes=10)
        assert await reset(town, token) == (400, "link_invalid")
        token = await reset_token(town)
        town.clock.pass_(minutes=10, seconds=-1)
        assert await reset(town, token) == (200, "")


async def test_a_password_that_is_refused_uses_nothing_up() -> None:
    """W-18."""
    async with world() as town:
        await town.person("ada")
        token = await reset_token(town)
        for password in ("short12", "password", "Lovelace1", "x" * 129, ""):
            assert await reset(town, token, password) == (400, "invalid_input")
        assert await reset(town, token) == (200, "")


async def test_whoever_changes_the_password_voids_the_links() -> None:
    """V-08."""
    async with world() as town:
        await town.person("ada")
        token = await reset_token(town)
        async with signed_in(town) as browser:
            body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
            assert (await browser.api("POST", "/change-password", body)).status_code == 200
        assert await reset(town, token, "a third staple") == (400, "link_invalid")


@pytest.mark.parametrize("change", [{"disabled_at": 1.0}, {"deleted_at": 1.0}], ids=str)
async def test_an_account_that_is_closed_has_no_links(change: dict[str, float]) -> None:
    """V-08."""
    async with world() as town:
        await town.person("ada")
        token = await reset_token(town)
        user = await user_of(town)
        await town.kit.store.swap(USERS, user.id, expect={}, change=change)
        assert await reset(town, token) == (400, "link_invalid")
        mails = len(await town.mails())
        await post(town, "/forgot-password/sent", {"email": "ada@example.test"})
        assert len(await town.mails()) == mails


async def test_an_account_made_with_a_strangers_address_falls_to_the_owner_of_the_mailbox() -> None:
    """V-14: password, session and pending change of whoever was first are gone."""
    async with world(require_verified_email=False) as town:
        await town.register("mallory", email="victim@example.test", password="mallory knows this")
        async with town.browser() as mallory:
            await mallory.sign_in("victim@example.test", "mallory knows this")
            moved = {"newEmail": "mallory@example.test", "password": "mallory knows this"}
            assert (await mallory.api("POST", "/change-email", moved)).status_code == 200
            pending = await mailed_to(town, "mallory@example.test")
            await town.register("victim", email="victim@example.test")
            assert await reset(town, await reset_token(town, "victim@example.test")) == (200, "")
            assert not await works(town, mallory)
        assert not await can_sign_in(town, "mallory knows this", "victim@example.test")
        taken = await post(town, "/change-email/verify", {"token": pending})
        assert code_of(taken) == (400, "link_invalid")
        assert (await user_of(town, "victim@example.test")).is_verified


async def mailed_to(town: World, email: str) -> str:
    """The token of the newest mail with one to this address."""
    mails = [mail for mail in await town.mails() if mail.to == email and "token=" in mail.text]
    return mails[-1].text.partition("token=")[2].split()[0].partition("&")[0]


async def test_an_outage_leaves_the_old_password_or_the_new_one() -> None:
    """S-11: with the sessions that belong to it, and never a reset account with old sessions."""
    for calls in range(9):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.person("ada")
            async with signed_in(town) as browser:
                token = await reset_token(town)
                store.unplug_after(calls)
                status, _ = await reset(town, token)
                store.plug_in()
                assert status in (200, 503)
                is_new = status == 200
                assert await works(town, browser) != is_new, calls
                assert await can_sign_in(town, PASSWORD) != is_new
                assert await can_sign_in(town, NEW_PASSWORD) == is_new
                again, _ = await reset(town, token, "a third staple")
                assert (again == 200) != is_new


async def test_the_answer_and_the_store_hold_nothing_of_token_or_password() -> None:
    """V-19, W-16."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        token = await reset_token(town)
        await reset(town, token)
        assert token not in str(store.asked)
        assert NEW_PASSWORD not in str(store.asked)


async def test_an_unknown_address_costs_a_letter_that_nobody_gets() -> None:
    """E-05: without it, the time to write one told known from unknown addresses."""
    async with world() as town:
        await town.person("ada")
        before = len(await town.mails())
        pretended: list[str] = []
        pretend = town.kit.outbox.pretend
        town.kit.outbox.pretend = lambda: pretended.append("a letter") or pretend()  # type: ignore[method-assign, func-returns-value]
        async with town.browser() as browser:
            for path in ("/forgot-password/sent", "/user-verify/sent"):
                body = {"email": "nobody@example.test"}
                assert (await browser.api("POST", path, body)).status_code == 200
        assert len(pretended) == 2
        assert len(await town.mails()) == before
