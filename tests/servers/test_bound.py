"""How long a session lives on after its end, on the worker that hears of it last.

300 revocations of six kinds over four workers: by polling, with Redis, and with Redis cut. Every
worker has just let the token in, and is asked again and again until it does not.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from authkit_asgi.accounts import User
from tests.broadcast.valkey import Valkey, running
from tests.servers.groups import Answer, Ask, Group, group, parsed, refresh, visit
from tests.world import PASSWORD

pytestmark = pytest.mark.servers

REVOCATIONS = 300
POLL = 1.0
POLLING_BOUND = POLL + 0.5
REDIS_BOUND = 1.0
REDIS_MEDIAN = 0.050

Record = Callable[[str], None]
Cookies = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Somebody whose `victim` session is to end; `mine` is the one that ends it."""

    kind: str
    user: User
    mine: Cookies
    victim: Cookies

    @property
    def ending(self) -> Ask:
        return {
            "logout": Ask("POST", "/api/users/logout", self.victim, {}),
            "change password": Ask(
                "POST",
                "/api/users/change-password",
                self.mine,
                {"currentPassword": PASSWORD, "newPassword": "violet harbour 1815"},
            ),
            "logout everywhere": Ask("DELETE", "/api/users/sessions?all=true", self.mine),
            "delete account": Ask(
                "POST", "/api/users/delete-account", self.mine, {"password": PASSWORD}
            ),
            "disable": Ask("POST", f"/disable/{self.user.id}", {}, {}),
            "change role": Ask("POST", f"/promote/{self.user.id}", {}, {}),
        }[self.kind]


KINDS = (
    "logout",
    "change password",
    "logout everywhere",
    "delete account",
    "disable",
    "change role",
)


@dataclass
class Lines:
    """Connections to one worker, held open and handed from one question to the next."""

    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def ask(self, ask: Ask) -> Answer:
        line = self.idle.pop() if self.idle else None
        reader, writer = line or await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(ask.raw())
        answer = await parsed(reader)
        self.idle.append((reader, writer))
        return answer

    def close(self) -> None:
        for _, writer in self.idle:
            writer.transport.abort()


async def cases_of(workers: Group) -> list[Case]:
    cases = []
    for kind in itertools.islice(itertools.cycle(KINDS), REVOCATIONS):
        user = await workers.person()
        (_, mine), (_, victim) = await workers.opened(user), await workers.opened(user)
        cases.append(Case(kind, user, mine, victim))
    return cases


def measured(
    workers: Group, *, at_once: int, pause: Callable[[int], float], spread: float = POLL / 5
) -> list[tuple[Case, float]]:
    """Each case with the seconds from the answer that its session is over until the first request
    that no worker lets in any more.

    `pause`: seconds between two questions, by their number. `spread`: seconds within which the next
    one ends, so that it happens at any point of an interval."""
    cases = workers.do(lambda: cases_of(workers))
    found: list[tuple[Case, float]] = []
    lines = [Lines(port) for port in workers.ports]

    async def gone(line: Lines, ask: Ask, since: float) -> float:
        for number in itertools.count():
            asked = time.monotonic()
            answer = await line.ask(ask)
            if answer.status == 401:
                return asked - since
            assert answer.status == 200
            assert asked - since < 30, "it is never over"
            await asyncio.sleep(pause(number))
        raise AssertionError

    async def end(number: int, case: Case) -> None:
        asking = visit({"token": case.victim["token"]})
        let_in = await asyncio.gather(*(line.ask(asking) for line in lines))
        assert [answer.status for answer in let_in] == [200] * len(lines)
        ended = await lines[number % len(lines)].ask(case.ending)
        assert ended.status == 200, (case.kind, ended.body)
        since = time.monotonic()
        took = await asyncio.gather(*(gone(line, asking, since) for line in lines))
        found.append((case, max(took)))

    async def all_of_them() -> None:
        waiting = iter(enumerate(cases))

        async def one_after_the_other() -> None:
            for number, case in waiting:
                await asyncio.sleep(random.uniform(0, spread))
                await end(number, case)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(one_after_the_other())
        for line in lines:
            line.close()

    asyncio.run(all_of_them())
    return found


def figures(mode: str, found: list[tuple[Case, float]], record: Record) -> tuple[float, float]:
    """The median and the longest, in seconds."""
    assert Counter(case.kind for case, _ in found) == dict.fromkeys(
        KINDS, REVOCATIONS // len(KINDS)
    )
    times = sorted(took for _, took in found)
    middle, p99, longest = statistics.median(times), times[int(len(times) * 0.99)], times[-1]
    record(
        f"revocations, {mode:<10}  n {len(times)}   median {1000 * middle:6.1f} ms   "
        f"p99 {1000 * p99:6.1f} ms   max {1000 * longest:6.1f} ms"
    )
    return middle, longest


def seldom(number: int) -> float:
    return 0.1


def often(number: int) -> float:
    return min(0.002 * 2.0**number, 0.1)


def connected(workers: Group) -> list[bool | None]:
    return [
        workers.ask(number, Ask("GET", "/health", {})).json()["broadcast"]
        for number in range(len(workers.ports))
    ]


def until(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 20
        time.sleep(0.02)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def workers(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    url = f"sqlite:///{tmp_path_factory.mktemp('bound')}/authkit.db"
    with group(url, AUTHKIT_REVOCATION_POLL=str(POLL), AUTHKIT_REDIS_URL=valkey.url) as four:
        yield four


def test_by_polling(tmp_path: Path, record_figures: Record) -> None:
    """SECURITY S-10, S-12."""
    url = f"sqlite:///{tmp_path}/authkit.db"
    with group(url, AUTHKIT_REVOCATION_POLL=str(POLL)) as four:
        assert connected(four) == [None] * 4
        _, longest = figures("polling", measured(four, at_once=60, pause=seldom), record_figures)
        assert longest <= POLLING_BOUND
        age = four.ask(0, Ask("GET", "/health", {})).json()["revocations_age"]
        assert 0 <= age < 20


def test_with_redis(workers: Group, record_figures: Record) -> None:
    """SECURITY S-10, S-12."""
    until(lambda: connected(workers) == [True] * 4)
    found = measured(workers, at_once=3, pause=often, spread=0.05)
    middle, longest = figures("Redis", found, record_figures)
    assert longest <= REDIS_BOUND
    assert middle < REDIS_MEDIAN
    # A changed role ends no session: the next refresh brings what holds now.
    promoted = next(case for case, _ in found if case.kind == "change role")
    answer = workers.ask(1, visit(promoted.victim))
    assert answer.status == 200
    assert "admin" in answer.json()["scopes"]


def test_with_redis_cut(workers: Group, valkey: Valkey, record_figures: Record) -> None:
    """SECURITY S-13: killed, with kill -9. Nobody is signed out by it, and nobody waits."""
    user = workers.do(workers.person)
    _, cookies = workers.do(lambda: workers.opened(user))
    valkey.kill()
    until(lambda: connected(workers) == [False] * 4)
    found = measured(workers, at_once=60, pause=seldom)
    _, longest = figures("Redis cut", found, record_figures)
    assert longest <= POLLING_BOUND
    for number in range(len(workers.ports)):
        assert workers.ask(number, visit(cookies)).status == 200
    began = time.monotonic()
    assert workers.ask(0, Ask("POST", "/api/users/logout", cookies, {})).status == 200
    assert time.monotonic() - began < 0.5
    valkey.start()
    until(lambda: connected(workers) == [True] * 4)
    assert workers.ask(0, refresh(cookies)).status == 401
