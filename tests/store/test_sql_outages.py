"""PostgreSQL out of reach: an outage is named within two seconds, and over when it is over.

Q-06 needs that of a store; what the kit makes of it is tested with the middleware.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import asyncpg
import pytest
import trio
from sqlalchemy.ext.asyncio import create_async_engine

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store.sql import SqlStore
from authkit_asgi.store.urls import store_from_url
from authkit_asgi.testing.store_suite import ADA, BOB, PETS, TABLES, Pet
from tests.store.services import Proxy, free_port, proxy, run_sql

ALMOST_TWO_SECONDS = 2.5  # the contract's, and a little for a busy machine

READS: dict[str, Callable[[SqlStore], Awaitable[object]]] = {
    "get": lambda store: store.get(PETS, "bob"),
    "find": lambda store: store.find(PETS, {}),
    "count": lambda store: store.count(PETS, {}),
    "read a counter": lambda store: store.add("visits", 0, expires_at=60.0, now=0.0),
}
WRITES: dict[str, Callable[[SqlStore], Awaitable[object]]] = {
    "insert": lambda store: store.insert(PETS, ADA),
    "swap": lambda store: store.swap(PETS, "bob", expect={}, change={"age": 1}),
    "take": lambda store: store.take(PETS, "ada"),
    "delete": lambda store: store.delete(PETS, {"age": 77}),
    "add": lambda store: store.add("visits", expires_at=60.0, now=0.0),
}
VERBS = READS | WRITES
OURS = (
    "FROM pg_stat_activity"
    " WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
)


@pytest.fixture
def anyio_backend() -> str:
    """The driver knows no other."""
    return "asyncio"


@pytest.fixture
async def between(database: str) -> AsyncIterator[Proxy]:
    async with proxy(database) as between:
        yield between


@pytest.fixture
async def store(between: Proxy) -> AsyncIterator[SqlStore]:
    """Through the proxy, with BOB in it and two connections that were used."""
    async with opened(between.url) as store:
        await store.insert(PETS, BOB)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(store.get, PETS, "bob")
        yield store


@asynccontextmanager
async def opened(url: str, connections: int = 10) -> AsyncIterator[SqlStore]:
    store = SqlStore(url, connections=connections)
    await store.open(TABLES)
    yield store
    await store.close()


# Gone, silent, broken off


async def test_a_server_that_is_gone_is_an_outage_until_it_is_back(
    store: SqlStore, between: Proxy
) -> None:
    await between.refuse()
    assert_unavailable(await every_verb(store))
    await between.listen()
    assert await store.get(PETS, "bob") == BOB
    assert await store.swap(PETS, "bob", expect={}, change={"age": 6})


async def test_a_server_that_is_silent_is_an_outage_until_it_speaks(
    store: SqlStore, between: Proxy
) -> None:
    between.set("mute")
    for _ in range(2):  # on open connections, and then on new ones
        started = time.monotonic()
        assert_unavailable(await every_verb(store))
        assert time.monotonic() - started < ALMOST_TWO_SECONDS
    between.set("pass")
    assert await store.get(PETS, "bob") is not None
    assert await store.swap(PETS, "bob", expect={}, change={"age": 6})


async def test_answers_that_break_off_are_an_outage(store: SqlStore, between: Proxy) -> None:
    between.set("cut")
    started = time.monotonic()
    assert_unavailable(await every_verb(store))
    assert time.monotonic() - started < ALMOST_TWO_SECONDS
    between.set("pass")
    assert await store.get(PETS, "bob") is not None
    assert await store.swap(PETS, "bob", expect={}, change={"age": 6})


@pytest.mark.parametrize("verb", [*READS, "insert"])
async def test_what_does_no_harm_twice_is_asked_again(
    store: SqlStore, between: Proxy, verb: str
) -> None:
    """A single connection broke off: nobody hears of it."""
    between.set("cut once")
    await VERBS[verb](store)
    assert between.mood == "pass"


@pytest.mark.parametrize("verb", ["swap", "take", "delete", "add"])
async def test_what_may_have_been_done_is_not_done_twice(
    store: SqlStore, between: Proxy, verb: str
) -> None:
    between.set("cut once")
    with pytest.raises(StoreUnavailable):
        await VERBS[verb](store)
    await VERBS[verb](store)


async def test_connections_that_the_server_closed_cost_nobody_a_request(
    store: SqlStore, database: str
) -> None:
    """A restart of the server, a failover, a firewall that says so.

    Once the end has arrived here: a write that meets it on the way may have been done, and is not
    repeated.
    """
    assert len(await run_sql(database, f"SELECT pg_terminate_backend(pid) {OURS}")) == 2
    await anyio.sleep(0.2)
    assert await run_sql(database, f"SELECT pid {OURS}") == []
    assert await store.swap(PETS, "bob", expect={}, change={"age": 6})
    assert len([one for one in await every_verb(store) if isinstance(one, Exception)]) == 0


async def test_a_server_that_became_read_only_is_left_for_the_one_that_writes(
    postgres_url: str, database: str
) -> None:
    """After a failover the old primary may stay up, and answer reads for ever."""
    read_only = "default_transaction_read_only"
    async with opened(database) as store:
        await store.insert(PETS, BOB)
    name = (await run_sql(database, "SELECT current_database()"))[0][0]
    await run_sql(database, f"ALTER DATABASE {name} SET {read_only} = on")
    try:
        store = SqlStore(database)
        await store.open(TABLES)
        assert await store.get(PETS, "bob") == BOB
        for verb in WRITES.values():
            with pytest.raises(StoreUnavailable):
                await verb(store)
    finally:
        await run_sql(
            database, f"SET {read_only} = off", f"ALTER DATABASE {name} RESET {read_only}"
        )
    for verb in VERBS.values():
        await verb(store)
    await store.close()


# Busy


async def test_a_lock_that_stays_is_an_outage_with_nothing_done(database: str) -> None:
    async with opened(database, connections=3) as store:
        await store.insert(PETS, BOB)
        async with locked(database):
            started = time.monotonic()
            assert_unavailable(await every_verb(store))  # more of them than connections
            assert time.monotonic() - started < ALMOST_TWO_SECONDS
        assert await store.find(PETS, {}) == [BOB]
        assert await store.add("visits", expires_at=60.0, now=0.0) == 1
        assert await connections_of(database) <= 3


async def test_cancelled_verbs_leak_no_connection(database: str) -> None:
    async with opened(database, connections=2) as store:
        await store.insert(PETS, BOB)
        async with locked(database), anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(store.take, PETS, "bob")
            await anyio.sleep(0.1)
            started = time.monotonic()
            tasks.cancel_scope.cancel()
        assert time.monotonic() - started < 0.5
        assert await store.find(PETS, {}) == [BOB]
        assert await store.take(PETS, "bob") == BOB
        assert await connections_of(database) <= 2


async def test_what_was_asked_before_the_close_is_done(database: str) -> None:
    async with opened(database, connections=2) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(store.insert, PETS, Pet(id=str(number)))
            await anyio.lowlevel.checkpoint()
            await store.close()
        assert await connections_of(database) == 0
        await store.open(TABLES)
        assert await store.count(PETS, {}) == 50


async def test_a_closed_store_can_be_opened_again(database: str) -> None:
    async with opened(database) as store:
        await store.insert(PETS, BOB)
        await store.close()
        assert_unavailable(await every_verb(store))
        await store.open(TABLES)
        assert await store.get(PETS, "bob") == BOB


# Opening


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    store = SqlStore(f"postgresql://ada:s3cret@127.0.0.1:{free_port()}/rows")
    with pytest.raises(StoreUnavailable):
        await store.open(TABLES)
    await store.close()


async def test_a_store_can_open_once_the_server_speaks(between: Proxy) -> None:
    between.set("mute")
    store = SqlStore(between.url)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.open(TABLES)
    assert time.monotonic() - started < ALMOST_TWO_SECONDS
    between.set("pass")
    await store.open(TABLES)
    await store.close()


async def test_a_new_column_waits_for_no_long_transaction(database: str) -> None:
    """While it waits for its lock, nobody else could use the table."""
    async with opened(database) as store:
        await store.insert(PETS, BOB)
        await run_sql(database, "ALTER TABLE authkit_pets DROP COLUMN age")
        async with locked(database, "ACCESS SHARE"):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.open(TABLES)
            assert time.monotonic() - started < ALMOST_TWO_SECONDS + 1.0
        await store.open(TABLES)
        assert await store.get(PETS, "bob") == replace(BOB, age=0)


@pytest.mark.parametrize(("setting", "warnings"), [("off", 1), ("on", 0), ("local", 0)])
async def test_answers_before_the_disk_has_them_are_warned_of(
    database: str, caplog: pytest.LogCaptureFixture, setting: str, warnings: int
) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(f"{database}&synchronous_commit={setting}"):
        assert caplog.text.count("synchronous_commit is off") == warnings


async def test_an_engine_of_yours_stays_open(database: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(asyncpg.connect, database)
    )
    store = SqlStore(engine)
    await store.open(TABLES)
    await store.insert(PETS, BOB)
    await store.close()
    async with engine.connect() as connection:
        assert connection.sync_connection is not None
        assert await connection.get_isolation_level() == "READ COMMITTED"
    await engine.dispose()


async def test_an_outage_repeats_no_value(database: str) -> None:
    """It says what is wrong, and not which password hash was on its way."""
    value = secrets.token_hex(8)
    async with opened(database) as store:
        await run_sql(database, "ALTER TABLE authkit_pets DROP COLUMN age")
        with pytest.raises(StoreUnavailable) as outage:
            await store.insert(PETS, Pet(id="eve", name=value))
    told = "".join(traceback.format_exception(outage.value))
    assert 'column "age"' in told
    assert value not in told


# Where it cannot work


def test_on_trio_it_says_so() -> None:
    store = SqlStore("postgresql://127.0.0.1/rows")
    with pytest.raises(RuntimeError, match="needs asyncio"):
        trio.run(store.open, TABLES)


async def test_on_another_event_loop_it_says_so(database: str) -> None:
    async with opened(database) as store:
        for verb in (partial(store.open, TABLES), partial(store.get, PETS, "bob")):
            with pytest.raises(RuntimeError, match="another event loop"):
                await anyio.to_thread.run_sync(lambda asked: asyncio.run(asked()), verb)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql:ada:s3cret@host", id="no slashes"),
        pytest.param("postgresql://", id="nothing more"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://user:password@host") as complaint:
        store_from_url(url)
    assert "s3cret" not in str(complaint.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ada:s3/cret@host/rows", id="a slash in the password"),
        pytest.param("postgres://ada:s3cret@host:port/rows", id="a port of letters"),
        pytest.param("postgresql+asyncpg://ada:s3cret@host/rows?sslmode=s3cret", id="an option"),
    ],
)
async def test_a_url_that_cannot_be_read_repeats_no_password(url: str) -> None:
    store = store_from_url(url)
    with pytest.raises(ValueError, match="cannot be understood") as complaint:
        await store.open(TABLES)
    assert complaint.value.__suppress_context__
    await store.close()


def test_an_engine_of_another_driver_is_refused() -> None:
    other = create_async_engine("postgresql+asyncpg://")
    other.dialect.driver = "psycopg_async"
    with pytest.raises(ValueError, match="by asyncpg"):
        SqlStore(other)


@pytest.mark.parametrize("module", ["sqlalchemy", "asyncpg"])
def test_a_missing_extra_says_which_line_to_type(module: str) -> None:
    program = (
        f"import sys; sys.modules['{module}'] = None; "
        "from authkit_asgi.store.urls import store_from_url; store_from_url('postgresql://h/d')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "pip install 'authkit-asgi[postgres]'" in ran.stderr


# Helpers


async def every_verb(store: SqlStore) -> list[object]:
    """What each verb returned or raised."""
    answers: list[object] = []

    async def one(verb: Callable[[SqlStore], Awaitable[object]]) -> None:
        try:
            answers.append(await verb(store))
        except Exception as error:
            answers.append(error)

    async with anyio.create_task_group() as tasks:
        for verb in VERBS.values():
            tasks.start_soon(one, verb)
    return answers


def assert_unavailable(answers: list[object]) -> None:
    assert [type(answer) for answer in answers] == [StoreUnavailable] * len(VERBS)


@asynccontextmanager
async def locked(url: str, mode: str = "ACCESS EXCLUSIVE") -> AsyncIterator[None]:
    """Another program holds the tables."""
    other = await asyncpg.connect(url)
    await other.execute("BEGIN")
    await other.execute(f"LOCK TABLE authkit_pets, authkit_counters IN {mode} MODE")
    yield
    await other.execute("ROLLBACK")
    await other.close()


async def connections_of(url: str) -> int:
    """How many of this test's own there are, but for the one that asks."""
    [(count,)] = await run_sql(url, f"SELECT count(*) {OURS}")
    return int(count)
