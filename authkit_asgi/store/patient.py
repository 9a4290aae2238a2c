"""Any store, as the kit asks it: no longer than the request at hand has patience."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from authkit_asgi.patience import in_time
from authkit_asgi.store import R, Store, Table, Value, Where


class PatientStore:
    """The same verbs. Where the patience of a request ends, so does the verb: as in any outage it
    was done, or not."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        await self._store.open(tables)

    async def close(self) -> None:
        await self._store.close()

    async def get(self, table: Table[R], key: str) -> R | None:
        return await in_time(lambda: self._store.get(table, key))

    async def find(
        self,
        table: Table[R],
        where: Where,
        *,
        order: str | None = None,
        descending: bool = False,
        limit: int = 100,
        after: Value = None,
    ) -> list[R]:
        return await in_time(
            lambda: self._store.find(
                table, where, order=order, descending=descending, limit=limit, after=after
            )
        )

    async def insert(self, table: Table[R], record: R) -> None:
        await in_time(lambda: self._store.insert(table, record))

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        return await in_time(lambda: self._store.swap(table, key, expect=expect, change=change))

    async def take(self, table: Table[R], key: str) -> R | None:
        return await in_time(lambda: self._store.take(table, key))

    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        return await in_time(lambda: self._store.delete(table, where, limit=limit))

    async def count(self, table: Table[R], where: Where) -> int:
        return await in_time(lambda: self._store.count(table, where))

    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        return await in_time(
            lambda: self._store.add(counter, amount, expires_at=expires_at, now=now)
        )
