"""PostgreSQL keeps the contract: the suite, what tables become, round trips, many processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from authkit_asgi.store import Store
from authkit_asgi.store.sql import SqlStore
from authkit_asgi.testing.store_suite import TABLES, StoreSuite


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


class TestSqlStore(StoreSuite):
    """Q-02."""

    @pytest.fixture
    def store(self, store: Store) -> Store:
        return store
