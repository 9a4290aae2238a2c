"""What the kit promises, on every database: through the services and routes of several workers.

Each worker has its own kit, its own store and its own connections. (Rows in memory have one store:
there the workers share it.)
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest

from authkit_asgi.accounts import USERS, User
from authkit_asgi.core.rotation import Verdict
from authkit_asgi.errors import ChallengeRequired, TicketInvalid
from authkit_asgi.events import NOBODY
from authkit_asgi.features import Plug, Services
from authkit_asgi.sessions import SESSIONS, TokenPair
from authkit_asgi.signin import Attempt
from authkit_asgi.store import Store
from tests.house import House
from tests.store.places import MEMORY, STORES, Place, on
from tests.world import PASSWORD, START, World, registration, world

EVERYWHERE = on(*STORES)
WORKERS = 4


@pytest.fixture
def anyio_backend() -> str:
    """The drivers of two of them know no trio."""
    return "asyncio"


@pytest.fixture
async def stores(place: Place) -> AsyncIterator[list[Store]]:
    """One a worker."""
    async with AsyncExitStack() as stack:
        if place.kind == MEMORY:
            yield [await stack.enter_async_context(place.store())] * WORKERS
        else:
            yield [await stack.enter_async_context(place.store()) for _ in range(WORKERS)]


@pytest.fixture
async def house(stores: list[Store]) -> House:
    for store in stores:
        await store.open([USERS, SESSIONS])
    return House(stores[0])


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """Asks everybody for one more, once."""

    name = "second_factor"
    needs = ()

    def plug(self, services: Services) -> Plug:
        async def gate(attempt: Attempt) -> str | None:
            return None if "otp" in attempt.methods else "second"

        return Plug(gates=(gate,))


@asynccontextmanager
async def towns(stores: list[Store], *more: SecondFactor) -> AsyncIterator[list[World]]:
    """Workers of one installation; ada has an account."""
    keys: dict[str, Any] = {
        name: (secrets.token_hex(32),) for name in ("token_secret", "refresh_token_secret")
    }
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(world(store=store, more=more, **keys))
            for store in stores
        ]
        for town in workers:
            await town.kit.start()
        await workers[0].person("ada")
        yield workers


async def at_once(count: int, call: Callable[[int], Awaitable[object]]) -> Counter[object]:
    """How often which answer came."""
    answers: Counter[object] = Counter()

    async def one(number: int) -> None:
        answers[await call(number)] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return answers


async def posted(town: World, path: str, body: Mapping[str, object]) -> tuple[int, str]:
    async with town.browser() as browser:
        answer = await browser.api("POST", path, body)
        return answer.status_code, answer.json().get("code", "")


BUSY = (503, "unavailable")  # a request has patience for 1.5 seconds, on a slow machine too


def assert_one(answers: Counter[object], won: object, lost: object) -> None:
    assert answers[won] == 1, answers
    assert set(answers) <= {won, lost, BUSY}, answers


# Rotation


@EVERYWHERE
@pytest.mark.promise("rotation")
async def test_a_hundred_refreshes_of_one_token_are_one_rotation(
    house: House, stores: list[Store]
) -> None:
    """S-02: and every answer carries the same generation, so any of them may arrive last."""
    session, pair = await house.opened(await house.user())
    # Each worker joins the refreshes of its own tasks; twenty of them race in the database.
    workers = [house.worker(stores[number % WORKERS]) for number in range(20)]

    async def refresh(number: int) -> int:
        worker = workers[number % len(workers)]
        refreshed = await house.refresh(pair, now=START + 100, worker=worker)
        assert refreshed.pair is not None
        return refreshed.pair.generation

    assert await at_once(100, refresh) == {1: 100}
    row = await house.row(session.id)
    assert (row.generation, row.closed_at) == (1, None)
    rotated = [name for name in house.ear.names() if name == "SessionRefreshed"]
    assert len(rotated) == 1


@EVERYWHERE
@pytest.mark.promise("rotation")
async def test_every_rotation_of_a_long_race_is_won_once(house: House, stores: list[Store]) -> None:
    """Ten generations, each raced for by all workers; nobody is signed out, nobody is a thief."""
    session, pair = await house.opened(await house.user())
    for generation in range(1, 11):
        await at_once(WORKERS, partial(_race, house, stores, pair, START + 60 * generation))
        pair = await house.moved_on(pair, now=START + 60 * generation + 1)
        assert (await house.row(session.id)).generation == generation
    assert set(house.ear.names()) == {"SessionRefreshed"}


async def _race(
    house: House, stores: list[Store], pair: TokenPair, now: float, number: int
) -> Verdict:
    return (await house.refresh(pair, now=now, worker=house.worker(stores[number]))).verdict


@EVERYWHERE
@pytest.mark.promise("rotation")
async def test_a_stolen_token_closes_its_session_once(house: House, stores: list[Store]) -> None:
    """S-04, S-06: of twenty that come with it at once, one closes it and one tells."""
    session, first = await house.opened(await house.user())
    second = await house.moved_on(first, now=START + 100)
    await house.moved_on(second, now=START + 200)

    async def steal(number: int) -> Verdict:
        worker = house.worker(stores[number % WORKERS])
        return (await house.refresh(first, now=START + 300, worker=worker)).verdict

    assert set(await at_once(20, steal)) <= {Verdict.REUSED, Verdict.DEAD}
    row = await house.row(session.id)
    assert (row.closed_at, row.close_reason) == (START + 300, "reused")
    assert house.ear.names().count("SessionReused") == 1


@EVERYWHERE
@pytest.mark.promise("rotation")
async def test_a_logout_counts_on_every_worker(stores: list[Store]) -> None:
    """S-10."""
    async with towns(stores) as workers, workers[0].browser() as browser:
        await browser.sign_in()
        tokens = browser.tokens()

        async def status(town: World) -> int:
            async with town.browser() as other:
                other.take_tokens(tokens)
                return (await other.get("/members")).status_code

        assert [await status(town) for town in workers] == [200] * WORKERS
        assert (await browser.api("POST", "/logout")).status_code == 200
        for town in workers:
            town.clock.pass_(seconds=1.1)
        assert [await status(town) for town in workers] == [401] * WORKERS


# Single use


@EVERYWHERE
@pytest.mark.promise("single use")
async def test_a_reset_link_that_twenty_use_at_once_resets_once(stores: list[Store]) -> None:
    """V-04."""
    async with towns(stores) as workers:
        await posted(workers[0], "/forgot-password/sent", {"email": "ada@example.test"})
        token = await workers[0].mailed_token()

        async def reset(number: int) -> tuple[int, str]:
            body = {"token": token, "password": f"correct staple number {number}"}
            return await posted(workers[number % WORKERS], "/forgot-password/verify", body)

        assert_one(await at_once(20, reset), (200, ""), (400, "link_invalid"))


@EVERYWHERE
@pytest.mark.promise("single use")
async def test_a_ticket_that_twenty_answer_at_once_opens_one_session(stores: list[Store]) -> None:
    """M-04."""
    async with towns(stores, SecondFactor()) as workers:
        now = START + 60
        services = [town.kit.services for town in workers]
        with pytest.raises(ChallengeRequired) as asked:
            await services[0].signin.with_password(
                "ada@example.test", PASSWORD, remember=False, visitor=NOBODY, now=now
            )
        ticket = asked.value.ticket

        async def prove(user: User) -> str:
            return "otp"

        async def answer(number: int) -> str:
            signin = services[number % WORKERS].signin
            try:
                await signin.answer(ticket, "second", prove, visitor=NOBODY, now=now)
            except TicketInvalid:
                return "invalid"
            return "opened"

        assert await at_once(20, answer) == {"opened": 1, "invalid": 19}
        user = await services[0].accounts.by_email("ada@example.test")
        assert user is not None
        assert len(await services[0].sessions.listing(user, now=now)) == 1


@EVERYWHERE
@pytest.mark.promise("single use")
async def test_of_twenty_that_want_one_name_one_gets_it(stores: list[Store]) -> None:
    """Q-01."""
    async with towns(stores) as workers:

        async def register(number: int) -> tuple[int, str]:
            body = registration("eve", email=f"eve{number}@example.test")
            return await posted(workers[number % WORKERS], "/register", body)

        # The limit of an address: ada's registration was the first of twenty.
        assert_one(await at_once(19, register), (201, ""), (409, "username_taken"))
        store = workers[0].kit.store
        assert await store.count(USERS, {"username_key": "eve"}) == 1


@EVERYWHERE
@pytest.mark.promise("single use")
async def test_one_address_gets_one_account_and_nobody_hears_of_it(stores: list[Store]) -> None:
    """Q-01."""
    async with towns(stores) as workers:

        async def register(number: int) -> tuple[int, str]:
            body = registration(f"eve{number}", email="eve@example.test")
            return await posted(workers[number % WORKERS], "/register", body)

        # The limit of the mailbox.
        answers = await at_once(12, register)
        assert 1 <= answers[201, ""] <= 5
        assert set(answers) <= {(201, ""), (429, "rate_limited"), BUSY}
        assert await workers[0].kit.store.count(USERS, {"email_key": "eve@example.test"}) == 1


# Limits


@EVERYWHERE
@pytest.mark.promise("limits")
async def test_a_burst_over_all_workers_has_one_budget(stores: list[Store]) -> None:
    """L-05: of forty guesses at once ten are looked at."""
    async with towns(stores) as workers:

        async def guess(number: int) -> tuple[int, str]:
            body = {"email": "ada@example.test", "password": f"guess number {number}"}
            return await posted(workers[number % WORKERS], "/login", body)

        answers = await at_once(40, guess)
        looked_at, late = answers[401, "bad_credentials"], answers[BUSY]
        assert looked_at <= 10 <= looked_at + late
        assert answers[429, "rate_limited"] == 40 - looked_at - late
        assert await guess(1) == (429, "rate_limited")
        for town in workers:
            town.clock.pass_(minutes=16)
        assert await guess(2) == (401, "bad_credentials")


@EVERYWHERE
@pytest.mark.promise("limits")
async def test_a_good_sign_in_leaves_no_credit_to_guess_with(stores: list[Store]) -> None:
    """L-06: also when two workers clear the counter at once."""
    async with towns(stores) as workers:

        async def sign_in(number: int) -> tuple[int, str]:
            body = {"email": "ada@example.test", "password": PASSWORD}
            return await posted(workers[number % WORKERS], "/login", body)

        assert set(await at_once(8, sign_in)) <= {(200, ""), BUSY}

        async def guess(number: int) -> tuple[int, str]:
            body = {"email": "ada@example.test", "password": f"guess number {number}"}
            return await posted(workers[number % WORKERS], "/login", body)

        answers = await at_once(30, guess)
        assert answers[401, "bad_credentials"] <= 10
