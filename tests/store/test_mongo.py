"""MongoDB: the contract on both drivers, and what only a server on the network can suffer."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from authkit_asgi.store import Store
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.testing.store_suite import TABLES, StoreSuite
from tests.store.mongod import running


@pytest.fixture
def anyio_backend() -> str:
    """MongoDB's drivers know no trio."""
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server that most tests share: ours, or a replica set of yours."""
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        yield ours.url


@pytest.fixture
def name(server: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"authkit_test_{secrets.token_hex(6)}"
    yield name
    with MongoClient[Any](server) as client:
        client.drop_database(name)


class TestPyMongo(StoreSuite):
    """Q-01, Q-02, Q-04."""

    @pytest.fixture
    async def store(self, server: str, name: str) -> AsyncIterator[Store]:
        store = MongoStore(server, database=name)
        await store.open(TABLES)
        yield store
        await store.close()


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
