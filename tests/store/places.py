"""The databases that a test runs on, each an empty one of its own: `@on(*STORES)` and `place`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from authkit_asgi.store import Store
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.urls import store_from_url
from tests.promises import STORES as STORES
from tests.store.services import run_sql

MEMORY, SQLITE, POSTGRES, PYMONGO, MOTOR = STORES


def on(*stores: str) -> pytest.MarkDecorator:
    """Run the test on each of these; `place` is the database."""
    params = [
        pytest.param(one, marks=pytest.mark.promise(store=one), id=one.split()[-1].lower())
        for one in stores
    ]
    return pytest.mark.parametrize("place", params, indirect=True)


@dataclass(frozen=True)
class Place:
    """One empty database. `kind` is one of STORES."""

    kind: str
    url: str

    @property
    def file(self) -> Path:
        """Of SQLite."""
        return Path(self.url.removeprefix("sqlite:///"))

    @asynccontextmanager
    async def store(self, **options: Any) -> AsyncIterator[Store]:
        """A store on it, not opened yet; in the end it is closed. `options` are for the driver of
        MongoDB."""
        client = AsyncIOMotorClient[Any](self.url, **options) if self.kind == MOTOR else None
        store = store_from_url(self.url) if client is None else MongoStore(client)
        try:
            yield store
        finally:
            await store.close()
            if client is not None:
                client.close()


def made(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The fixture. Servers are only started for what needs them."""
    if kind == MEMORY:
        yield Place(kind, "memory:")
    elif kind == SQLITE:
        yield Place(kind, f"sqlite:///{tmp_path / 'rows.db'}")
    elif kind == POSTGRES:
        server, name = request.getfixturevalue("postgres_url"), f"test_{secrets.token_hex(4)}"
        _run_sql(server, f"CREATE SCHEMA {name}")
        yield Place(kind, f"{server}{'&' if '?' in server else '?'}search_path={name}")
        _run_sql(server, f"DROP SCHEMA {name} CASCADE")
    else:
        server, name = request.getfixturevalue("mongodb_url"), f"test_{secrets.token_hex(6)}"
        base, _, options = server.partition("?")
        yield Place(kind, f"{base.rstrip('/')}/{name}?{options}".rstrip("?"))
        with MongoClient[Any](server) as client:
            client.drop_database(name)


def _run_sql(url: str, statement: str) -> None:
    with ThreadPoolExecutor(1) as beside:  # a loop may be running here
        beside.submit(asyncio.run, run_sql(url, statement)).result()
