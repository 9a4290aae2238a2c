"""Proving a mailbox: one link, one use, one account, one address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.kit import default_features
from authkit_asgi.links import LINKS
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.features.stories import (
    WatchedStore,
    at_once,
    can_sign_in,
    code_of,
    post,
    seen,
    user_of,
)
from tests.world import PASSWORD, world

NO_TOKENS: list[Any] = [
    "",
    "A" * 5000,
    None,
    0,
    True,
    [],
    ["x"],
    {},
    {"$gt": ""},
    {"$ne": None},
    "' OR 1=1 --",
    "../../etc/passwd",
    "\0",
]


@asynccontextmanager
async def store_of(kind: str, folder: Path) -> AsyncIterator[Store]:
    yield MemoryStore() if kind == "memory" else SqliteStore(folder / "rows.db")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_a_hundred_uses_of_one_link_one_counts(kind: str, tmp_path: Path) -> None:
    """V-04: without the limits, which would let sixty of them through."""
    features = [feature for feature in default_features() if feature.name != "limits"]
    async with store_of(kind, tmp_path) as store, world(store=store, features=features) as town:
        await town.register("ada")
        token = await town.mailed_token()
        answers = await at_once(100, lambda: post(town, "/user-verify", {"token": token}))
        codes = [code_of(answer) for answer in answers]
        assert codes.count((200, "")) == 1
        assert codes.count((400, "link_invalid")) == 99
        assert town.ear.names().count("EmailVerified") == 1


async def test_whatever_is_wrong_with_a_link_the_answer_is_one() -> None:
    """V-05, V-10: unknown, used, over, voided, malformed, missing."""
    async with world() as town:
        await town.register("ada")
        voided = await town.mailed_token()
        await post(town, "/user-verify/sent", {"email": "ada@example.test"})
        over = await town.mailed_token()
        answers = [
            await post(town, "/user-verify", {"token": token})
            for token in ["x", "A" * 43, *NO_TOKENS]
        ]
        answers.append(await post(town, "/user-verify", {}))
        answers.append(await post(town, "/user-verify", {"token": voided}))
        town.clock.pass_(minutes=10)
        answers.append(await post(town, "/user-verify", {"token": over}))
        await post(town, "/user-verify/sent", {"email": "ada@example.test"})
        used = await town.mailed_token()
        assert (await post(town, "/user-verify", {"token": used})).status_code == 200
        answers.append(await post(town, "/user-verify", {"token": used}))
        assert code_of(answers[0]) == (400, "link_invalid")
        assert all(seen(answer) == seen(answers[0]) for answer in answers)


async def test_what_cannot_be_a_token_touches_no_row() -> None:
    """N-01, N-02, V-10: of the verbs only the limit's counter is asked."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        for token in NO_TOKENS:
            await post(town, "/user-verify", {"token": token})
        assert set(store.verbs) == {"add"}


async def test_the_store_holds_nothing_that_a_thief_could_mail_to_us() -> None:
    """V-01, V-02."""
    async with world() as town:
        await town.register("ada")
        token = await town.mailed_token()
        [link] = await town.kit.store.find(LINKS, {})
        assert token not in repr(link)
        assert len(token) >= 22
        assert code_of(await post(town, "/user-verify", {"token": link.id}))[0] == 400


async def test_a_new_link_voids_the_one_before() -> None:
    """V-07."""
    async with world() as town:
        await town.register("ada")
        first = await town.mailed_token()
        await post(town, "/user-verify/sent", {"email": "ada@example.test"})
        second = await town.mailed_token()
        assert (await post(town, "/user-verify", {"token": first})).status_code == 400
        assert (await post(town, "/user-verify", {"token": second})).status_code == 200


async def test_a_link_to_verify_resets_nothing_and_moves_nothing() -> None:
    """V-06."""
    async with world() as town:
        await town.register("ada")
        token = await town.mailed_token()
        body = {"token": token, "password": "another staple here"}
        for path in ("/forgot-password/verify", "/change-email/verify", "/change-email/revert"):
            assert code_of(await post(town, path, body)) == (400, "link_invalid")
        assert (await post(town, "/user-verify", {"token": token})).status_code == 200


async def test_a_link_dies_with_the_address_it_was_sent_to() -> None:
    """V-06."""
    async with world() as town:
        await town.register("ada")
        token = await town.mailed_token()
        user = await user_of(town)
        moved = {"email": "eve@example.test", "email_key": "eve@example.test"}
        await town.kit.store.swap(USERS, user.id, expect={}, change=moved)
        assert code_of(await post(town, "/user-verify", {"token": token})) == (400, "link_invalid")
        assert not (await user_of(town, "eve@example.test")).is_verified


async def test_asking_for_a_link_never_tells_who_has_an_account() -> None:
    """E-03, V-12: known, confirmed and unknown alike; after the same calls to the store."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        await town.register("bob")
        answers, work = [], []
        for email in ("ada@example.test", "bob@example.test", "nobody@example.test"):
            store.asked.clear()
            answers.append(await post(town, "/user-verify/sent", {"email": email}))
            work.append(store.verbs)
        assert all(seen(answer) == seen(answers[0]) for answer in answers)
        assert work[0] == work[1] == work[2]


async def test_a_mail_goes_to_the_address_of_the_account_and_to_no_other() -> None:
    """V-12: never to what was typed."""
    async with world() as town:
        await town.register("ada", email="Ada@Example.Test")
        await post(town, "/user-verify/sent", {"email": "ADA@example.test"})
        assert [mail.to for mail in await town.mails()] == ["Ada@example.test"] * 2
        for several in (["ada@example.test", "eve@example.test"], "ada@example.test,eve@x.test"):
            answer = await post(town, "/user-verify/sent", {"email": several})
            assert code_of(answer) == (400, "invalid_input")
        assert len(await town.mails()) == 2


async def test_each_mail_has_a_key_of_its_own_that_holds_no_token() -> None:
    """V-18, V-19."""
    async with world() as town:
        await town.register("ada")
        token = await town.mailed_token()
        answer = await post(town, "/user-verify/sent", {"email": "ada@example.test"})
        first, second = await town.mails()
        assert first.key != second.key
        assert first.key.startswith("verify-email/")
        assert token not in first.key
        assert token not in answer.text


async def test_links_point_to_us_whatever_the_request_says() -> None:
    """R-04, V-17."""
    async with world() as town:
        await town.register("ada")
        more = {"headers": {"host": "evil.test", "x-forwarded-host": "evil.test"}}
        await post(town, "/user-verify/sent", {"email": "ada@example.test"}, **more)
        for mail in await town.mails():
            assert "evil" not in mail.text + mail.html
            assert "http://localhost:8000/user/verify-token?token=" in mail.text
            assert "&type=email" in mail.text


async def test_opening_a_link_uses_nothing_up() -> None:
    """V-09, X-07."""
    async with world() as town:
        await town.register("ada")
        token = await town.mailed_token()
        async with town.browser() as scanner:
            for method in ("GET", "HEAD", "OPTIONS"):
                await scanner.request(method, f"/user/verify-token?token={token}&type=email")
                await scanner.request(method, f"/api/users/user-verify?token={token}")
        assert (await post(town, "/user-verify", {"token": token})).status_code == 200


async def test_an_outage_leaves_the_address_proved_or_not() -> None:
    """S-11, V-04: and the link works until it has worked."""
    for calls in range(8):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.register("ada")
            token = await town.mailed_token()
            store.unplug_after(calls)
            answer = await post(town, "/user-verify", {"token": token})
            store.plug_in()
            assert answer.status_code in (200, 503)
            assert (await user_of(town)).is_verified == (answer.status_code == 200), calls
            again = await post(town, "/user-verify", {"token": token})
            assert again.status_code == (400 if answer.status_code == 200 else 200)
            assert await can_sign_in(town, PASSWORD)


async def test_without_the_demand_for_proof_people_sign_in_at_once() -> None:
    async with world(require_verified_email=False) as town:
        await town.register("ada")
        assert await can_sign_in(town, PASSWORD)
