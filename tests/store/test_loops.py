"""A store outlives the event loops that use it: TestClient makes one for each client."""

from __future__ import annotations

import asyncio
from pathlib import Path

from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing.store_suite import TABLES


def test_a_loop_that_ends_with_verbs_under_way_leaves_the_store_usable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "rows.db", durability="normal")
    asyncio.run(store.open(TABLES))
    for _ in range(50):
        asyncio.run(_leave(store))
    asyncio.run(asyncio.wait_for(store.add("visits", expires_at=60.0, now=0.0), 10))
    asyncio.run(store.close())


async def _leave(store: SqliteStore) -> None:
    verbs = [asyncio.create_task(_add(store)) for _ in range(30)]
    await asyncio.sleep(0)
    assert not all(verb.done() for verb in verbs)


async def _add(store: SqliteStore) -> None:
    await store.add("visits", expires_at=60.0, now=0.0)
