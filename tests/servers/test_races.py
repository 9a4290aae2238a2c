"""Four worker processes on one database: one rotation of a hundred requests, and nothing alive
after the end, whoever was a moment quicker."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from authkit_asgi.accounts import User
from authkit_asgi.core.rotation import Session
from tests.servers.groups import Answer, Ask, Crowd, Group, claims_in, refresh, visit
from tests.world import PASSWORD

pytestmark = [pytest.mark.servers, pytest.mark.promise("rotation")]

TOGETHER = 100
ROUNDS = 50
TRIALS = 200
BOUND = 1.0 + 0.5  # seconds: one poll interval, and some for a busy machine
WAYS: dict[str, Callable[[int], bool]] = {
    "by route": lambda number: True,
    "by middleware": lambda number: False,
    # In blocks of four, so that each worker is asked in both ways.
    "mixed": lambda number: number // 4 % 2 == 0,
}


@pytest.fixture(scope="module")
def crowd(workers: Group) -> Iterator[Crowd]:
    crowd = Crowd(workers.ports, TOGETHER)
    yield crowd
    crowd.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_requests_with_one_expired_token_make_one_rotation(
    workers: Group, crowd: Crowd, way: str, record_figures: Callable[[str], None]
) -> None:
    """SECURITY S-02, S-03: 100 signed-in answers, each with the new cookies, and 0 reuse."""
    user = workers.do(workers.person)
    before = workers.told()
    took = []
    for session, cookies in workers.do(lambda: workers.many(ROUNDS, opened_by(workers, user))):
        assert claims_in(cookies["token"])["exp"] < time.time()
        asks = [(refresh if WAYS[way](n) else visit)(cookies) for n in range(TOGETHER)]
        began = time.monotonic()
        answers = crowd.ask(asks)
        took.append(time.monotonic() - began)
        assert Counter(answer.status for answer in answers) == {200: TOGETHER}
        for answer in answers:
            assert answer.cookies.keys() == {"token", "refreshToken"}
            for token in answer.cookies.values():
                claims = claims_in(token)
                assert (claims["sid"], claims["gen"]) == (session.id, 1)
        row = workers.do(lambda: workers.row(session))  # noqa: B023
        assert (row.generation, row.closed_at) == (1, None)
        # Whichever answer a browser happens to keep will do, with every worker.
        kept = [random.choice(answers).cookies for _ in workers.ports]
        again = crowd.ask([visit({"token": one["token"]}) for one in kept])
        assert [answer.status for answer in again] == [200] * len(kept)
    told = workers.told() - before
    assert told["SessionRefreshed"] == ROUNDS
    assert not told.keys() & {"SessionReused", "SessionRolledBack"}
    record_figures(
        f"{ROUNDS} rounds of {TOGETHER} {way}: {told['SessionRefreshed']} rotations, "
        f"{ROUNDS * TOGETHER} signed in with the new cookies, {told['SessionReused']} reuse; "
        f"a round takes {1000 * statistics.median(took):.0f} ms"
    )


def opened_by(
    workers: Group, user: User
) -> Callable[[], Awaitable[tuple[Session, dict[str, str]]]]:
    """Sessions whose access token has run out."""
    return lambda: workers.opened(user, hours_ago=2)


def two_sessions(
    workers: Group,
) -> Callable[[], Awaitable[tuple[User, Session, dict[str, str], dict[str, str]]]]:
    """Somebody's own, and one of whoever else knows the password."""

    async def make() -> tuple[User, Session, dict[str, str], dict[str, str]]:
        user = await workers.person()
        mine, cookies = await workers.opened(user)
        _, theirs = await workers.opened(user, hours_ago=2)
        return user, mine, cookies, theirs

    return make


def raced(
    workers: Group, ending: Ask, other: Ask, dice: random.Random, within: float
) -> tuple[Answer, Answer]:
    """The two by different workers, a random moment apart, either of them first."""
    one, two = (workers.line(worker) for worker in dice.sample(range(len(workers.ports)), 2))
    first, second = (one, ending.raw()), (two, other.raw())
    if dice.random() < 0.5:
        first, second = second, first
    first[0].send(first[1])
    time.sleep(dice.uniform(0, within))
    second[0].send(second[1])
    return one.answer(), two.answer()


def tokens_in(answer: Answer) -> list[dict[str, str]]:
    """What a browser could go on with."""
    cookies = {name: value for name, value in answer.cookies.items() if value}
    return [cookies] if cookies else []


def assert_dead(workers: Group, crowd: Crowd, tokens: list[dict[str, str]]) -> None:
    """No worker takes any of them, in any of the ways."""
    time.sleep(BOUND)
    access = [visit({"token": one["token"]}) for one in tokens]
    # Three workers know it by reading alone; it makes no difference whom one asks.
    statuses = {
        answer.status for answer in crowd.ask_all([ask for ask in access for _ in range(4)])
    }
    assert statuses == {401}
    for ask in (refresh, visit):
        assert {answer.status for answer in crowd.ask_all([ask(one) for one in tokens])} == {401}


def test_a_logout_against_a_refresh_leaves_nothing_alive(
    workers: Group, crowd: Crowd, record_figures: Callable[[str], None]
) -> None:
    """SECURITY S-10."""
    dice, seed = seeded()
    user = workers.do(workers.person)
    left: list[dict[str, str]] = []
    refreshed = 0
    opened = workers.do(lambda: workers.many(TRIALS, opened_by(workers, user)))
    for number, (_, cookies) in enumerate(opened):
        other = (refresh if number % 2 else visit)(cookies)
        logout = Ask("POST", "/api/users/logout", cookies, {})
        out, answer = raced(workers, logout, other, dice, 0.006)
        assert out.status == 200, seed
        assert answer.status in (200, 401), seed
        refreshed += answer.status == 200
        left += [cookies, *tokens_in(answer)]
    assert_dead(workers, crowd, left)
    assert workers.do(lambda: workers.living(user)) == []
    assert workers.told()["SessionReused"] == 0
    record_figures(
        f"{TRIALS} logouts against a refresh: {refreshed} refreshes were quicker, "
        f"0 of {len(left)} pairs of tokens alive after ({seed})"
    )


def test_a_new_password_against_a_refresh_leaves_nothing_else_alive(
    workers: Group, crowd: Crowd, record_figures: Callable[[str], None]
) -> None:
    """SECURITY S-11: whoever had the old password is out, and who changed it goes on."""
    dice, seed = seeded()
    left: list[dict[str, str]] = []
    owners: list[dict[str, str]] = []
    sessions: list[tuple[User, Session]] = []
    refreshed = 0
    for number, (user, mine, cookies, theirs) in enumerate(
        workers.do(lambda: workers.many(TRIALS, two_sessions(workers)))
    ):
        change = Ask(
            "POST",
            "/api/users/change-password",
            cookies,
            {"currentPassword": PASSWORD, "newPassword": "violet harbour 1815"},
        )
        other = (refresh if number % 2 else visit)(theirs)
        changed, answer = raced(workers, change, other, dice, 0.025)
        assert changed.status == 200, (changed.body, seed)
        assert answer.status in (200, 401), seed
        refreshed += answer.status == 200
        left += [theirs, *tokens_in(answer)]
        owners.append({**cookies, **changed.cookies})
        sessions.append((user, mine))
    assert_dead(workers, crowd, left)
    for user, mine in sessions[:: TRIALS // 20]:
        fresh = workers.do(lambda: workers.living(user))  # noqa: B023
        assert [one.id for one in fresh] == [mine.id], seed
    alive = crowd.ask_all([visit({"token": one["token"]}) for one in owners])
    assert Counter(answer.status for answer in alive) == {200: TRIALS}
    # A few at once: each is a write, and the point is not how many a small database bears.
    on = crowd.ask_all([refresh(one) for one in owners], at_once=len(workers.ports))
    assert Counter(answer.status for answer in on) == {200: TRIALS}
    assert workers.told()["SessionReused"] == 0
    record_figures(
        f"{TRIALS} new passwords against a refresh: {refreshed} refreshes were quicker, "
        f"0 of {len(left)} pairs of tokens alive after, {TRIALS} owners go on ({seed})"
    )


def seeded() -> tuple[random.Random, str]:
    seed = random.randrange(2**32)
    return random.Random(seed), f"seed {seed}"
