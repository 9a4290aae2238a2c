"""Making an account: who has one already is told to its owner alone."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import (
    NEW_PASSWORD,
    WatchedStore,
    at_once,
    can_sign_in,
    code_of,
    post,
    seen,
    user_of,
)
from tests.world import PASSWORD, registration, world


async def test_a_new_account_gets_a_mail_and_no_session() -> None:
    async with world() as town:
        answer = await town.register("ada")
        assert answer.status_code == 201
        assert "set-cookie" not in answer.headers
        [mail] = await town.mails()
        assert mail.to == "ada@example.test"
        assert town.ear.names() == ["Registered"]
        assert not (await user_of(town)).is_verified


async def test_a_known_address_is_answered_as_a_new_one_and_its_owner_is_told() -> None:
    """E-03, E-06: and nothing of the account changes."""
    async with world() as town:
        new = await town.register("ada")
        before = await user_of(town)
        known = await town.register("mallory", email="ADA@example.test", password=NEW_PASSWORD)
        assert seen(known) == seen(new)
        assert await user_of(town) == before
        assert await town.kit.store.count(USERS, {}) == 1
        mail = (await town.mails())[-1]
        assert mail.to == "ada@example.test"
        assert "already have an account" in mail.subject
        assert "mallory" not in mail.text.lower()


async def test_a_known_address_costs_as_many_writes_as_a_new_one() -> None:
    """E-03, E-05: a write waits for the disk, so one more or less can be timed."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        writes = []
        for email in ("new@example.test", "ada@example.test"):
            store.asked.clear()
            await post(
                town, "/register", registration("someone", email=email, username=f"x{email[:3]}")
            )
            asked = [verb for verb in store.verbs if verb in ("insert", "delete", "swap")]
            writes.append(asked)
        assert sorted(writes[0]) == sorted(writes[1])


@pytest.mark.parametrize("email", ["bob@example.test", "ada@example.test"], ids=["new", "known"])
async def test_a_taken_username_is_told_whether_the_address_is_known_or_not(email: str) -> None:
    """E-06, N-10."""
    async with world() as town:
        await town.register("ada")
        answer = await town.register("bob", username="ADA", email=email)
        assert code_of(answer) == (409, "username_taken")
        assert list(answer.json()["fields"]) == ["username"]
        assert town.ear.names() == ["Registered"]


async def test_of_many_who_want_one_name_one_gets_it() -> None:
    async with world() as town:
        numbers = iter(range(15))
        answers = await at_once(
            15,
            lambda: town.register("ada", email=f"ada{next(numbers)}@example.test"),
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] + [409] * 14
        assert await town.kit.store.count(USERS, {}) == 1


async def test_of_many_who_register_one_address_one_makes_an_account() -> None:
    """E-06: and all get the same answer."""
    async with world() as town:
        numbers = iter(range(5))
        answers = await at_once(
            5,
            lambda: town.register("ada", username=f"ada{next(numbers)}"),
        )
        assert {answer.status_code for answer in answers} == {201}
        assert await town.kit.store.count(USERS, {}) == 1


@pytest.mark.parametrize(
    "planted",
    [
        {"isAdmin": True},
        {"is_admin": True},
        {"isVerified": True},
        {"is_verified": True},
        {"role": "admin"},
        {"id": "chosen"},
        {"createdAt": "1970-01-01T00:00:00Z"},
        {"created_at": 0},
        {"passwordHash": "x"},
        {"password_hash": "x"},
        {"epoch": 7},
        {"sessions": ["x"]},
        {"email_key": "mallory@example.test"},
        {"__proto__": {"isAdmin": True}},
    ],
    ids=lambda planted: next(iter(planted)),
)
async def test_nobody_makes_more_of_an_account_than_its_fields(planted: dict[str, Any]) -> None:
    """N-04."""
    async with world() as town:
        await town.register("ada", **planted)
        user = await user_of(town)
        assert (user.is_admin, user.is_verified, user.epoch) == (False, False, 0)
        assert user.id != "chosen"
        assert user.created_at == town.clock()
        assert user.email_key == "ada@example.test"
        assert (user.password_hash or "").startswith("$bcrypt-sha256$")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "short12"),
        ("password", "password"),
        ("password", "Lovelace1"),
        ("password", "ada@example.test"),
        ("password", "AuthKit123"),
        ("password", "x" * 129),
        ("username", "admin"),
        ("username", "a@b"),
        ("username", "\u0430dalove"),
        ("email", "ada@example.test\r\nBcc: eve@example.test"),
        ("email", "ada@example.test,eve@example.test"),
        ("email", '"ada"@example.test'),
        ("firstname", "Ada\u202eevil"),
        ("firstname", "A" * 31),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_name_of_its_field(
    field: str, value: str
) -> None:
    """N-08, N-10, N-11, V-17, W-01, W-11, W-18."""
    async with world() as town:
        answer = await town.register("ada", **{field: value})
        assert code_of(answer) == (400, "invalid_input")
        assert list(answer.json()["fields"]) == [field]
        assert await town.mails() == []


async def test_a_long_password_counts_to_its_last_character() -> None:
    """W-02, W-05, W-06."""
    async with world() as town:
        password = " " + "ä long pass phrase " * 6 + "x "
        await town.person("ada", password=password)
        assert await can_sign_in(town, password)
        for other in (password.strip(), password[:-2], password.upper()):
            assert not await can_sign_in(town, other)


async def test_an_outage_leaves_no_account_or_a_whole_one() -> None:
    """S-11, V-04: whichever call fails, registering or asking for the mail again leads on."""
    for calls in range(12):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.register("other")
            store.unplug_after(calls)
            answer = await town.register("ada")
            store.plug_in()
            assert answer.status_code in (201, 503)
            made = await town.kit.services.accounts.by_email("ada@example.test")
            assert (made is not None) == (answer.status_code == 201)
            if made is None:
                await town.register("ada")
            await post(town, "/user-verify/sent", {"email": "ada@example.test"})
            token = await town.mailed_token()
            assert (await post(town, "/user-verify", {"token": token})).status_code == 200
            assert await can_sign_in(town, PASSWORD)
