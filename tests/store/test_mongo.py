"""MongoDB: the contract on both drivers, and what only a server on the network can suffer."""

from __future__ import annotations

import gc
import json
import logging
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
import trio
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from authkit_asgi.accounts import USERS
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Range, Store, Table
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.urls import store_from_url
from authkit_asgi.testing.store_suite import ADA, BOB, PETS, TABLES, Pet, StoreSuite
from tests.store.mongod import Mongod, running
from tests.world import world

ROOT = Path(__file__).parents[2]
ALMOST_TWO_SECONDS = 2.5  # the contract's, and a little for a busy machine

Verb = Callable[[Store], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "get": lambda store: store.get(PETS, "bob"),
    "find": lambda store: store.find(PETS, {}),
    "count": lambda store: store.count(PETS, {}),
    "insert": lambda store: store.insert(PETS, ADA),
    "swap": lambda store: store.swap(PETS, "bob", expect={}, change={"age": 5}),
    "take": lambda store: store.take(PETS, "nobody"),
    "delete": lambda store: store.delete(PETS, {"age": 77}),
    "add": lambda store: store.add("visits", expires_at=60.0, now=0.0),
    "read a counter": lambda store: store.add("visits", 0, expires_at=60.0, now=0.0),
}


@pytest.fixture
def anyio_backend() -> str:
    """MongoDB's drivers know no trio."""
    return "asyncio"


@pytest.fixture
def server(mongodb_url: str) -> str:
    return mongodb_url


@pytest.fixture
def name(server: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"authkit_test_{secrets.token_hex(6)}"
    yield name
    with MongoClient[Any](server) as client:
        client.drop_database(name)


@pytest.mark.promise("conformance", store="MongoDB by PyMongo")
class TestPyMongo(StoreSuite):
    """Q-01, Q-02, Q-04."""

    @pytest.fixture
    async def store(self, server: str, name: str) -> AsyncIterator[Store]:
        store = MongoStore(server, database=name)
        await store.open(TABLES)
        yield store
        await store.close()


@pytest.mark.promise("conformance", store="MongoDB by Motor")
class TestMotor(StoreSuite):
    """Q-01, Q-02, Q-04."""

    @pytest.fixture
    async def store(self, server: str, name: str) -> AsyncIterator[Store]:
        client = AsyncIOMotorClient[Any](server)
        store = MongoStore(client, database=name)
        await store.open(TABLES)
        yield store
        await store.close()
        client.close()


@pytest.fixture
async def store(server: str, name: str) -> AsyncIterator[MongoStore]:
    store = MongoStore(server, database=name)
    await store.open(TABLES)
    yield store
    await store.close()


@pytest.fixture
def database(server: str, name: str) -> Iterator[Any]:
    """What lies there, seen past the store."""
    with MongoClient[Any](server, tz_aware=True) as client:
        yield client[name]


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    """A server that this test may harm."""
    with running(tmp_path) as ours:
        yield ours


@pytest.fixture(params=["pymongo", "motor"])
async def fragile(request: pytest.FixtureRequest, mongod: Mongod) -> AsyncIterator[MongoStore]:
    """A store on it, through a client that was given no limit of time."""
    client: Any = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}[request.param](
        mongod.url
    )
    store = MongoStore(client)
    await store.open(TABLES)
    yield store
    await store.close()
    if (closing := client.close()) is not None:
        await closing


# The whole kit


async def test_the_life_of_an_account(server: str, name: str, database: Any) -> None:
    """Q-02, Q-04: and of twenty refreshes at once one rotates the session."""
    async with world(store=MongoStore(server, database=name)) as town:
        town.clock.at = time.time()  # what is over for the server is removed
        await town.person("ada")
        async with town.browser() as browser:
            assert (await browser.sign_in()).status_code == 200
            town.clock.pass_(hours=2)
            answers: list[int] = []

            async def refresh(tokens: dict[str, str]) -> None:
                async with town.browser() as tab:
                    tab.take_tokens(tokens)
                    answers.append((await tab.get("/members")).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(refresh, browser.tokens())
        assert answers == [200] * 20
    assert [row["generation"] for row in database.authkit_sessions.find()] == [1]


# Values and operators


@pytest.mark.parametrize(
    "word", ["$ne", "$where", "$name", "$$ROOT", "a.b", "_id", "\0", '{"$gt": ""}']
)
async def test_a_word_that_looks_like_an_operator_is_a_word(store: MongoStore, word: str) -> None:
    """N-02."""
    pet = Pet(id=word, name=word, tag=word, likes=(word,))
    await store.insert(PETS, ADA)
    await store.insert(PETS, pet)
    assert await store.find(PETS, {"tag": word, "likes": (word,)}) == [pet]
    assert await store.count(PETS, {"name": Range(ge=word, lt=word + "\0")}) == 1
    assert await store.swap(PETS, word, expect={"tag": word}, change={"group": word})
    assert await store.add(word, 2, expires_at=60.0, now=0.0) == 2
    assert await store.add(word, 3, expires_at=60.0, now=0.0) == 5
    assert await store.take(PETS, word) == Pet(
        id=word, name=word, tag=word, likes=(word,), group=word
    )
    assert await store.find(PETS, {}) == [ADA]


MALICE: list[Any] = [{"$ne": None}, {"$gt": ""}, {}, ["$ne"], b"ada", NotImplemented, ({"$ne": 1},)]


@pytest.mark.parametrize("value", MALICE, ids=repr)
async def test_an_operator_cannot_come_as_a_value(store: MongoStore, value: Any) -> None:
    """N-02: what a careless caller hands on from a JSON body is refused before it is sent."""
    await store.insert(PETS, ADA)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.get(PETS, value),
        lambda: store.take(PETS, value),
        lambda: store.find(PETS, {"tag": value}),
        lambda: store.find(PETS, {"likes": value}),
        lambda: store.find(PETS, {"tag": Range(ge=value)}),
        lambda: store.find(PETS, {}, after=value),
        lambda: store.count(PETS, {"age": value}),
        lambda: store.delete(PETS, {"tame": value}),
        lambda: store.swap(PETS, value, expect={}, change={"age": 4}),
        lambda: store.swap(PETS, "ada", expect={"tag": value}, change={"age": 4}),
        lambda: store.swap(PETS, "ada", expect={}, change={"name": value}),
        lambda: store.insert(PETS, Pet(id=value)),
        lambda: store.add(value, expires_at=60.0, now=0.0),
        lambda: store.add("visits", value, expires_at=60.0, now=0.0),
        lambda: store.add("visits", expires_at=value, now=0.0),
        lambda: store.add("visits", expires_at=60.0, now=value),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            await call()
    assert await store.find(PETS, {}) == [ADA]


@pytest.mark.parametrize(
    "column", ["$where", "tag.x", "_id", "_purge_at", "nope", "", "tag\0"], ids=repr
)
async def test_a_name_that_was_not_declared_reaches_no_filter(
    store: MongoStore, column: str
) -> None:
    """N-02."""
    for call in (
        lambda: store.find(PETS, {column: "x"}),
        lambda: store.find(PETS, {}, order=column or "?"),
        lambda: store.swap(PETS, "ada", expect={column: "x"}, change={}),
        lambda: store.swap(PETS, "ada", expect={}, change={column: "x"}),
    ):
        with pytest.raises(LookupError):
            await call()


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
    text: str = "empty"
    language: str = "en"
    code: str | None = None


async def test_rows_older_than_a_column_have_its_default(store: MongoStore) -> None:
    earlier = Table(name="notes", record=Note)
    later = Table(name="notes", record=LaterNote, unique=("code",), indexes=(("stars", "seen_at"),))
    await store.open([earlier])
    await store.insert(earlier, Note("1", "hello"))
    await store.open([later])
    upgraded = LaterNote("1", 0, False, None, (), "hello")
    assert await store.get(later, "1") == upgraded
    where: Any
    for where in ({"stars": 0}, {"read": False, "words": ()}, {"language": "en", "code": None}):
        assert await store.find(later, where) == [upgraded]
    for where in ({"stars": 1}, {"read": True}, {"language": "de"}):
        assert await store.find(later, where) == []
    assert await store.swap(later, "1", expect={"stars": 0}, change={"stars": 5})
    await store.open([earlier])
    assert await store.get(earlier, "1") == Note("1", "hello")


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        pytest.param(Table(name="notes.x", record=Note), ValueError, id="a dot"),
        pytest.param(Table(name="$notes", record=Note), ValueError, id="a dollar"),
        pytest.param(Table(name="notes", record=Note, key="no"), LookupError, id="no such key"),
        pytest.param(
            Table(name="notes", record=Note, unique=("no",)), LookupError, id="no such column"
        ),
    ],
)
async def test_a_table_that_cannot_be_is_refused(
    store: MongoStore, table: Table[Any], complaint: type[Exception]
) -> None:
    with pytest.raises(complaint):
        await store.open([table])


# What it makes


@pytest.mark.parametrize(
    ("table", "where", "index"),
    [
        pytest.param("users", {"email_key": {"$eq": "ada@x.test"}}, "email_key_1", id="by address"),
        pytest.param("users", {"username_key": {"$eq": "ada"}}, "username_key_1", id="by name"),
        pytest.param("sessions", {"_id": {"$eq": "x"}}, "_id_", id="a session"),
    ],
)
async def test_hot_queries_use_an_index(
    store: MongoStore, database: Any, table: str, where: Any, index: str
) -> None:
    """As far as SecantusDB tells: of conditions on two columns it says nothing good."""
    await store.open([USERS, SESSIONS])
    plan = database[f"authkit_{table}"].find(where).explain()["queryPlanner"]["winningPlan"]
    assert f"'{index}'" in repr(plan) or "IDHACK" in repr(plan) or "EXPRESS" in repr(plan)


async def test_indexes_are_what_the_table_asked_for(store: MongoStore, database: Any) -> None:
    found = database.authkit_pets.index_information()
    keys = {name: [field for field, _ in one["key"]] for name, one in found.items()}
    assert keys == {
        "_id_": ["_id"],
        "tag_1": ["tag"],
        "chip_1": ["chip"],
        "group_1_age_1__id_1": ["group", "age", "_id"],
        "sold_at_1__id_1": ["sold_at", "_id"],
        "_purge_at_1": ["_purge_at"],
    }
    assert {name for name, one in found.items() if one.get("unique")} == {"tag_1", "chip_1"}
    assert found["_purge_at_1"]["expireAfterSeconds"] == 0


async def test_writes_wait_for_a_majority_and_its_journals(server: str, name: str) -> None:
    """Q-04."""
    heard = Ear()
    weak = f"{server}/?w=1&journal=false&readPreference=secondaryPreferred"
    async with AsyncMongoClient[Any](weak, event_listeners=[heard]) as client:
        store = MongoStore(client, database=name)
        await store.open(TABLES)
        for verb in VERBS.values():
            await verb(store)
        await store.close()
    writes = [one for one in heard.commands if one["$db"] == name and "writeConcern" in one]
    assert {next(iter(one)) for one in writes} >= {"insert", "findAndModify", "delete"}
    assert all(one["writeConcern"] == {"w": "majority", "j": True} for one in writes)
    assert all("txnNumber" in one for one in writes if "findAndModify" in one)  # retryable
    reads = [one for one in heard.commands if {"find", "aggregate"} & one.keys()]
    assert not [one for one in reads if "$readPreference" in one]


async def test_a_client_with_weak_writes_is_warned_of(
    server: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Q-04."""
    for options, warned in [("w=1", True), ("journal=false", True), ("w=majority", False), ("", 0)]:
        caplog.clear()
        store = MongoStore(f"{server}/?{options}", database=name)
        with caplog.at_level(logging.WARNING, "authkit_asgi.store"):
            await store.open(TABLES)
        await store.close()
        assert ("write concern" in caplog.text) is bool(warned), options


async def test_rows_and_counters_that_are_over_go_away(tmp_path: Path) -> None:
    now = time.time()
    with running(tmp_path, sweep=0.05) as mongod, MongoClient[Any](mongod.url) as client:
        store = MongoStore(mongod.url)
        await store.open(TABLES)
        for pet in (
            Pet(id="sold", sold_at=now - 1),
            Pet(id="to be sold", sold_at=now + 60),
            Pet(id="kept"),
            Pet(id="beyond the calendar", sold_at=1e300),
        ):
            await store.insert(PETS, pet)
        await store.add("over", expires_at=now - 3600, now=now - 7200)
        await store.add("living", expires_at=now + 60, now=now)
        counters = client.authkit.authkit__counters
        await until(lambda: not counters.find_one("over"))
        await store.swap(PETS, "to be sold", expect={}, change={"sold_at": now - 1})
        await until(lambda: client.authkit.authkit_pets.count_documents({}) == 2)
        assert {pet.id for pet in await store.find(PETS, {})} == {"kept", "beyond the calendar"}
        assert await store.add("living", 0, expires_at=now + 60, now=now) == 1
        await store.close()


# Processes

DRIVERS = pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            driver, marks=pytest.mark.promise("conformance", store=f"MongoDB by {told}"), id=driver
        )
        for driver, told in (("pymongo", "PyMongo"), ("motor", "Motor"))
    ],
)


@DRIVERS
async def test_swaps_of_four_processes_lose_nothing(
    store: MongoStore, server: str, name: str, driver: str
) -> None:
    """Q-02."""
    await store.insert(PETS, Pet(id="shared", age=0))
    assert sum(race("swap", server, name, driver)) == 100
    assert await store.get(PETS, "shared") == Pet(id="shared", age=100)


@DRIVERS
async def test_of_four_processes_one_takes_each_row(
    store: MongoStore, server: str, name: str, driver: str
) -> None:
    """Q-02."""
    for number in range(25):
        await store.insert(PETS, Pet(id=str(number)))
    taken = [id for ids in race("take", server, name, driver) for id in ids]
    assert sorted(taken, key=int) == [str(number) for number in range(25)]


@DRIVERS
async def test_of_four_processes_one_gets_each_value(
    store: MongoStore, server: str, name: str, driver: str
) -> None:
    """Q-01, Q-02."""
    won = [turn for turns in race("insert", server, name, driver) for turn in turns]
    assert sorted(won) == list(range(25))
    assert await store.count(PETS, {}) == 25


@DRIVERS
async def test_four_processes_lose_no_count(server: str, name: str, driver: str) -> None:
    """Q-02."""
    counts = [count for counts in race("add", server, name, driver) for count in counts]
    assert sorted(counts) == list(range(1, 101))


def test_four_processes_can_make_the_same_tables_at_once(server: str, name: str) -> None:
    assert race("nothing", server, name) == [0] * 4


async def test_a_client_that_is_killed_loses_no_row_that_was_acknowledged(
    store: MongoStore, server: str, name: str
) -> None:
    """Q-02."""
    with start("write_for_ever", server, name, 0) as process:
        ready(process)
        output = go(process)
        acknowledged = [output.readline().strip() for _ in range(100)]
        process.kill()
        acknowledged += [line.strip() for line in output if line.endswith("\n")]
    rows = {pet.id: pet for pet in await store.find(PETS, {}, limit=1_000_000)}
    assert set(acknowledged) <= set(rows)
    assert all(pet.id.endswith(f"-{pet.age}") for pet in rows.values())


# Outages


async def test_a_server_that_is_killed_is_an_outage_until_it_is_back(
    fragile: MongoStore, mongod: Mongod
) -> None:
    """Q-04, Q-06: nothing that was acknowledged is lost."""
    acknowledged: list[str] = []

    async def write(lane: int) -> None:
        for turn in range(1_000_000):
            try:
                await fragile.insert(PETS, Pet(id=f"{lane}-{turn}"))
            except StoreUnavailable:
                return
            acknowledged.append(f"{lane}-{turn}")
            if len(acknowledged) == 40:
                mongod.kill()

    await fragile.insert(PETS, BOB)
    async with anyio.create_task_group() as tasks:
        for lane in range(4):
            tasks.start_soon(write, lane)
    await every_verb_names_the_outage(fragile)
    mongod.start()
    rows = {pet.id for pet in await fragile.find(PETS, {}, limit=1_000_000)}
    assert {*acknowledged, "bob"} <= rows
    for name, verb in VERBS.items():
        with anyio.fail_after(ALMOST_TWO_SECONDS):
            await verb(fragile)
        assert name


async def test_a_server_that_is_silent_is_an_outage_until_it_speaks(
    fragile: MongoStore, mongod: Mongod
) -> None:
    """Q-06."""
    await fragile.insert(PETS, BOB)
    mongod.freeze()
    await every_verb_names_the_outage(fragile)
    mongod.thaw()
    assert await fragile.get(PETS, "bob") == BOB
    assert await fragile.swap(PETS, "bob", expect={}, change={"age": 6})


async def test_a_server_that_is_not_there_yet_is_an_outage(mongod: Mongod) -> None:
    """Q-06: the kit opens its store again with the next request."""
    mongod.kill()
    store = store_from_url(mongod.url)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.open(TABLES)
    assert time.monotonic() - began < ALMOST_TWO_SECONDS
    mongod.start()
    await store.open(TABLES)
    await store.insert(PETS, ADA)
    await store.close()


async def test_a_crowd_that_hangs_up_leaves_the_store_usable(server: str, name: str) -> None:
    """A pool that is cancelled while it makes its connections would hang for ever."""
    for seconds in (0.0, 0.01, 0.03, 0.1):
        store = MongoStore(server, database=name)
        await store.open(TABLES)
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(partial(store.add, "visits", expires_at=60.0, now=0.0))
        with anyio.fail_after(5):
            assert await store.add("visits", expires_at=60.0, now=0.0) > 0
            await store.close()


async def test_who_hangs_up_on_an_outage_leaves_nothing_in_the_log(
    mongod: Mongod, caplog: pytest.LogCaptureFixture
) -> None:
    """SECURITY D-04: a trace for each, once nobody waits for the answer, fills a disk."""
    store = MongoStore(mongod.url)
    await store.open(TABLES)
    mongod.freeze()
    try:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(store.get, PETS, "x")
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        await store.close()  # once all have failed
    finally:
        mongod.thaw()
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


# Opening and closing


async def test_a_closed_store_lets_go_and_can_be_opened_again(store: MongoStore) -> None:
    await store.insert(PETS, ADA)
    await store.close()
    for verb in VERBS.values():
        with pytest.raises(StoreUnavailable):
            await verb(store)
    await store.open(TABLES)
    assert await store.get(PETS, "ada") == ADA


async def test_what_was_asked_before_the_close_is_done(store: MongoStore) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(store.insert, PETS, Pet(id=str(number)))
        await anyio.wait_all_tasks_blocked()
        await store.close()
    await store.open(TABLES)
    assert await store.count(PETS, {}) == 20


async def test_a_client_that_was_passed_stays_open(server: str, name: str) -> None:
    async with AsyncMongoClient[Any](server) as client:
        store = MongoStore(client, database=name)
        await store.open(TABLES)
        await store.close()
        assert await client.admin.command("ping")


@pytest.mark.parametrize(
    ("path", "database", "place"),
    [
        pytest.param("", None, "authkit", id="none named"),
        pytest.param("/shop", None, "shop", id="by the URL"),
        pytest.param("/shop", "accounts", "accounts", id="by an argument"),
    ],
)
async def test_which_database(path: str, database: str | None, place: str, mongod: Mongod) -> None:
    store = MongoStore(mongod.url + path, database=database)
    await store.open(TABLES)
    await store.insert(PETS, ADA)
    await store.close()
    with MongoClient[Any](mongod.url) as client:
        assert client[place].authkit_pets.count_documents({}) == 1


def test_trio_is_told_plainly() -> None:
    store = MongoStore("mongodb://127.0.0.1:1/")
    with pytest.raises(RuntimeError, match=r"asyncio only.*SqliteStore"):
        trio.run(store.open, TABLES)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mongodb://", id="no host"),
        pytest.param("mongodb://ada:s3cret:x@host/db", id="a colon in the password"),
        pytest.param("mongodb://ada:s3/cret@host/db", id="a slash in the password"),
        pytest.param("mongodb://ada:s3cret@host:port/db", id="a port of letters"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"mongodb://host/name") as complaint:
        store_from_url(url)
    assert "cret" not in str(complaint.value)
    assert complaint.value.__suppress_context__


def test_a_client_that_blocks_is_refused() -> None:
    with MongoClient[Any]("mongodb://127.0.0.1:1/", connect=False) as client:
        blocking: Any = client
        with pytest.raises(TypeError, match="AsyncMongoClient"):
            MongoStore(blocking)


# Helpers


class Ear(CommandListener):
    """What a client sends."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def until(holds: Callable[[], bool]) -> None:
    """What a server does by itself, it announces to nobody."""
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - so there is nothing to wait for
            await anyio.sleep(0.02)


async def every_verb_names_the_outage(store: Store) -> None:
    """All at once, and each in time."""
    answers: dict[str, object] = {}

    async def ask(name: str, verb: Verb) -> None:
        began = time.monotonic()
        try:
            answers[name] = await verb(store)
        except Exception as error:
            answers[name] = type(error), time.monotonic() - began < ALMOST_TWO_SECONDS

    async with anyio.create_task_group() as tasks:
        for name, verb in VERBS.items():
            tasks.start_soon(ask, name, verb)
    assert answers == dict.fromkeys(VERBS, (StoreUnavailable, True))


def race(task: str, url: str, name: str, driver: str = "pymongo", processes: int = 4) -> list[Any]:
    """What each of some processes answers that begin the task at the same moment."""
    racers = [start(task, url, name, number, driver) for number in range(processes)]
    for wait in (ready, go):  # all are ready before the first one goes
        for racer in racers:
            wait(racer)
    answers = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * processes
    return [json.loads(answer) for answer in answers]


def start(
    task: str, url: str, name: str, number: int, driver: str = "pymongo"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.mongo_worker", driver, task, url, name, str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def go(process: subprocess.Popen[str]) -> IO[str]:
    """Let it begin: what it prints from now on."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(file=process.stdin, flush=True)
    return process.stdout
