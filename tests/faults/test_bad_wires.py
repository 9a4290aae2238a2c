"""Whatever a database does between answering and being gone: no page of a member suffers from it.

Workers reach PostgreSQL and MongoDB through a proxy of ours that refuses, keeps answers back, is
five seconds late, or hangs up within an answer. A SQLite file is locked, or cannot grow.
"""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.faults.databases import MONGO, MOTOR, Database, on
from tests.faults.people import NEW_PASSWORD, PASSWORD, Person, Workers, serving
from tests.faults.wire import Trouble, through_a_wire

pytestmark = [pytest.mark.servers, pytest.mark.promise("faults")]

LIMIT = 2.0  # seconds in which every route answers
POLL = 1.0  # seconds after which what is known of ended sessions must be read anew
TRIES = 3  # of which the quickest counts: machines are shared
TROUBLES: tuple[Trouble, ...] = ("gone", "mute", "slow", "cut")
OF_MOTOR: tuple[Trouble, ...] = ("mute", "cut")  # beneath it is the PyMongo that the others try

ACCOUNT_ROUTES: dict[str, Any] = {
    "login": {"email": "nobody@example.test", "password": PASSWORD},
    "register": {
        "firstname": "Bob",
        "lastname": "Byron",
        "username": "somebody_new",
        "email": "new@example.test",
        "password": PASSWORD,
    },
    "forgot-password/sent": {"email": "nobody@example.test"},
    "forgot-password/verify": {"token": "A" * 43, "password": NEW_PASSWORD},
    "user-verify": {"token": "A" * 43},
}


class Neighbours:
    """A member whose access token is good, and one who needs a refresh."""

    def __init__(self, workers: Workers) -> None:
        self.member = Person.new(workers)
        self.late = Person.new(workers)

    async def settle(self) -> None:
        await self.member.settle()
        await self.late.settle()
        assert await self.member.is_signed_in()
        self.late.lose_access_token()

    async def bear(self) -> None:
        """What holds while the database is in trouble, and how soon. All at once: it takes long."""
        await in_time(self.page)
        async with anyio.create_task_group() as asking:
            asking.start_soon(in_time, self.refresh)
            asking.start_soon(in_time, self.refresh_by_the_route)
            for route, body in ACCOUNT_ROUTES.items():
                asking.start_soon(in_time, partial(self.refused, self.late, route, body))
        await anyio.sleep(POLL)  # so that the guard has to wait as well
        change = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
        async with anyio.create_task_group() as asking:
            asking.start_soon(
                in_time, partial(self.refused, self.member, "change-password", change)
            )
            asking.start_soon(in_time, self.page, LIMIT / 2)
        for _ in range(3):
            await self.page()

    async def are_well(self) -> None:
        """By themselves, and each still signed in with what they have."""
        for person in (self.member, self.late):
            assert await person.is_signed_in()
            assert await person.refreshes()
            assert not person.cleared
            assert 401 not in person.statuses
            assert not person.workers.slanders()
        elsewhere = self.member.another_browser()
        assert (await elsewhere.sign_in()).status_code == 200

    async def page(self) -> None:
        answer = await self.member.send("GET", "/members")
        assert answer is not None
        assert answer.status_code == 200

    async def refresh(self) -> None:
        refused(await self.late.send("GET", "/members"))

    async def refresh_by_the_route(self) -> None:
        await self.refused(self.late, "token", {})

    async def refused(self, person: Person, route: str, body: Any) -> None:
        refused(await person.send("POST", f"/api/users/{route}", body))


def refused(answer: httpx2.Response | None) -> None:
    """For now, and with every cookie left alone."""
    assert answer is not None
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "set-cookie" not in answer.headers


async def in_time(ask: Callable[[], Awaitable[None]], limit: float = LIMIT) -> None:
    times: list[float] = []
    while not times or (min(times) >= limit and len(times) < TRIES):
        began = time.monotonic()
        await ask()
        times.append(time.monotonic() - began)
    assert min(times) < limit, times


@pytest.mark.parametrize("kind", on("PostgreSQL", MONGO, MOTOR), indirect=True)
async def test_no_trouble_on_the_wire_signs_anybody_out(database: Database, tmp_path: Path) -> None:
    """SECURITY Q-06, S-05: a good access token goes on, the rest is 503, and then all is well."""
    async with through_a_wire(database) as (wire, there):
        with serving(tmp_path / "workers", there) as workers:
            neighbours = Neighbours(workers)
            await neighbours.settle()
            for trouble in OF_MOTOR if database.name == MOTOR else TROUBLES:
                neighbours.late.lose_access_token()
                await wire.trouble(trouble)
                await neighbours.bear()
                await wire.recover(trouble)
                await neighbours.are_well()


@pytest.mark.parametrize("kind", on("PostgreSQL", MONGO), indirect=True)
async def test_a_worker_that_begins_in_an_outage_lets_members_in(
    database: Database, tmp_path: Path
) -> None:
    """SECURITY Q-06: it has read nothing yet, and its first requests find nobody to ask."""
    async with through_a_wire(database) as (wire, there):
        with serving(tmp_path / "workers", there) as workers:
            neighbours = Neighbours(workers)
            await neighbours.settle()
            await wire.trouble("mute")
            deaths = workers.deaths
            workers.kill_one()
            await workers.has_died(since=deaths)
            await neighbours.member.insist("GET", "/")  # until it listens
            await in_time(neighbours.page)
            await in_time(neighbours.refresh)
            await wire.recover("mute")
            await neighbours.are_well()


@pytest.mark.promise(store="SQLite")
@pytest.mark.parametrize("kind", ["SQLite"], indirect=True)
async def test_a_locked_file_signs_nobody_out(database: Database, tmp_path: Path) -> None:
    """SECURITY Q-05: whatever has to write says so in time; what only reads goes on."""
    with serving(tmp_path / "workers", database) as workers:
        neighbours = Neighbours(workers)
        await neighbours.settle()
        other = sqlite3.connect(tmp_path / "authkit.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await in_time(neighbours.page)
        await in_time(neighbours.refresh)
        await in_time(neighbours.refresh_by_the_route)
        await in_time(lambda: neighbours.refused(neighbours.late, *account_route("register")))
        other.execute("ROLLBACK")
        other.close()
        await neighbours.are_well()
        await nothing_is_left_of(workers, "register")


@pytest.mark.promise(store="SQLite")
@pytest.mark.parametrize("kind", ["SQLite"], indirect=True)
async def test_a_full_disk_signs_nobody_out(database: Database, tmp_path: Path) -> None:
    """SECURITY Q-05: no file of the worker can grow any more, until there is room again."""
    with serving(tmp_path / "workers", database) as workers:
        neighbours = Neighbours(workers)
        await neighbours.settle()
        [worker] = workers.living
        _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, hard))
        await in_time(neighbours.page)
        await in_time(neighbours.refresh)
        await in_time(neighbours.refresh_by_the_route)
        await in_time(lambda: neighbours.refused(neighbours.late, *account_route("register")))
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
        await neighbours.are_well()
        await nothing_is_left_of(workers, "register")


def account_route(name: str) -> tuple[str, Any]:
    return name, ACCOUNT_ROUTES[name]


async def nothing_is_left_of(workers: Workers, route: str) -> None:
    """The refused registration took neither the username nor the address."""
    answer = await Person.new(workers).insist("POST", f"/api/users/{route}", ACCOUNT_ROUTES[route])
    assert answer.status_code == 201, answer.text
