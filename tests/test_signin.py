"""Gates and tickets: no way into a session leads around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from authkit_asgi.accounts import USERS, User
from authkit_asgi.errors import AuthError, BadCredentials, ChallengeRequired, Forbidden
from authkit_asgi.events import Visitor
from authkit_asgi.features import Plug, Services
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.signin import MAX_ANSWERS, TICKETS, Attempt, Opened
from authkit_asgi.store import Value
from tests.features.stories import NEW_PASSWORD, code_of, signed_in, user_of
from tests.world import PASSWORD, World, world

VISITOR = Visitor(ip="192.0.2.7", user_agent="Firefox")


@dataclass(frozen=True)
class Door:
    """A gate that asks for what it is named after, until the attempt has proved it."""

    name: str
    asked: list[Attempt] = field(default_factory=list, compare=False)
    needs = ()

    def plug(self, services: Services) -> Plug:
        return Plug(gates=[self.gate])

    async def gate(self, attempt: Attempt) -> str | None:
        self.asked.append(attempt)
        if self.name == "shut":
            raise Forbidden
        return None if self.name in attempt.methods else self.name


@asynccontextmanager
async def a_world_with(*doors: Door) -> AsyncIterator[World]:
    async with world() as plain:
        await plain.person("ada")
        async with world(store=plain.kit.store, more=doors) as town:
            await town.kit.start()
            yield town


async def begin(town: World) -> str:
    """The ticket that a right password gets."""
    with pytest.raises(ChallengeRequired) as challenge:
        await with_password(town)
    return challenge.value.ticket


async def with_password(town: World) -> Opened:
    return await town.kit.services.signin.with_password(
        "ada@example.test", PASSWORD, remember=True, visitor=VISITOR, now=town.clock()
    )


async def answer(town: World, ticket: object, challenge: str, proof: str = "") -> Opened:
    """Answer a challenge: with its own name as `proof`, that is right."""

    async def prove(user: User) -> str:
        if (proof or challenge) != challenge:
            raise BadCredentials
        return challenge

    return await town.kit.services.signin.answer(
        ticket, challenge, prove, visitor=VISITOR, now=town.clock()
    )


async def refusal_of(town: World, ticket: object, challenge: str, proof: str = "") -> str:
    with pytest.raises(AuthError) as refused:
        await answer(town, ticket, challenge, proof)
    return refused.value.code


async def test_a_challenge_is_no_session() -> None:
    """M-01, T-22."""
    async with a_world_with(Door("totp")) as town, town.browser() as browser:
        challenged = await browser.sign_in()
        assert code_of(challenged) == (401, "challenge_required")
        assert "set-cookie" not in challenged.headers
        assert "fields" not in challenged.json()
        assert challenged.json()["data"]["challenge"] == "totp"
        ticket = challenged.json()["data"]["ticket"]
        assert await town.kit.store.count(SESSIONS, {}) == 0
        for tokens in ({"token": ticket}, {"refreshToken": ticket}):
            browser.take_tokens(tokens)
            assert (await browser.api("GET", "/session")).status_code == 401
            assert (await browser.api("POST", "/token", {})).status_code == 401


async def test_the_store_keeps_no_ticket_that_could_be_used() -> None:
    async with a_world_with(Door("totp")) as town:
        ticket = await begin(town)
        [row] = await town.kit.store.find(TICKETS, {})
        assert ticket not in repr(row)
        assert await refusal_of(town, row.id, "totp") == "ticket_invalid"


async def test_gates_are_asked_in_order_and_each_must_be_passed() -> None:
    first, second = Door("totp"), Door("terms")
    async with a_world_with(first, second) as town:
        ticket = await begin(town)
        assert second.asked == []
        with pytest.raises(ChallengeRequired) as challenge:
            await answer(town, ticket, "totp")
        assert challenge.value.challenge == "terms"
        opened = await answer(town, challenge.value.ticket, "terms")
        assert opened.session.methods == ("pwd", "totp", "mfa", "terms", "mfa")
        assert opened.session.remember
        assert town.ear.names() == ["SignInFailed", "SignInFailed", "SignedIn"]


async def test_a_gate_that_refuses_lets_nobody_in() -> None:
    async with a_world_with(Door("totp"), Door("shut")) as town:
        assert await refusal_of(town, await begin(town), "totp") == "forbidden"
        assert await town.kit.store.count(SESSIONS, {}) == 0


async def test_a_ticket_works_once() -> None:
    """T-22: of many right answers at once, one opens a session."""
    async with a_world_with(Door("totp")) as town:
        ticket = await begin(town)
        opened: list[Opened] = []
        refused: list[str] = []

        async def one() -> None:
            try:
                opened.append(await answer(town, ticket, "totp"))
            except AuthError as error:
                refused.append(error.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
        assert (len(opened), set(refused)) == (1, {"ticket_invalid"})
        assert await town.kit.store.count(SESSIONS, {}) == 1


async def test_a_ticket_dies_of_five_wrong_answers() -> None:
    """M-04: also when they come at once."""
    async with a_world_with(Door("totp")) as town:
        ticket = await begin(town)
        codes: list[str] = []

        async def one() -> None:
            codes.append(await refusal_of(town, ticket, "totp", "wrong"))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
        assert codes.count("bad_credentials") == MAX_ANSWERS
        assert await refusal_of(town, ticket, "totp") == "ticket_invalid"


@pytest.mark.parametrize(
    "ticket", ["", "x", "A" * 43, None, 0, ["x"], {"$gt": ""}, b"x", "A" * 300], ids=repr
)
async def test_what_is_no_ticket_is_refused(ticket: object) -> None:
    """N-01, N-02."""
    async with a_world_with(Door("totp")) as town:
        await begin(town)
        assert await refusal_of(town, ticket, "totp") == "ticket_invalid"


async def test_a_ticket_answers_its_own_challenge_alone() -> None:
    async with a_world_with(Door("totp"), Door("terms")) as town:
        ticket = await begin(town)
        assert await refusal_of(town, ticket, "terms") == "ticket_invalid"
        with pytest.raises(ChallengeRequired):
            await answer(town, ticket, "totp")


async def test_a_ticket_lives_for_ten_minutes() -> None:
    """M-01."""
    async with a_world_with(Door("totp")) as town:
        ticket = await begin(town)
        town.clock.pass_(minutes=10)
        assert await refusal_of(town, ticket, "totp") == "ticket_invalid"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"epoch": 1}, id="password changed or reset"),
        pytest.param({"email_key": "new@example.test"}, id="address changed"),
        pytest.param({"disabled_at": 1.0}, id="disabled"),
        pytest.param({"deleted_at": 1.0}, id="deleted"),
    ],
)
async def test_what_happens_to_the_account_voids_its_tickets(change: dict[str, Value]) -> None:
    """V-08."""
    async with a_world_with(Door("totp")) as town:
        ticket = await begin(town)
        user = await user_of(town)
        await town.kit.store.swap(USERS, user.id, expect={}, change=change)
        assert await refusal_of(town, ticket, "totp") == "ticket_invalid"


async def test_a_password_change_voids_a_half_finished_sign_in() -> None:
    """V-08: as it happens, through the API."""
    async with world() as plain:
        await plain.person("ada")
        async with world(store=plain.kit.store, more=[Door("totp")]) as town:
            await town.kit.start()
            async with signed_in(plain) as owner:
                ticket = await begin(town)
                body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
                assert (await owner.api("POST", "/change-password", body)).status_code == 200
            assert await refusal_of(town, ticket, "totp") == "ticket_invalid"


async def test_a_failed_sign_in_names_nobody() -> None:
    """A-06: what was typed as an address may be a password."""
    async with world() as town:
        async with town.browser() as browser:
            await browser.sign_in("hunter2-typed-here", "whatever it is")
        [failed] = town.ear.heard
        assert type(failed).__name__ == "SignInFailed"
        assert "hunter2" not in repr(failed)
        assert failed.user_id == ""
