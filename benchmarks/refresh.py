"""What a refresh costs on each store, and what of that is the store's own.

    .venv/bin/python -m benchmarks.refresh [--rounds 40] [--short] [--json] [--store sqlite]

A whole refresh (token read, three statements, two tokens minted) and the same three statements
alone take turns; so do our rotation and the same UPDATE by SQLAlchemy on aiosqlite, on files of the
same tables, rows and durability. Then a hundred requests at once come with one expired token.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import jwt

from authkit_asgi.accounts import USERS
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.tokens import ACCESS, REFRESH
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import DAY
from authkit_asgi.store import Store
from authkit_asgi.store.patient import PatientStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.store.urls import store_from_url
from benchmarks.environment import go_there
from benchmarks.guard import request
from benchmarks.rows import Row, as_json, as_table, at_most
from tests.house import LAPTOP, House
from tests.store.bulk import BEGAN_AT, fill, session_id
from tests.store.mongod import running
from tests.store.services import postgres, postgres_programs
from tests.world import START, CountingStore, world

STORES = ("memory", "sqlite", "postgresql", "mongodb")
ROWS = 10_000  # sessions in the files where SQLAlchemy is measured beside us
AT_ONCE = 100  # requests with one expired token
WRITERS = 16
SECRET = "benchmark secret, benchmark secret, benchmark"
Durability = Literal["full", "normal"]  # "full", the default, waits for the disk each time
DURABILITIES: tuple[Durability, ...] = ("full", "normal")
Work = Callable[[], Awaitable[object]]


@contextmanager
def database(store: str) -> Iterator[str | None]:
    """The URL of an empty one; None where its server cannot be had."""
    with tempfile.TemporaryDirectory(prefix="authkit-refresh-") as name:
        if store == "memory":
            yield "memory:"
        elif store == "sqlite":
            yield f"sqlite:///{Path(name, 'rows.db')}"
        elif store == "mongodb":
            with running(Path(name)) as server:
                yield f"{server.url}/refresh"
        elif (programs := postgres_programs()) is None:
            yield None
        else:
            with postgres(programs) as url:
                yield url


# --- a whole refresh, and its statements ----------------------------------------------------------


@dataclass
class Chain:
    """One session that is refreshed again and again."""

    house: House
    session: Session
    token: bytes
    now: float = START

    def __post_init__(self) -> None:
        self.sessions = self.house.worker(PatientStore(self.house.store))  # as the kit has it

    async def refresh(self) -> None:
        self.now += 1
        done = await self.sessions.refresh(self.token, visitor=LAPTOP, now=self.now)
        assert done.pair is not None
        self.token = done.pair.refresh.encode()

    async def statements(self) -> None:
        """Exactly what a refresh asks of the store, and nothing else; but for once a day, when it
        moves `purge_at` as well."""
        self.now += 1
        store = self.house.store
        session = await store.get(SESSIONS, self.session.id)
        assert session is not None
        user = await store.get(USERS, session.user_id)
        assert user is not None
        rotated = await store.swap(
            SESSIONS,
            session.id,
            expect={"generation": session.generation, "closed_at": None},
            change={
                "generation": session.generation + 1,
                "confirmed": session.generation,
                "parent": "AbCdEfGhIjKl",
                "rotated_at": self.now,
                "last_seen_at": self.now,
                "idle_expires_at": self.now + 7 * DAY,
                "epoch": user.epoch,
                "user_agent": LAPTOP.user_agent,
                "ip": LAPTOP.ip,
            },
        )
        assert rotated is not None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = store_from_url(url)
    try:
        yield store
    finally:
        await store.close()


async def whole_to_statements(store: Store, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each statement-only turn and of each whole refresh: medians, round by round."""
    house = await House(store).open()
    user = await house.user()
    chains = []
    for _ in range(2):
        session, pair = await house.opened(user)
        chains.append(Chain(house, session, pair.refresh.encode()))
    alone, whole = chains
    return await in_turn(alone.statements, whole.refresh, rounds=rounds, turn=20)


async def in_turn(
    one: Work, other: Work, *, rounds: int, turn: int
) -> tuple[list[float], list[float]]:
    """Each does a few in a row, then the other: both see the same weather, and neither the
    other's leftovers in the processor's caches."""
    medians: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, kept in zip((one, other), medians, strict=True):
            times = []
            for _ in range(turn):
                began = time.perf_counter()
                await work()
                times.append(time.perf_counter() - began)
            if number:  # the first round warms up
                kept.append(statistics.median(times))
    return medians


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


async def writes_of_many(store: Store) -> int:
    """What is written when a hundred requests bring one expired token at once."""
    counting = CountingStore(store)
    async with world(store=counting) as w:
        await w.person("bob")  # beside Ada, who is there already
        async with w.browser() as browser:
            await browser.sign_in("bob@example.test")
            tokens = browser.tokens()
        w.clock.pass_(seconds=3601)
        line = "; ".join(f"{name}={value}" for name, value in tokens.items()).encode()
        counting.calls.clear()
        statuses = await asyncio.gather(*(status(w.app, request(line)) for _ in range(AT_ONCE)))
        assert statuses == [200] * AT_ONCE, statuses
        return sum(call in ("insert", "swap", "take", "delete", "add") for call in counting.calls)


async def status(app: Any, scope: dict[str, Any]) -> int:
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    await app(scope, receive, send)
    return seen[0]


def of_each_store(stores: list[str], rounds: int) -> Iterator[Row]:
    for name in stores:
        print(f"… {name}", file=sys.stderr)
        with database(name) as url:
            if url is None:
                yield Row(f"{name}: a whole refresh", "no server to be had")
                continue
            # SecantusDB, in MongoDB's place, answers a hundred times slower.
            these = max(2, rounds // 4) if name == "mongodb" else rounds

            async def measured(url: str = url, these: int = these) -> tuple[Any, Any, int]:
                async with opened(url) as store:
                    alone, whole = await whole_to_statements(store, these)
                async with opened(url) as store:
                    return alone, whole, await writes_of_many(store)

            alone, whole, writes = asyncio.run(measured())
        medians = [statistics.median(one) * 1e6 for one in (alone, whole)]
        yield Row(
            f"{name}: its statements alone, and a whole refresh",
            f"{medians[0]:.0f}, {medians[1]:.0f} µs",
        )
        yield at_most(f"{name}: a whole refresh, to its statements", ratio(whole, alone), 1.25)
        told = f"{name}: writes, {AT_ONCE} requests at once with one expired token"
        yield Row(told, f"{writes}", "exactly 1", writes == 1)


# --- SQLite, and SQLAlchemy on aiosqlite ----------------------------------------------------------


class Ours:
    def __init__(self, path: Path, durability: Durability) -> None:
        self.store = SqliteStore(path, durability=durability)

    async def open(self) -> None:
        await self.store.open([USERS, SESSIONS])

    async def close(self) -> None:
        await self.store.close()

    async def rotate(self, number: int, generation: int) -> bool:
        expect = {"generation": generation, "closed_at": None}
        change = rotation(generation)
        return (
            await self.store.swap(SESSIONS, session_id(number), expect=expect, change=change)
        ) is not None


class SqlAlchemy:
    """As its documents say: an engine with its own pool, and `begin` around the statement. In WAL
    mode and of one durability, as ours."""

    def __init__(self, path: Path, durability: Durability) -> None:
        import sqlalchemy as sa
        from sqlalchemy.ext.asyncio import create_async_engine

        self._sa = sa
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        self._rows: Any = None

        @sa.event.listens_for(self._engine.sync_engine, "connect")
        def in_wal_mode(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL").close()
            connection.execute(f"PRAGMA synchronous = {durability}").close()

    async def open(self) -> None:
        metadata = self._sa.MetaData()
        async with self._engine.begin() as connection:
            await connection.run_sync(lambda sync: metadata.reflect(sync, only=["sessions"]))
        self._rows = metadata.tables["sessions"]

    async def close(self) -> None:
        await self._engine.dispose()

    async def rotate(self, number: int, generation: int) -> bool:
        rows = self._rows
        statement = (
            self._sa.update(rows)
            .where(
                rows.c.id == session_id(number),
                rows.c.generation == generation,
                rows.c.closed_at.is_(None),
            )
            .values(rotation(generation))
            .returning(rows)
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(statement)).first() is not None


def rotation(generation: int) -> dict[str, Any]:
    now = BEGAN_AT + 3600.0 + generation
    return {
        "generation": generation + 1,
        "confirmed": generation,
        "parent": "AbCdEfGhIjKl",
        "rotated_at": now,
        "last_seen_at": now,
        "idle_expires_at": now + 7 * DAY,
        "epoch": 0,
        "user_agent": LAPTOP.user_agent,
        "ip": LAPTOP.ip,
    }


@dataclass
class Rotations:
    """Of sessions one after the other, so that nothing is in any cache but by chance."""

    store: Ours | SqlAlchemy
    number: int = 0
    generations: dict[int, int] = field(default_factory=dict)

    async def next(self) -> float:
        """Seconds."""
        self.number = number = (self.number + 7919) % ROWS
        generation = self.generations.get(number, 0)
        began = time.perf_counter()
        done = await self.store.rotate(number, generation)
        took = time.perf_counter() - began
        assert done
        self.generations[number] = generation + 1
        return took

    async def at_once(self, each: int) -> list[float]:
        async def one() -> list[float]:
            return [await self.next() for _ in range(each)]

        return list(chain.from_iterable(await asyncio.gather(*(one() for _ in range(WRITERS)))))


async def beside_sqlalchemy(rounds: int, durability: Durability) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="authkit-refresh-") as name:
        paths = [Path(name, one) for one in ("ours.db", "theirs.db")]
        for path in paths:
            store = SqliteStore(path)
            await store.open([USERS, SESSIONS])
            await store.close()
            await fill(str(path), users=ROWS // 2, sessions=ROWS)
        both: list[Ours | SqlAlchemy] = [
            Ours(paths[0], durability),
            SqlAlchemy(paths[1], durability),
        ]
        for one in both:
            await one.open()
        try:
            ours, theirs = (Rotations(one) for one in both)
            alone = await in_turn(theirs.next, ours.next, rounds=rounds, turn=20)
            crowd: list[list[float]] = [[], []]
            for _ in range(max(3, rounds // 4)):
                for place, turns in enumerate((theirs, ours)):
                    crowd[place] += await turns.at_once(each=10)
        finally:
            for one in both:
                await one.close()
    medians = [statistics.median(one) * 1e6 for one in alone]
    tails = [statistics.quantiles(one, n=100)[98] * 1e3 for one in crowd]
    disk = "" if durability == "full" else ", not waiting for the disk"
    many = f"{WRITERS} at once"
    return [
        Row(
            f"rotation{disk}: SQLAlchemy on aiosqlite, ours",
            f"{medians[0]:.0f}, {medians[1]:.0f} µs",
        ),
        at_most(f"rotation{disk}: median, to SQLAlchemy's", ratio(alone[1], alone[0]), 1 / 5),
        Row(f"rotation{disk}, {many}: p99", f"{tails[0]:.1f}, {tails[1]:.1f} ms"),
        at_most(f"rotation{disk}, {many}: p99, to SQLAlchemy's", tails[1] / tails[0], 1 / 20),
    ]


# --- tokens ---------------------------------------------------------------------------------------


async def beside_pyjwt(rounds: int) -> list[Row]:
    """Processor time: nothing here waits."""
    house = await House(store_from_url("memory:")).open()
    user = await house.user()
    _, pair = await house.opened(user)
    access, refresh = pair.access, pair.refresh
    claims = [jwt.decode(one, options={"verify_signature": False}) for one in (access, refresh)]
    theirs = jwt.encode(claims[0], SECRET, algorithm="HS256")
    audience, issuer = claims[0]["aud"], claims[0]["iss"]
    raw, now = access.encode(), START + 1

    ours = house.access(pair), house.refresh_claims(pair)

    def our_pair() -> None:
        house.tokens.mint(ACCESS, ours[0])
        house.tokens.mint(REFRESH, ours[1])

    def their_pair() -> None:
        jwt.encode(claims[0], SECRET, algorithm="HS256", headers={"typ": "at+jwt"})
        jwt.encode(claims[1], SECRET, algorithm="HS256", headers={"typ": "rt+jwt"})

    def our_check() -> None:
        assert house.tokens.read(ACCESS, raw, now=now) is not None

    def their_check() -> None:
        jwt.decode(
            theirs,
            SECRET,
            algorithms=["HS256"],
            audience=audience,
            issuer=issuer,
            options={"verify_iat": False, "verify_exp": False},  # the clock of this world is ahead
        )

    minting = cpu_ratio(our_pair, their_pair, rounds)
    checking = cpu_ratio(our_check, their_check, rounds)
    return [
        at_most("minting a pair, to PyJWT's", minting, 1 / 6),
        at_most("checking an access token, to PyJWT's decode", checking, 1 / 8),
    ]


def cpu_ratio(one: Callable[[], None], other: Callable[[], None], rounds: int) -> float:
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for place, work in enumerate((one, other)):
            began = time.process_time()
            for _ in range(200):
                work()
            times[place].append(time.process_time() - began)
    return ratio(times[0], times[1])


# --- the report -----------------------------------------------------------------------------------


async def profile() -> None:
    """Where a whole refresh spends its time, with a store that costs nothing."""
    house = await House(store_from_url("memory:")).open()
    session, pair = await house.opened(await house.user())
    one = Chain(house, session, pair.refresh.encode())
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(3000):
        await one.refresh()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--short", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="show where our time goes")
    parser.add_argument("--no-peers", action="store_true", help="without peers to be installed")
    options = parser.parse_args()
    if not options.no_peers:
        go_there("benchmarks.refresh")
    if options.profile:
        asyncio.run(profile())
        return
    rounds = max(2, options.rounds // 4) if options.short else options.rounds
    rows = list(of_each_store(options.store or list(STORES), rounds))
    if not options.no_peers:
        print("… SQLAlchemy", file=sys.stderr)
        for durability in DURABILITIES:
            rows += asyncio.run(beside_sqlalchemy(rounds, durability))
    rows += asyncio.run(beside_pyjwt(rounds))
    title = "What a refresh costs"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
