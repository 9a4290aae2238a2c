"""The databases under test: each empty, and on its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.databases import Database
from tests.store.conftest import postgres_url as postgres_url
from tests.store.mongod import running
from tests.store.services import run_sql


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no trio


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        yield ours.url


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Of the databases: see `databases.on`."""
    named: str = request.param
    return named


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> str:
    """The URL of a server of that kind; nothing for a file."""
    fixtures = {"SQLite": "", "PostgreSQL": "postgres_url"}
    fixture = fixtures.get(kind, "mongodb_url")
    return request.getfixturevalue(fixture) if fixture else ""


@pytest.fixture
async def database(kind: str, server: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one of the test's kind."""
    name = f"faults_{secrets.token_hex(4)}"
    if kind == "SQLite":
        yield Database(kind, f"sqlite:///{tmp_path}/authkit.db")
    elif kind == "PostgreSQL":
        await run_sql(server, f"CREATE SCHEMA {name}")
        sign = "&" if "?" in server else "?"
        yield Database(kind, f"{server}{sign}search_path={name}")
        await run_sql(server, f"DROP SCHEMA {name} CASCADE")
    else:
        base, _, options = server.partition("?")
        yield Database(kind, f"{base.rstrip('/')}/{name}" + (f"?{options}" if options else ""))
