"""Rows in this process's memory: for tests, and for a first look. They end with the process."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import anyio.lowlevel

from authkit_asgi.store import Change, R, Range, Table, Taken, Value, Where

logger = logging.getLogger("authkit_asgi.store")

SWEEP_AFTER = 1024  # counters, before those that are over are first looked for


class MemoryStore:
    """A dictionary for each table.

    A verb lets other tasks run first and then works without a pause, so it is one step and needs no
    lock. Without that pause a test on this store would never see two tasks race.
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {}
        self._counters: dict[str, tuple[int, float]] = {}
        self._sweep_at = SWEEP_AFTER

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        if url.partition(":")[2]:
            raise ValueError("The database URL of the memory store is just `memory:`")
        return cls()

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        if _has_siblings():
            for weakness in await self.weaknesses():
                logger.warning(weakness)
        await anyio.lowlevel.checkpoint()
        for table in tables:
            self._tables.setdefault(table.name, {})

    async def pending(self, tables: Iterable[Table[Any]]) -> list[Change]:
        return []

    async def weaknesses(self) -> list[str]:
        return ["rows in memory end with the process, and each worker has its own"]

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def get(self, table: Table[R], key: str) -> R | None:
        await anyio.lowlevel.checkpoint()
        return self._rows(table).get(key)

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
        await anyio.lowlevel.checkpoint()
        column = order or table.key
        rows = [row for row in self._rows(table).values() if _matches(row, where)]
        if after is not None:
            rows = [row for row in rows if _is_past(getattr(row, column), after, descending)]
        rows.sort(key=_place(column, table.key), reverse=descending)
        return rows[:limit]

    async def insert(self, table: Table[R], record: R) -> None:
        await anyio.lowlevel.checkpoint()
        rows = self._rows(table)
        key = getattr(record, table.key)
        if key in rows:
            if rows[key] == record:  # sent again after a lost answer
                return
            raise Taken(table.key)
        self._claim(table, record)
        rows[key] = record

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        await anyio.lowlevel.checkpoint()
        rows = self._rows(table)
        old: Any = rows.get(key)
        if old is None or not _matches(old, expect):
            return None
        new: R = dataclasses.replace(old, **change)
        self._claim(table, new)
        rows[key] = new
        return new

    async def take(self, table: Table[R], key: str) -> R | None:
        await anyio.lowlevel.checkpoint()
        return self._rows(table).pop(key, None)

    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        await anyio.lowlevel.checkpoint()
        rows = self._rows(table)
        keys = [key for key, row in rows.items() if _matches(row, where)][:limit]
        for key in keys:
            del rows[key]
        return len(keys)

    async def count(self, table: Table[R], where: Where) -> int:
        await anyio.lowlevel.checkpoint()
        return sum(_matches(row, where) for row in self._rows(table).values())

    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        await anyio.lowlevel.checkpoint()
        value, end = self._counters.get(counter, (0, now))
        if end <= now:
            value, end = 0, expires_at
        if amount:
            self._sweep(now)
            self._counters[counter] = value + amount, end
        return value + amount

    def _rows(self, table: Table[R]) -> dict[str, R]:
        if table.name not in self._tables:
            raise LookupError(f"open() was never told of the table {table.name}")
        return self._tables[table.name]

    def _claim(self, table: Table[R], record: R) -> None:
        key = getattr(record, table.key)
        for column in table.unique:
            value = getattr(record, column)
            for other, row in self._rows(table).items():
                if other != key and value is not None and getattr(row, column) == value:
                    raise Taken(column)

    def _sweep(self, now: float) -> None:
        """Whatever a stranger tries has a counter: let go of those that are over."""
        if len(self._counters) < self._sweep_at:
            return
        living = {name: one for name, one in self._counters.items() if one[1] > now}
        self._counters = living
        self._sweep_at = SWEEP_AFTER + 2 * len(living)


def _has_siblings() -> bool:
    """Servers that start several workers say so in the environment, or start this process by
    `multiprocessing`."""
    workers = os.environ.get("WEB_CONCURRENCY", "")
    return multiprocessing.parent_process() is not None or workers not in ("", "0", "1")


def _matches(row: object, where: Where) -> bool:
    return all(_holds(getattr(row, column), wanted) for column, wanted in where.items())


def _holds(value: Any, wanted: Value | Range) -> bool:
    if not isinstance(wanted, Range):
        return bool(value == wanted)
    if value is None or (wanted.ge is not None and value < wanted.ge):
        return False
    return wanted.lt is None or bool(value < wanted.lt)


def _is_past(value: Any, after: Any, descending: bool) -> bool:
    return value is not None and bool(value < after if descending else value > after)


def _place(column: str, key: str) -> Callable[[object], tuple[Any, ...]]:
    """Where a row stands in the order. None comes before every value, as in SQLite."""

    def place(row: object) -> tuple[Any, ...]:
        value = getattr(row, column)
        return value is not None, 0 if value is None else value, getattr(row, key)

    return place
