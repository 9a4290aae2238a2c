"""The machine plays on every store: nobody is signed out by mistake, and no thief stays."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from authkit_asgi.store import Store
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.sql import SqlStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.machines.places import memory, place, play
from tests.machines.street import Place
from tests.store.services import run_sql
from tests.telling import Tell


@pytest.fixture
def on_memory() -> Iterator[Place]:
    with place(memory) as here:
        yield here


@pytest.fixture
def on_memory_by_trio() -> Iterator[Place]:
    with place(memory, "trio") as here:
        yield here


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Place]:
    async def make() -> Store:
        return SqliteStore(tmp_path / "rows.db", durability="normal")

    with place(make) as here:
        yield here


@pytest.fixture
def on_postgresql(postgres_url: str) -> Iterator[Place]:
    name = f"street_{secrets.token_hex(4)}"
    sign = "&" if "?" in postgres_url else "?"

    async def make() -> Store:
        await run_sql(postgres_url, f"CREATE SCHEMA {name}")
        return SqlStore.from_url(f"{postgres_url}{sign}search_path={name}")

    with place(make) as here:
        yield here
        here.run(run_sql, postgres_url, f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def on_pymongo(mongodb_url: str) -> Iterator[Place]:
    async def make() -> Store:
        return MongoStore(mongodb_url, database=f"street_{secrets.token_hex(4)}")

    with place(make) as here:
        yield here


@pytest.fixture
def on_motor(mongodb_url: str) -> Iterator[Place]:
    clients: list[AsyncIOMotorClient[Any]] = []

    async def make() -> Store:
        clients.append(AsyncIOMotorClient[Any](mongodb_url))
        return MongoStore(clients[0], database=f"street_{secrets.token_hex(4)}")

    with place(make) as here:
        yield here
    clients[0].close()


def on(store: str, fixture: str, steps: int) -> Any:
    proves = pytest.mark.promise("rotation", store=store)
    return pytest.param(fixture, steps, marks=proves, id=fixture.replace("_", " "))


@pytest.mark.parametrize(
    ("fixture", "steps"),
    [
        on("memory", "on_memory", 10_000),
        on("memory", "on_memory_by_trio", 1_000),
        on("SQLite", "on_sqlite", 1_000),
        on("PostgreSQL", "on_postgresql", 1_000),
        on("MongoDB by PyMongo", "on_pymongo", 1_000),
        on("MongoDB by Motor", "on_motor", 1_000),
    ],
)
def test_the_machine_plays(
    fixture: str, steps: int, request: pytest.FixtureRequest, tell: Tell
) -> None:
    """S-02, S-03, S-04, S-05, S-06, S-08, S-10, S-24, Q-07, Q-09."""
    here: Place = request.getfixturevalue(fixture)
    play(here, steps)
    met = here.happened
    told = ", ".join(f"{count} {name}" for name, count in met.most_common())
    heading = "a machine played browsers on bad lines, and a thief"
    tell(heading, f"{fixture.replace('_', ' ')}: {here.steps} steps: {told}")
    # It proves nothing by standing about.
    assert min(met["rotate"], met["join"], met["outage"], met["theft"]) > 0
    assert met["reused"] > 0 or steps < 10_000
