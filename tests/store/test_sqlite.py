"""What only a file can suffer: other processes, locks, lost directories, full disks, kill -9."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import anyio
import pytest

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Table, Taken, sqlite
from authkit_asgi.store.sqlite import CARRIED, LOCK_WAIT, SqliteStore
from authkit_asgi.testing.store_suite import ADA, BOB, PETS, TABLES, Pet

WORKER = Path(__file__).with_name("worker.py")
ALMOST_TWO_SECONDS = 2.5  # the contract's, and a little for a busy machine
NOBODY = 65534


@pytest.fixture
def anyio_backend() -> str:
    """The suite in test_stores.py runs on trio too; here it is the file that matters."""
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "rows.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    path.parent.mkdir()
    store = SqliteStore(path)
    await store.open(TABLES)
    yield store
    await store.close()


@pytest.fixture
async def hasty(path: Path) -> AsyncIterator[SqliteStore]:
    """One that waits for no disk."""
    path.parent.mkdir()
    store = SqliteStore(path, durability="normal")
    await store.open(TABLES)
    yield store
    await store.close()


# Several processes


@pytest.mark.promise("conformance", store="SQLite")
async def test_swaps_of_four_processes_lose_nothing(store: SqliteStore, path: Path) -> None:
    """Q-02."""
    await store.insert(PETS, Pet(id="shared", age=0))
    assert sum(race("swap", path)) == 100
    assert await store.get(PETS, "shared") == Pet(id="shared", age=100)


@pytest.mark.promise("conformance", store="SQLite")
async def test_of_four_processes_one_takes_each_row(store: SqliteStore, path: Path) -> None:
    """Q-02."""
    for number in range(25):
        await store.insert(PETS, Pet(id=str(number)))
    taken = [id for ids in race("take", path) for id in ids]
    assert sorted(taken, key=int) == [str(number) for number in range(25)]


@pytest.mark.promise("conformance", store="SQLite")
async def test_of_four_processes_one_gets_each_value(store: SqliteStore, path: Path) -> None:
    """Q-01, Q-02."""
    won = [turn for turns in race("insert", path) for turn in turns]
    assert sorted(won) == list(range(25))
    assert await store.count(PETS, {}) == 25


@pytest.mark.promise("conformance", store="SQLite")
async def test_four_processes_lose_no_count(store: SqliteStore, path: Path) -> None:
    """Q-02."""
    counts = [count for counts in race("add", path) for count in counts]
    assert sorted(counts) == list(range(1, 101))


def test_eight_processes_can_make_the_same_tables_at_once(tmp_path: Path) -> None:
    assert race("nothing", tmp_path / "new.db", processes=8) == [0] * 8


async def test_kill_9_loses_no_row_that_was_acknowledged(store: SqliteStore, path: Path) -> None:
    """Q-02, Q-03."""
    with start("write_for_ever", path, 0) as process:
        output = go(process)
        acknowledged = [output.readline().strip() for _ in range(200)]
        process.kill()
        acknowledged += [line.strip() for line in output if line.endswith("\n")]
    rows = {pet.id: pet for pet in await store.find(PETS, {}, limit=1_000_000)}
    assert set(acknowledged) <= set(rows)
    assert all(pet.id.endswith(f"-{pet.age}") for pet in rows.values())
    await store.insert(PETS, ADA)


# Locks


async def test_a_lock_that_stays_is_an_outage_with_nothing_done(
    store: SqliteStore, path: Path
) -> None:
    """Q-05."""
    await store.insert(PETS, BOB)
    with locked(path):
        started = time.monotonic()
        refused = await together(
            lambda: store.insert(PETS, ADA),
            lambda: store.swap(PETS, "bob", expect={}, change={"age": 6}),
            lambda: store.take(PETS, "bob"),
            lambda: store.delete(PETS, {}),
            lambda: store.add("visits", expires_at=60.0, now=0.0),
            lambda: late(1.0, lambda: store.delete(PETS, {})),
        )
        assert await store.find(PETS, {}) == [BOB]  # who reads waits for nobody
    assert [type(answer) for answer in refused] == [StoreUnavailable] * 6
    assert 1.9 < time.monotonic() - started < ALMOST_TWO_SECONDS + 1.0

    assert await store.find(PETS, {}) == [BOB]
    assert await store.take(PETS, "bob") == BOB
    assert await store.add("visits", expires_at=60.0, now=0.0) == 1


async def test_a_short_lock_is_waited_out(store: SqliteStore, path: Path) -> None:
    with locked(path) as release:
        timer = threading.Timer(0.5, release)
        timer.start()
        await store.insert(PETS, ADA)
        timer.join()
    assert await store.get(PETS, "ada") == ADA


# The file


async def test_the_rows_are_for_their_owner_alone(store: SqliteStore, path: Path) -> None:
    await store.insert(PETS, ADA)
    modes = {one.name: oct(one.stat().st_mode & 0o777) for one in path.parent.iterdir()}
    assert modes == dict.fromkeys(["rows.db", "rows.db-wal", "rows.db-shm"], "0o600")


async def test_a_directory_that_vanished_is_an_outage_until_it_is_back(
    store: SqliteStore, path: Path
) -> None:
    await store.insert(PETS, BOB)
    away = path.parent.rename(path.parent.with_name("away"))
    for answer in await every_verb(store):
        assert isinstance(answer, StoreUnavailable)
    path.parent.mkdir()
    for answer in await every_verb(store):
        assert isinstance(answer, StoreUnavailable)  # and no empty database in its place
    assert list(path.parent.iterdir()) == []
    path.parent.rmdir()
    away.rename(path.parent)
    assert await store.find(PETS, {}) == [BOB]
    await store.insert(PETS, ADA)


async def test_a_file_put_in_its_place_is_the_database(store: SqliteStore, path: Path) -> None:
    await store.insert(PETS, BOB)
    backup = SqliteStore(path.with_name("backup.db"))
    await backup.open(TABLES)
    await backup.insert(PETS, ADA)
    await backup.close()
    for name in ("rows.db-wal", "rows.db-shm"):
        path.with_name(name).unlink()
    path.with_name("backup.db").replace(path)
    assert await store.find(PETS, {}) == [ADA]
    await store.insert(PETS, BOB)
    assert await store.count(PETS, {}) == 2


async def test_something_else_in_its_place_is_an_outage(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    path.write_text("not a database" * 1000)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable):
        await store.open(TABLES)
    path.unlink()
    await store.open(TABLES)
    await store.insert(PETS, ADA)
    await store.close()


async def test_a_directory_that_never_was_is_an_outage(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "rows.db")
    with pytest.raises(StoreUnavailable):
        await store.open(TABLES)


async def test_a_read_only_file_is_an_outage_until_it_can_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = SqliteStore(directory / "rows.db")
        await store.open(TABLES)
        await store.insert(PETS, BOB)
        await store.close()
        for one, mode in ((directory / "rows.db", 0o444), (directory, 0o555)):
            one.chmod(mode)
        with without_privileges(), pytest.raises(StoreUnavailable):
            await store.open(TABLES)
        for one, mode in ((directory, 0o755), (directory / "rows.db", 0o644)):
            one.chmod(mode)
        await store.open(TABLES)
        assert await store.swap(PETS, "bob", expect={}, change={"age": 6})
        await store.close()


def test_a_full_disk_is_an_outage_until_there_is_room(tmp_path: Path) -> None:
    """Q-05."""
    [[kept, counted, afterwards]] = race("fill_the_disk", tmp_path / "rows.db", processes=1)
    assert kept > 0
    assert counted == kept
    assert afterwards == kept + 1


def test_a_row_too_large_for_the_disk_takes_no_other_with_it(tmp_path: Path) -> None:
    """Q-05."""
    assert race("crowd_the_disk", tmp_path / "rows.db", processes=1) == [[["small"] * 10, 10]]


# One transaction for many


async def test_a_verb_that_fails_takes_no_other_with_it(store: SqliteStore) -> None:
    await store.insert(PETS, ADA)
    answers = await together(
        lambda: store.insert(PETS, BOB),
        lambda: store.insert(PETS, Pet(id="eve", tag="A")),
        lambda: store.insert(PETS, Pet(id="half a character: \ud83d")),
        lambda: store.insert(PETS, Pet(id="too large", age=2**63)),
        lambda: store.add("visits", expires_at=60.0, now=0.0),
    )
    assert [type(answer) for answer in answers] == [
        type(None),
        Taken,
        UnicodeEncodeError,
        OverflowError,
        int,
    ]
    assert [pet.id for pet in await store.find(PETS, {})] == ["ada", "bob"]


async def test_counters_that_are_over_go_away(store: SqliteStore, path: Path) -> None:
    for number in range(20):
        await store.add(f"address {number}", expires_at=60.0, now=0.0)
    for number in range(10):
        await store.add("another", expires_at=10_000.0, now=1_000.0 + number)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM authkit_counters").fetchall() == [("another",)]


# The log


async def test_what_was_written_is_carried_over_to_the_file(hasty: SqliteStore, path: Path) -> None:
    await hasty.close()  # which carries over too: the tables, here
    await hasty.open(TABLES)
    before = size(path)
    for number in range(CARRIED):
        await hasty.insert(PETS, Pet(id=str(number), name="x" * 100))
    until = time.monotonic() + 10
    while size(path) == before:
        assert time.monotonic() < until
        await anyio.sleep(0.02)


def fails() -> None:
    raise sqlite3.OperationalError("disk I/O error")


def takes_long() -> None:
    time.sleep(0.3)


@pytest.mark.parametrize("work", [fails, takes_long])
async def test_nobody_waits_for_what_is_carried_over(
    hasty: SqliteStore, monkeypatch: pytest.MonkeyPatch, work: Callable[..., object]
) -> None:
    carried = threading.Event()

    def carry_over(connection: sqlite3.Connection) -> None:
        carried.set()
        work()

    monkeypatch.setattr(sqlite, "_carry_over", carry_over)
    await hasty.insert(PETS, Pet(id="shared", age=0))
    slowest = 0.0
    for age in range(CARRIED):
        began = time.monotonic()
        assert await hasty.swap(PETS, "shared", expect={"age": age}, change={"age": age + 1})
        slowest = max(slowest, time.monotonic() - began)
    assert carried.wait(5)
    assert slowest < 0.3


async def test_who_outruns_a_slow_disk_waits_for_it_and_not_for_ever(
    hasty: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_written = threading.Event()
    monkeypatch.setattr(sqlite, "CARRIED", 1)
    monkeypatch.setattr(sqlite, "OUTRUN", 2)
    monkeypatch.setattr(sqlite, "_carry_over", lambda connection: is_written.wait(10))
    took = []
    for number in range(5):
        began = time.monotonic()
        await hasty.insert(PETS, Pet(id=str(number)))
        took.append(time.monotonic() - began)
    assert took[0] < LOCK_WAIT
    assert all(LOCK_WAIT <= one < ALMOST_TWO_SECONDS for one in took[2:])
    is_written.set()
    assert await hasty.count(PETS, {}) == 5


async def test_the_log_stays_within_bounds_while_writers_never_pause(
    hasty: SqliteStore, path: Path
) -> None:
    writers, times, length = 16, 1000, 12_000

    async def write(id: str) -> None:
        await hasty.insert(PETS, Pet(id=id))
        for number in range(times):
            assert await hasty.swap(PETS, id, expect={}, change={"name": str(number % 10) * length})

    async with anyio.create_task_group() as tasks:
        for writer in range(writers):
            tasks.start_soon(write, str(writer))
    assert size(path.with_name("rows.db-wal")) < writers * times * length / 2


# Opening and closing


async def test_a_closed_store_lets_go_and_can_be_opened_again(
    store: SqliteStore, path: Path
) -> None:
    await store.insert(PETS, ADA)
    await store.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("authkit-sqlite")]
    assert [one.name for one in path.parent.iterdir()] == ["rows.db"]
    for answer in await every_verb(store):
        assert isinstance(answer, StoreUnavailable)
    await store.open(TABLES)
    assert await store.get(PETS, "ada") == ADA


async def test_what_was_asked_before_the_close_is_done(store: SqliteStore) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(store.insert, PETS, Pet(id=str(number)))
        await anyio.lowlevel.checkpoint()
        await store.close()
    await store.open(TABLES)
    assert await store.count(PETS, {}) == 50


@dataclass(frozen=True)
class Note:
    id: str
    text: str


@dataclass(frozen=True)
class LaterNote:
    id: str
    stars: int
    read: bool
    seen_at: float | None
    words: tuple[str, ...]
    text: str = "it’s\nempty"
    language: str = "o'hare"
    code: str | None = None


async def test_new_columns_get_their_defaults(store: SqliteStore) -> None:
    earlier = Table(name="notes", record=Note)
    later = Table(name="notes", record=LaterNote, unique=("code",), indexes=(("stars", "seen_at"),))
    await store.open([earlier])
    await store.insert(earlier, Note("1", "hello"))
    await store.open([later])
    assert await store.get(later, "1") == LaterNote("1", 0, False, None, (), "hello")
    # A process of the earlier version is still at work.
    await store.open([earlier])
    await store.insert(earlier, Note("2", "bye"))
    assert await store.get(earlier, "1") == Note("1", "hello")
    await store.open([later])
    assert await store.get(later, "2") == LaterNote("2", 0, False, None, (), "bye")


@dataclass(frozen=True)
class Dated:
    id: str
    on: date


@dataclass(frozen=True)
class Mixed:
    id: str
    one: tuple[str]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        pytest.param(Table(name="notes]; DROP", record=Note), ValueError, id="SQL for a name"),
        pytest.param(Table(name="Notes", record=Note), ValueError, id="a capital"),
        pytest.param(Table(name="notes\n", record=Note), ValueError, id="a line's end"),
        pytest.param(Table(name="notes", record=Note, key="no"), LookupError, id="no such key"),
        pytest.param(Table(name="dates", record=Dated), TypeError, id="a column of no known kind"),
        pytest.param(Table(name="mixed", record=Mixed), TypeError, id="a tuple of another shape"),
    ],
)
async def test_a_table_that_cannot_be_is_refused(
    store: SqliteStore, table: Table[Any], complaint: type[Exception]
) -> None:
    with pytest.raises(complaint):
        await store.open([table])


async def test_an_unknown_name_is_a_mistake_and_not_an_outage(store: SqliteStore) -> None:
    with pytest.raises(LookupError):
        await store.get(Table(name="never_opened", record=Note), "1")
    for where in ({"nope": 1}, {"id] = '' OR 1 --": 1}):
        with pytest.raises(LookupError):
            await store.find(PETS, where)
    with pytest.raises(LookupError):
        await store.find(PETS, {}, order="id DESC; --")
    with pytest.raises(LookupError):
        await store.swap(PETS, "ada", expect={}, change={"nope": 1})


# Helpers


async def every_verb(store: SqliteStore) -> list[object]:
    return await together(
        lambda: store.get(PETS, "ada"),
        lambda: store.find(PETS, {}),
        lambda: store.count(PETS, {}),
        lambda: store.insert(PETS, ADA),
        lambda: store.swap(PETS, "ada", expect={}, change={"age": 1}),
        lambda: store.take(PETS, "ada"),
        lambda: store.delete(PETS, {}),
        lambda: store.add("visits", expires_at=60.0, now=0.0),
        lambda: store.add("visits", 0, expires_at=60.0, now=0.0),
    )


async def together(*calls: Callable[[], Any]) -> list[object]:
    """What each call returned or raised."""
    answers: list[object] = [None] * len(calls)

    async def one(number: int) -> None:
        try:
            answers[number] = await calls[number]()
        except Exception as error:
            answers[number] = error

    async with anyio.create_task_group() as tasks:
        for number in range(len(calls)):
            tasks.start_soon(one, number)
    return answers


def size(path: Path) -> int:
    return path.stat().st_size


async def late(seconds: float, call: Callable[[], Any]) -> object:
    await anyio.sleep(seconds)
    return await call()


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another program writes and does not come to an end; call what this yields to end it early."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other.rollback


@contextmanager
def without_privileges() -> Iterator[None]:
    """Nothing is read-only for root."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


def race(task: str, path: Path, processes: int = 4) -> list[Any]:
    """What each of some processes answers that begin the task at the same moment."""
    racers = [start(task, path, number) for number in range(processes)]
    for racer in racers:
        go(racer)
    answers = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * processes
    return [json.loads(answer) for answer in answers]


def start(task: str, path: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), task, str(path), str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> IO[str]:
    """Wait until the process is ready, and let it begin: what it prints from now on."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    print(file=process.stdin, flush=True)
    return process.stdout
