"""Our stores keep the contract, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing.store_suite import TABLES, StoreSuite


@pytest.mark.promise("conformance", store="memory")
class TestMemoryStore(StoreSuite):
    """Q-02."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        await store.open(TABLES)
        yield store
        await store.close()


@pytest.mark.promise("conformance", store="SQLite")
class TestSqliteStore(StoreSuite):
    """Q-02."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "rows.db", durability="normal")
        await store.open(TABLES)
        yield store
        await store.close()
