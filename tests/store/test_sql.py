"""PostgreSQL keeps the contract: the suite, what tables become, plans, and many processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from authkit_asgi.accounts import USERS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Range, Store, Table
from authkit_asgi.store.sql import SqlStore, metadata_of
from authkit_asgi.testing.store_suite import ADA, BOB, PETS, TABLES, Pet, StoreSuite
from tests.store.services import proxy, run_sql
from tests.world import settings, world

ROOT = Path(__file__).parents[2]
Verb = Callable[[SqlStore], Awaitable[object]]


@pytest.fixture
def anyio_backend() -> str:
    """The driver knows no other."""
    return "asyncio"


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(database)
    await store.open(TABLES)
    yield store
    await store.close()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """One that the user made."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(asyncpg.connect, database)
    )
    yield engine
    await engine.dispose()


@pytest.mark.promise("conformance", store="PostgreSQL")
class TestSqlStore(StoreSuite):
    """Q-02."""

    @pytest.fixture
    def store(self, store: Store) -> Store:
        return store


# The whole kit


async def test_the_life_of_an_account(database: str) -> None:
    """Q-02: and of twenty refreshes at once one rotates the session."""
    async with world(store=SqlStore(database)) as town:
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
    generations = await run_sql(database, "SELECT generation FROM authkit_sessions")
    assert generations == [(1,)]


# One round trip


ROUND_TRIPS: dict[str, Verb] = {
    "get": lambda store: store.get(PETS, "ada"),
    "find": lambda store: store.find(PETS, {"group": "indoor"}, order="age"),
    "count": lambda store: store.count(PETS, {"tag": "A"}),
    "swap": lambda store: store.swap(PETS, "ada", expect={"age": 3}, change={"age": 3}),
    "add": lambda store: store.add("visits", expires_at=60.0, now=0.0),
    "read a counter": lambda store: store.add("visits", 0, expires_at=60.0, now=0.0),
    "delete": lambda store: store.delete(PETS, {"age": 77}),
    "take": lambda store: store.take(PETS, "nobody"),
}


@pytest.mark.parametrize("verb", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
async def test_a_verb_is_one_round_trip(database: str, verb: Verb) -> None:
    """The server answers at each Sync or Query; the first time the statement is prepared."""
    async with proxy(database) as between:
        store = SqlStore(between.url)
        await store.open(TABLES)
        await store.insert(PETS, ADA)
        await verb(store)
        between.messages.clear()
        await verb(store)
        assert between.messages["S"] + between.messages["Q"] == 1
        await store.close()


async def test_an_insert_is_one_round_trip(database: str) -> None:
    async with proxy(database) as between:
        store = SqlStore(between.url)
        await store.open(TABLES)
        await store.insert(PETS, ADA)
        between.messages.clear()
        await store.insert(PETS, BOB)
        assert between.messages["S"] + between.messages["Q"] == 1
        await store.close()


# Plans

HOT: dict[str, Verb] = {
    "who signs in": lambda store: store.find(USERS, {"email_key": "u7"}, limit=1),
    "a name that is free": lambda store: store.count(USERS, {"username_key": "u7"}),
    "a user": lambda store: store.get(USERS, "u7"),
    "raised epochs": lambda store: store.find(
        USERS, {"epoch_at": Range(ge=9_990.0)}, order="epoch_at", limit=1000
    ),
    "a session": lambda store: store.get(SESSIONS, "s7"),
    "a rotation": lambda store: store.swap(
        SESSIONS, "s7", expect={"generation": 1, "closed_at": None}, change={"generation": 2}
    ),
    "closed sessions": lambda store: store.find(
        SESSIONS, {"closed_at": Range(ge=9_990.0)}, order="closed_at", limit=1000
    ),
    "devices": lambda store: store.find(
        SESSIONS, {"user_id": "u7"}, order="created_at", descending=True
    ),
    "what is over": lambda store: store.delete(SESSIONS, {"purge_at": Range(lt=9.0)}),
    "a counter": lambda store: store.add("c7", expires_at=9_999_999.0, now=0.0),
}


@pytest.fixture
async def town(engine: AsyncEngine, database: str) -> SqlStore:
    """A store with thousands of users, sessions and counters."""
    store = SqlStore(engine)
    await store.open([USERS, SESSIONS])
    await run_sql(
        database,
        "INSERT INTO authkit_users (id, email_key, username_key, epoch_at)"
        " SELECT 'u' || n, 'u' || n, 'u' || n, nullif(n % 10, 0) * n"
        " FROM generate_series(1, 10000) n",
        "INSERT INTO authkit_sessions (id, user_id, created_at, closed_at, purge_at)"
        " SELECT 's' || n, 'u' || n % 5000, n, nullif(n % 10, 0) * n, n"
        " FROM generate_series(1, 10000) n",
        "INSERT INTO authkit_counters SELECT 'c' || n, 1, n FROM generate_series(1, 10000) n",
        "ANALYZE",
    )
    return store


@pytest.mark.parametrize("verb", HOT.values(), ids=HOT)
async def test_no_hot_query_reads_a_whole_table(
    town: SqlStore, engine: AsyncEngine, database: str, verb: Verb
) -> None:
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    await verb(town)
    [statement] = statements
    # The plan for any values at all, to which the server turns after a few executions.
    nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", statement))))
    plan = await run_sql(
        database,
        "SET plan_cache_mode = force_generic_plan",
        f"PREPARE hot AS {statement}",
        f"EXPLAIN EXECUTE hot({nulls})",
    )
    assert "Seq Scan" not in "\n".join(str(line) for (line,) in plan)


# Tables


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
    text: str = "it’s\nempty: 100 % \\"
    language: str = "o'hare"
    code: str | None = None
    weight: float = 1.5
    liked: bool = True
    order: tuple[str, ...] = ("a:b", "o'hare")


async def test_new_columns_get_their_defaults(store: SqlStore) -> None:
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


async def test_a_process_of_the_earlier_version_goes_on(store: SqlStore, database: str) -> None:
    earlier = Table(name="notes", record=Note)
    later = Table(name="notes", record=LaterNote, unique=("code",))
    await store.open([earlier])
    await store.insert(earlier, Note("1", "hello"))
    assert await store.get(earlier, "1") == Note("1", "hello")
    newer = SqlStore(database)
    await newer.open([later])
    assert await store.get(earlier, "1") == Note("1", "hello")
    assert await store.swap(earlier, "1", expect={}, change={"text": "bye"}) == Note("1", "bye")
    await store.insert(earlier, Note("2", "two"))
    assert await newer.count(later, {"text": "two"}) == 1
    await newer.close()


async def test_what_opening_makes_is_what_alembic_would(engine: AsyncEngine, database: str) -> None:
    """Then opening has nothing to make, and needs no right to."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata_of([*TABLES, USERS, SESSIONS]).create_all)
    store = SqlStore(f"{database}&default_transaction_read_only=on")
    await store.open([*TABLES, USERS, SESSIONS])
    assert sorted(store.metadata.tables) == [
        "authkit_counters",
        "authkit_migrations",
        "authkit_pets",
        "authkit_sessions",
        "authkit_stalls",
        "authkit_users",
    ]
    await store.close()


async def test_an_alembic_finds_nothing_to_do_after_the_start(
    store: SqlStore, engine: AsyncEngine
) -> None:
    """And something, where a table is not there yet."""

    def differences(connection: Connection, tables: list[Table[Any]]) -> list[Any]:
        context = MigrationContext.configure(connection)
        found: list[Any] = compare_metadata(context, metadata_of(tables))
        return found

    async with engine.connect() as connection:
        assert await connection.run_sync(differences, TABLES) == []
        [missing, *_] = await connection.run_sync(differences, [*TABLES, USERS])
    assert missing[0] == "add_table"
    assert missing[1].name == "authkit_users"


def test_the_examples_of_the_documentation_work(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings()
    monkeypatch.setenv("AUTHKIT_BASE_URL", chosen.base_url)
    monkeypatch.setenv("AUTHKIT_TOKEN_SECRET", chosen.token_secret[0])
    monkeypatch.setenv("AUTHKIT_REFRESH_TOKEN_SECRET", chosen.refresh_token_secret[0])
    page = (ROOT / "docs/databases.md").read_text()
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(example, "databases.md", "exec", dont_inherit=True), names)
    assert isinstance(names["kit"].store, SqlStore)
    assert names["BADGES"].version == 3
    assert {"authkit_users", "authkit_sessions"} < set(names["target_metadata"].tables)


async def test_names_of_constraints_are_ours(store: SqlStore, database: str) -> None:
    names = await run_sql(
        database,
        "SELECT conname FROM pg_constraint WHERE conrelid = 'authkit_pets'::regclass"
        " AND contype IN ('p', 'u') ORDER BY 1",
    )
    assert names == [("pk__authkit_pets",), ("uq__authkit_pets__chip",), ("uq__authkit_pets__tag",)]


async def test_words_are_ordered_by_code_point_whatever_the_language(
    store: SqlStore, database: str
) -> None:
    collations = await run_sql(
        database,
        "SELECT DISTINCT collation_name FROM information_schema.columns"
        " WHERE table_name = 'authkit_pets' AND table_schema = current_schema()"
        " AND data_type = 'text'",
    )
    assert collations == [("C",)]


async def test_two_kits_can_share_a_database(store: SqlStore, database: str) -> None:
    other = SqlStore(database, prefix="other_")
    await other.open(TABLES)
    await other.insert(PETS, ADA)
    assert await other.add("visits", expires_at=60.0, now=0.0) == 1
    assert await store.count(PETS, {}) == 0
    assert await store.add("visits", expires_at=60.0, now=0.0) == 1
    await other.close()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        pytest.param(Table(name='notes"; DROP', record=Note), ValueError, id="SQL for a name"),
        pytest.param(Table(name="Notes", record=Note), ValueError, id="a capital"),
        pytest.param(Table(name="notes", record=Note, key="no"), LookupError, id="no such key"),
        pytest.param(Table(name="paths", record=Path), TypeError, id="no record"),
    ],
)
async def test_a_table_that_cannot_be_is_refused(
    store: SqlStore, table: Table[Any], complaint: type[Exception]
) -> None:
    with pytest.raises(complaint):
        await store.open([table])
    await store.insert(PETS, ADA)  # nothing of it stays behind


async def test_an_unknown_name_is_a_mistake_and_not_an_outage(store: SqlStore) -> None:
    with pytest.raises(LookupError):
        await store.get(Table(name="never_opened", record=Note), "1")
    for where in ({"nope": 1}, {"id\" = '' OR 1 --": 1}):
        with pytest.raises(LookupError):
            await store.find(PETS, where)
    with pytest.raises(LookupError):
        await store.find(PETS, {}, order="id DESC; --")
    with pytest.raises(LookupError):
        await store.swap(PETS, "ada", expect={}, change={"nope": 1})


# Values that PostgreSQL cannot hold


@pytest.mark.parametrize("name", ["\0", "ada\0", "half a character: \ud83d"])
async def test_what_cannot_be_held_is_nobodys_name(store: SqlStore, name: str) -> None:
    """Anybody may type it into the sign-in form: the answer is as for any unknown name."""
    await store.insert(PETS, ADA)
    assert await store.get(PETS, name) is None
    assert await store.find(PETS, {"tag": name}) == []
    assert await store.count(PETS, {"tag": name}) == 0
    assert await store.swap(PETS, name, expect={}, change={"age": 1}) is None
    assert await store.swap(PETS, "ada", expect={"tag": name}, change={"age": 1}) is None
    assert await store.take(PETS, name) is None
    assert await store.delete(PETS, {"tag": name}) == 0


@pytest.mark.parametrize(
    "pet",
    [
        pytest.param(Pet(id="eve", name="secret\0"), id="NUL"),
        pytest.param(Pet(id="eve", name="secret \ud83d"), id="half a character"),
        pytest.param(Pet(id="eve", name="secret", age=2**63), id="a number too large"),
        pytest.param(Pet(id="eve", name="secret", age=None), id="None"),  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_held_is_refused_without_repeating_it(
    store: SqlStore, pet: Pet
) -> None:
    with pytest.raises(ValueError, match=r"PostgreSQL|refuses") as complaint:
        await store.insert(PETS, pet)
    assert "secret" not in str(complaint.value)
    assert complaint.value.__suppress_context__
    assert await store.count(PETS, {}) == 0


# Races


async def test_a_delete_spares_what_changed_meanwhile(store: SqlStore) -> None:
    """Of each row either the swap or the delete finds what it looks for."""
    for number in range(100):
        await store.insert(PETS, Pet(id=str(number), age=5))
    changed: list[Pet | None] = []
    deleted: list[int] = []

    async def swap(number: int) -> None:
        changed.append(await store.swap(PETS, str(number), expect={"age": 5}, change={"age": 6}))

    async def delete() -> None:
        deleted.append(await store.delete(PETS, {"age": 5}))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(swap, number)
            if number % 20 == 10:
                tasks.start_soon(delete)
    won = [one.id for one in changed if one is not None]
    assert sum(deleted) + len(won) == 100
    assert {pet.id for pet in await store.find(PETS, {})} == set(won)


async def test_a_server_that_refuses_races_is_asked_again(database: str) -> None:
    """Where every transaction is serializable, one that lost is told to try again."""
    store = SqlStore(f"{database}&default_transaction_isolation=serializable")
    await store.open(TABLES)
    await store.insert(PETS, BOB)
    won: list[Pet] = []

    async def swap(age: int) -> None:
        await store.add("swaps", expires_at=60.0, now=0.0)
        pet = await store.swap(PETS, "bob", expect={"age": 5}, change={"age": age})
        won.extend([pet] if pet else [])

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(swap, 100 + number)
    assert won == [await store.get(PETS, "bob")]
    assert await store.add("swaps", 0, expires_at=60.0, now=0.0) == 50
    await store.close()


async def test_counters_that_are_over_go_away(store: SqlStore, database: str) -> None:
    for number in range(20):
        await store.add(f"address {number}", expires_at=60.0, now=0.0)
    for number in range(10):
        await store.add("another", expires_at=10_000.0, now=1_000.0 + number)
    assert await run_sql(database, "SELECT name FROM authkit_counters") == [("another",)]


@pytest.mark.promise("conformance", store="PostgreSQL")
async def test_swaps_of_four_processes_lose_nothing(store: SqlStore, database: str) -> None:
    """Q-02."""
    await store.insert(PETS, Pet(id="shared", age=0))
    assert sum(race("swap", database)) == 100
    assert await store.get(PETS, "shared") == Pet(id="shared", age=100)


@pytest.mark.promise("conformance", store="PostgreSQL")
async def test_of_four_processes_one_takes_each_row(store: SqlStore, database: str) -> None:
    """Q-02."""
    for number in range(25):
        await store.insert(PETS, Pet(id=str(number)))
    taken = [id for ids in race("take", database) for id in ids]
    assert sorted(taken, key=int) == [str(number) for number in range(25)]


@pytest.mark.promise("conformance", store="PostgreSQL")
async def test_of_four_processes_one_gets_each_value(store: SqlStore, database: str) -> None:
    """Q-01, Q-02."""
    won = [turn for turns in race("insert", database) for turn in turns]
    assert sorted(won) == list(range(25))
    assert await store.count(PETS, {}) == 25


@pytest.mark.promise("conformance", store="PostgreSQL")
async def test_four_processes_lose_no_count(store: SqlStore, database: str) -> None:
    """Q-02."""
    counts = [count for counts in race("add", database) for count in counts]
    assert sorted(counts) == list(range(1, 101))


async def test_eight_processes_can_make_the_same_tables_at_once(database: str) -> None:
    assert race("nothing", database, processes=8) == [0] * 8


async def test_kill_9_loses_no_row_that_was_acknowledged(store: SqlStore, database: str) -> None:
    """Q-02, Q-03."""
    with start("write_for_ever", database, 0) as process:
        ready(process)
        output = go(process)
        acknowledged = [output.readline().strip() for _ in range(200)]
        process.kill()
        acknowledged += [line.strip() for line in output if line.endswith("\n")]
    rows = {pet.id: pet for pet in await store.find(PETS, {}, limit=1_000_000)}
    assert set(acknowledged) <= set(rows)
    assert all(pet.id.endswith(f"-{pet.age}") for pet in rows.values())
    await store.insert(PETS, ADA)


def race(task: str, url: str, processes: int = 4) -> list[Any]:
    """What each of some processes answers that begin the task at the same moment."""
    racers = [start(task, url, number) for number in range(processes)]
    for wait in (ready, go):  # all are ready before the first one goes
        for racer in racers:
            wait(racer)
    answers = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * processes
    return [json.loads(answer) for answer in answers]


def start(task: str, url: str, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.sql_worker", task, url, str(number)],
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
