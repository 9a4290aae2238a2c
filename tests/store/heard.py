"""What a store says to its database, written down on the way."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.sql import SqlStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.store.places import MEMORY, MOTOR, POSTGRES, SQLITE, Place
from tests.store.services import proxy
from tests.world import CountingStore

FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class Commands(CommandListener):
    """What a driver of MongoDB sends, but for looking around."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in ("hello", "ping", "endSessions"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@contextmanager
def statements_of_sqlite(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """With their values in them. It is SQLite that tells: of every connection made meanwhile."""
    told: list[str] = []

    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **more)
        connection.set_trace_callback(
            lambda text: None if text.lstrip().startswith(FRAME) else told.append(text)
        )
        return connection

    real = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        yield told


@asynccontextmanager
async def commands_of_mongo(place: Place) -> AsyncIterator[tuple[Store, Commands]]:
    heard = Commands()
    driver: Any = AsyncIOMotorClient if place.kind == MOTOR else AsyncMongoClient
    client = driver(place.url, event_listeners=[heard])
    store = MongoStore(client)
    try:
        yield store, heard
    finally:
        await store.close()
        if (closing := client.close()) is not None:
            await closing


@asynccontextmanager
async def counted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Store, Callable[[], int]]]:
    """A store, and how often it asked its database so far and waited for an answer."""
    if place.kind == MEMORY:
        store = CountingStore(MemoryStore())
        yield store, lambda: len(store.calls)
    elif place.kind == SQLITE:
        with statements_of_sqlite(monkeypatch) as told:
            sqlite = SqliteStore(place.file)
            yield sqlite, lambda: len(told)
            await sqlite.close()
    elif place.kind == POSTGRES:
        async with proxy(place.url) as between:
            sql = SqlStore(between.url, connections=1)
            # The server answers at each Sync or Query.
            yield sql, lambda: between.messages["S"] + between.messages["Q"]
            await sql.close()
    else:
        async with commands_of_mongo(place) as (mongo, heard):
            yield mongo, lambda: len(heard.sent)
