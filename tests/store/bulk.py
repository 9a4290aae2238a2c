"""Many accounts and sessions, put into a database past the store: for what only many rows show."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import Any

import asyncpg

from authkit_asgi.accounts import User
from authkit_asgi.core.rotation import Session

STEP = 20_000  # rows at a time
BEGAN_AT = 1_800_000_000.0  # seconds since the epoch
# The hash of some password; nobody signs in with it.
HASH = "$bcrypt-sha256$v=2,t=2b,r=12$cmsmj8CLDQrMRu22XiWQie$gkAhi3Tyaz4lCiNA3yP41otMhkcEKYC"


async def fill(
    place: str,
    *,
    users: int,
    sessions: int,
    begin: int = 0,
    purge_at: float = BEGAN_AT + 100 * 86_400,
    told: Callable[[str, int], None] = lambda table, rows: None,
) -> None:
    """`place`: the path of a SQLite file, or a URL of PostgreSQL, with its tables made. Sessions
    are numbered from `begin`, users only where that is 0; `told` hears of each step."""
    many = (("users", (_user(n) for n in range(0 if begin else users))),)
    more = (("sessions", (_session(begin + n, users, purge_at) for n in range(sessions))),)
    if place.startswith("postgres"):
        await _copy(place, [*many, *more], told)
    else:
        _insert(place, [*many, *more], told)


def user_id(number: int) -> str:
    return f"{number:032x}"


def session_id(number: int) -> str:
    return f"{number:032x}"


def _user(number: int) -> User:
    return User(
        id=user_id(number),
        firstname="Ada",
        lastname=f"Lovelace {number}",
        username=f"ada{number}",
        username_key=f"ada{number}",
        email=f"ada{number}@example.test",
        email_key=f"ada{number}@example.test",
        password_hash=HASH,
        is_verified=True,
        created_at=BEGAN_AT + number / 1000,
    )


def _session(number: int, users: int, purge_at: float) -> Session:
    at = BEGAN_AT + number / 1000
    return Session(
        id=session_id(number),
        user_id=user_id(number % users),
        rotated_at=at,
        created_at=at,
        last_seen_at=at,
        idle_expires_at=at + 7 * 86_400,
        expires_at=at + 90 * 86_400,
        methods=("pwd",),
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
        ip="192.0.2.7",
        purge_at=purge_at,
    )


def _steps(records: Iterator[Any]) -> Iterator[list[Any]]:
    while step := list(islice(records, STEP)):
        yield step


def _columns(record: Any) -> list[str]:
    return [field.name for field in fields(record)]


def _rows(step: list[Any]) -> Iterator[tuple[Any, ...]]:
    return map(attrgetter(*_columns(step[0])), step)


def _insert(path: str, tables: list[tuple[str, Iterator[Any]]], told: Callable[..., None]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA synchronous = OFF")
        for table, records in tables:
            done = 0
            for step in _steps(records):
                names = [f"[{name}]" for name in _columns(step[0])]
                marks = ", ".join("?" * len(names))
                rows = ([_as_text(value) for value in row] for row in _rows(step))
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    f"INSERT INTO [{table}] ({', '.join(names)}) VALUES ({marks})", rows
                )
                connection.execute("COMMIT")
                told(table, done := done + len(step))


def _as_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


async def _copy(
    url: str, tables: list[tuple[str, Iterator[Any]]], told: Callable[..., None]
) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table, records in tables:
            done = 0
            for step in _steps(records):
                await connection.copy_records_to_table(
                    f"authkit_{table}", records=_rows(step), columns=_columns(step[0])
                )
                told(table, done := done + len(step))
    finally:
        await connection.close()
