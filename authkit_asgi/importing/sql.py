"""Tables of fastapi-users and of Django, in any database that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import anyio.to_thread

try:
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
except ImportError as missing:
    raise ImportError(
        "Reading a SQL database needs SQLAlchemy: pip install 'authkit-asgi[sql]', or [postgres]"
    ) from missing

from authkit_asgi.importing import BATCH, Person, SourceProblem, Unreadable

# To SQLAlchemy, these mean a library that this package does not use, or another way of saying
# `sslmode`: they mean here what they mean in AUTHKIT_DATABASE_URL.
OURS = ("postgresql", "postgres", "postgresql+asyncpg")


class _Table:
    """One table, read by its key in batches: no transaction stays open, and nothing is locked."""

    default: ClassVar[str]
    columns: ClassVar[dict[str, str]]
    needed: ClassVar[frozenset[str]]

    def __init__(self, place: str, *, table: str | None = None) -> None:
        try:
            self._engine = _engine(place)
        except ModuleNotFoundError as missing:
            raise SourceProblem(f"This database needs a driver: {missing.name}.") from None
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise SourceProblem(
                "The source must be a URL of SQLAlchemy, like sqlite:///old.db or "
                "postgresql://user:password@host/database."
            ) from error
        schema, _, self._name = (table or self.default).rpartition(".")
        self._schema = schema or None
        self._key: sa.ColumnElement[Any] = sa.column(self.columns["id"])

    async def people(self) -> AsyncIterator[Person | Unreadable]:
        there = await self._run(self._columns_there)
        if missing := sorted(self.needed - there):
            raise SourceProblem(f"The table {self._name!r} has no column {missing[0]!r}.")
        for _ in range(await self._run(self._nameless)):
            yield Unreadable("no id", "The id is NULL, and nothing else says which row this is.")
        read = {name: column for name, column in self.columns.items() if column in there}
        last: object = None
        while rows := await self._run(partial(self._rows, list(read.values()), last)):
            for row in rows:
                yield self._person(dict(zip(read, row, strict=True)))
            last = rows[-1][list(read).index("id")]

    async def close(self) -> None:
        if isinstance(self._engine, AsyncEngine):
            await self._engine.dispose()
        else:
            self._engine.dispose()

    async def _run(self, work: Callable[[sa.Connection], Any]) -> Any:
        try:
            if isinstance(self._engine, AsyncEngine):
                async with self._engine.connect() as connection:
                    return await connection.run_sync(work)
            return await anyio.to_thread.run_sync(_in_connection, self._engine, work)
        except (SQLAlchemyError, OSError, ValueError, TypeError) as error:
            cause = type(getattr(error, "orig", None) or error).__name__
            raise SourceProblem(f"The database cannot be read ({cause}).") from None

    def _columns_there(self, connection: sa.Connection) -> set[str]:
        inspector = sa.inspect(connection)
        if not inspector.has_table(self._name, schema=self._schema):
            raise SourceProblem(f"There is no table {self._name!r}; --table names another one.")
        columns = inspector.get_columns(self._name, schema=self._schema)
        return {column["name"] for column in columns}

    def _nameless(self, connection: sa.Connection) -> int:
        """How many rows have no id: of a view, say, or in a table of SQLite."""
        table = sa.table(self._name, schema=self._schema)
        query = sa.select(sa.func.count()).select_from(table)
        return connection.scalar(query.where(self._key.is_(None))) or 0

    def _rows(
        self, columns: Sequence[str], last: object, connection: sa.Connection
    ) -> Sequence[sa.Row[Any]]:
        # Without types: values come as the driver has them, and a strange one is judged with its
        # row, instead of ending them all.
        asked: list[sa.ColumnClause[Any]] = [sa.column(name) for name in columns]
        table = sa.table(self._name, *asked, schema=self._schema)
        query = sa.select(*asked).select_from(table).order_by(self._key).limit(BATCH)
        past = self._key.is_not(None) if last is None else self._key > last
        return connection.execute(query.where(past)).all()

    def _person(self, row: dict[str, Any]) -> Person:
        if isinstance(row["id"], UUID):
            row["id"] = str(row["id"])
        return Person(where=f"id {row['id']}", **row)


def _in_connection(engine: sa.Engine, work: Callable[[sa.Connection], Any]) -> Any:
    with engine.connect() as connection:
        return work(connection)


def _engine(place: str) -> AsyncEngine | sa.Engine:
    if place.partition(":")[0] in OURS:
        engine: AsyncEngine = import_module("authkit_asgi.store.sql").engine_for(place, 1)
        return engine
    url = sa.make_url(place)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SourceProblem(f"There is no file {url.database}.")  # and none is made
    made = create_async_engine(url) if url.get_dialect().is_async else sa.create_engine(url)
    if url.get_backend_name() == "sqlite":
        sync = made.sync_engine if isinstance(made, AsyncEngine) else made
        event.listen(sync, "connect", _take_any_text)
    return made


def _take_any_text(connection: Any, record: Any) -> None:
    """SQLite keeps whatever it was given as text. What is no UTF-8 is judged with its row."""
    record.driver_connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")


class FastapiUsers(_Table):
    """`SQLAlchemyBaseUserTable`, and columns for names where the app added them."""

    default = "user"
    needed = frozenset({"id", "email", "hashed_password"})
    columns: ClassVar[dict[str, str]] = {
        "id": "id",
        "email": "email",
        "password_hash": "hashed_password",
        "is_active": "is_active",
        "is_admin": "is_superuser",
        "is_verified": "is_verified",
        "username": "username",
        "firstname": "first_name",
        "lastname": "last_name",
        "created_at": "created_at",
    }


class Django(_Table):
    """`auth_user`, or a model of one's own that inherits from `AbstractUser`."""

    default = "auth_user"
    needed = frozenset({"id", "email", "password"})
    columns: ClassVar[dict[str, str]] = {
        "id": "id",
        "email": "email",
        "password_hash": "password",
        "username": "username",
        "firstname": "first_name",
        "lastname": "last_name",
        "is_active": "is_active",
        "is_admin": "is_superuser",
        "created_at": "date_joined",
        "last_login_at": "last_login",
    }

    def _person(self, row: dict[str, Any]) -> Person:
        # The mark of an account without a password (`set_unusable_password`).
        if str(row["password_hash"]).startswith("!"):
            row["password_hash"] = None
        return _Table._person(self, row)
