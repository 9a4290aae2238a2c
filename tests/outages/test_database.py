"""A PostgreSQL is down, slow, or read-only: nobody is signed out, nothing is taken for theft."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import httpx2
import pytest

from authkit_asgi.store.sql import SqlStore
from tests.outages.people import ADA, Town, assert_told_to_try_again, town
from tests.outages.table import proves
from tests.store.services import Proxy, proxy, run_sql
from tests.world import PASSWORD

SLOW = 5.0  # seconds

Sql: TypeAlias = tuple[Town, Proxy]


@pytest.fixture
def anyio_backend() -> str:
    """The driver knows no other."""
    return "asyncio"


@pytest.fixture
async def on_sql(database: str) -> AsyncIterator[Sql]:
    """A town on a PostgreSQL, and the wire between the two."""
    async with proxy(database) as wire, town(SqlStore(wire.url)) as one:
        yield one, wire


@proves("The store is down")
async def test_a_database_that_refuses_connections(on_sql: Sql) -> None:
    """SECURITY Q-06, S-05."""
    one, wire = on_sql
    await wire.refuse()
    await one.lives_on_without_the_store()
    await wire.listen()
    await one.is_as_if_nothing_had_been()


@proves("The store is slow")
async def test_a_database_that_answers_after_five_seconds(on_sql: Sql) -> None:
    """SECURITY Q-06, S-05: every answer comes before the database's."""
    one, wire = on_sql
    one.w.clock.pass_(seconds=2)
    wire.set("mute")
    began = time.monotonic()
    stranger = one.w.browser()
    goes_on, later = await together(
        lambda: one.ada.get("/members"),
        lambda: one.bob.get("/members"),
        lambda: one.bob.api("POST", "/token"),
        lambda: one.ada.api("GET", "/profile"),
        lambda: stranger.api("POST", "/login", {"email": ADA, "password": PASSWORD}),
    )
    took = time.monotonic() - began
    assert took < SLOW - 1
    assert [answer.status_code for answer in goes_on] == [200]
    assert_told_to_try_again(later)
    assert not any("set-cookie" in answer.headers for answer in goes_on + later)
    await anyio.sleep(SLOW - took)
    wire.set("pass")
    await one.is_as_if_nothing_had_been()


async def together(
    *asks: Callable[[], Awaitable[httpx2.Response]],
) -> tuple[list[httpx2.Response], list[httpx2.Response]]:
    """The answer to the first, and to all others, of what is asked at once."""
    answers: dict[int, httpx2.Response] = {}

    async def ask(number: int) -> None:
        answers[number] = await asks[number]()

    async with anyio.create_task_group() as tasks:
        for number in range(len(asks)):
            tasks.start_soon(ask, number)
    return [answers[0]], [answers[number] for number in range(1, len(asks))]


@proves("The store is read-only")
async def test_a_database_that_became_a_standby(on_sql: Sql, database: str) -> None:
    """SECURITY Q-06, S-05: reads answer, writes do not."""
    one, _ = on_sql
    async with read_only(database):
        await one.lives_on_without_the_store(reads=True)
        assert (await one.ada.api("GET", "/profile")).status_code == 200
    await one.is_as_if_nothing_had_been()


@asynccontextmanager
async def read_only(database: str) -> AsyncIterator[None]:
    """All connections of this test's applications are made anew, and may not write."""
    ours = "FROM pg_stat_activity WHERE application_name = current_setting('application_name')"
    cut = f"SELECT pg_terminate_backend(pid) {ours} AND pid <> pg_backend_pid()"
    name = (await run_sql(database, "SELECT current_database()"))[0][0]
    word = "default_transaction_read_only"
    await run_sql(database, f"ALTER DATABASE {name} SET {word} = on", cut)
    try:
        yield
    finally:
        reset = f"ALTER DATABASE {name} RESET {word}"
        await run_sql(database, f"SET {word} = off", reset, cut)
