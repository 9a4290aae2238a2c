"""Rows in PostgreSQL, for many workers on many machines: SQLAlchemy Core on asyncpg.

Each verb is one statement that commits by itself: one round trip, and nothing to roll back. Which
of two racing statements wins is decided in the server, by the lock of the row. Needs asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Change, R, Table, Value, Where

try:
    import asyncpg
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.dialects.postgresql import insert
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError
    from sqlalchemy.exc import TimeoutError as PoolTimeout
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
except ModuleNotFoundError as absent:
    raise ModuleNotFoundError(
        "SqlStore needs SQLAlchemy and asyncpg: pip install 'authkit-asgi[postgres]'"
    ) from absent

from authkit_asgi.store.migrations import Found, written_down
from authkit_asgi.store.migrations import Shape as TableShape
from authkit_asgi.store.sql_tables import Schema, Shape, stored

T = TypeVar("T")
Read = Callable[[sa.CursorResult[Any]], T]

PATIENCE = 2  # seconds that a verb waits for a connection and for its answer, together
LOCK_WAIT = 2.0  # seconds that a change of a table may wait, and then holds up everybody else's use
MAKING = 60.0  # seconds that `open` may take for what is missing: an index over many rows
RECYCLE = 300.0  # seconds after which a connection is made anew: firewalls forget silent ones
LINGER = 60.0  # seconds that a counter outlives its end: clocks of workers differ

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
OPENING = 0x617574686B6974  # "authkit": the advisory lock of whoever makes tables
# States of SQL after which nothing was done, and the same statement may well succeed.
RACED = ("40001", "40P01")  # serialization failure, deadlock
# Another server may be the one that takes writes now: connect anew.
MOVED = ("25006", "57P01", "57P02", "57P03")  # read only, shutdown, crash, starting up

HERE = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
LOOK = sa.text(f"""
SELECT t.relname, NULL, a.attname FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
WHERE t.relnamespace = {HERE} AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT t.relname, i.relname, a.attname FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a ON a.attrelid = t.oid
WHERE t.relnamespace = {HERE} AND a.attnum = ANY (x.indkey) AND NOT x.indisprimary
""")  # noqa: S608
RISKS = {
    "synchronous_commit": "synchronous_commit is off: a crash of PostgreSQL undoes the last"
    " moments; a session that was refreshed in them asks for a new sign-in",
    "fsync": "fsync is off: a crash of the machine can leave PostgreSQL's files in ruins",
}
# Each count lets go of two that are over, so the table never outgrows what lives.
RAISE_COUNTER = """
WITH swept AS (
    DELETE FROM {counters} WHERE name IN (
        SELECT name FROM {counters} WHERE expires_at <= :over AND name <> :name
        ORDER BY expires_at LIMIT 2 FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO {counters} AS old (name, value, expires_at) VALUES (:name, :amount, :expires_at)
ON CONFLICT (name) DO UPDATE SET
    value = EXCLUDED.value + CASE WHEN old.expires_at <= :now THEN 0 ELSE old.value END,
    expires_at = CASE WHEN old.expires_at <= :now THEN EXCLUDED.expires_at ELSE old.expires_at END
RETURNING old.value
"""

logger = logging.getLogger("authkit_asgi.store")


class SqlStore:
    """The store in a PostgreSQL database, named by its URL or reached by an engine of yours.

    A URL goes to asyncpg as it is: `sslmode`, `target_session_attrs`, several hosts and the like
    work as in every PostgreSQL client. An engine must be one for asyncpg; it stays yours to
    dispose of, and its pool is shared with whatever else you do on it.

    `prefix` begins the name of each table, so that ours stand beside yours. `connections` is how
    many this process has at most.

    Connections belong to the event loop that opened the store: a store serves one loop at a time.
    """

    def __init__(
        self, database: str | AsyncEngine, *, prefix: str = "authkit_", connections: int = 10
    ) -> None:
        self._is_ours = isinstance(database, str)
        engine = engine_for(database, connections) if isinstance(database, str) else database
        if (engine.dialect.name, engine.dialect.driver) != ("postgresql", "asyncpg"):
            raise ValueError("SqlStore speaks to PostgreSQL by asyncpg: postgresql+asyncpg://…")
        self._pool = engine
        # Each statement commits by itself: no BEGIN, no COMMIT.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._prefix = prefix
        self._tables: dict[str, Table[Any]] = {}
        self._schema = Schema((), prefix)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    def from_url(cls, url: str) -> SqlStore:
        """`postgresql://user:password@host:5432/database`."""
        return cls(url)

    @property
    def metadata(self) -> sa.MetaData:
        """The tables that were opened."""
        return self._schema.metadata

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        loop = _running_loop()
        if self._loop not in (None, loop):
            raise RuntimeError(
                "This SqlStore is open on another event loop: close it there, or use one for each"
            )
        known = self._tables | {table.name: table for table in tables}
        schema = Schema(known.values(), self._prefix)
        for weakness in await self.weaknesses():
            logger.warning(weakness)
        if await self._named(self._in_time(self._look(schema))):
            # It goes on when nobody waits any longer: begun anew by each request that has no more
            # patience, an index over many rows would never be done.
            try:
                await self._named(self._in_time(self._migrate(schema), MAKING, is_kept=True))
            except IntegrityError as error:
                raise schema.refusal(error) from None
        self._tables, self._schema, self._loop = known, schema, loop

    async def pending(self, tables: Iterable[Table[Any]]) -> list[Change]:
        """What `open` would change."""
        _running_loop()
        return await self._named(self._in_time(self._look(Schema(tables, self._prefix))))

    async def weaknesses(self) -> list[str]:
        """What the server's settings can lose."""
        _running_loop()
        return await self._named(self._in_time(self._ask_for_risks()))

    async def close(self) -> None:
        self._loop = None
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._is_ours:
            await self._pool.dispose()

    async def get(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        statement = sa.select(shape.rows).where(*shape.conditions({table.key: key}))
        return await self._ask(statement, shape.first, again=True)

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
        shape = self._shape(table)
        column = shape.column(order or table.key)
        statement = sa.select(shape.rows).where(*shape.conditions(where))
        if after is not None:
            statement = statement.where(column < after if descending else column > after)
        places = shape.places(column, where, descending=descending)
        return await self._ask(statement.order_by(*places).limit(limit), shape.all, again=True)

    async def insert(self, table: Table[R], record: R) -> None:
        shape = self._shape(table)
        statement = insert(shape.rows).values(shape.values(record))
        try:
            await self._ask(statement, _nothing, again=True)
        except IntegrityError as error:
            if await self.get(table, getattr(record, table.key)) != record:
                raise shape.refusal(error) from None

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        shape = self._shape(table)
        # With nothing to change the key becomes itself: a swap may also just ask.
        changes = {shape.column(name): stored(value) for name, value in change.items()}
        statement = (
            sa.update(shape.rows)
            .where(*shape.conditions({table.key: key}), *shape.conditions(expect))
            .values(changes or {shape.key: shape.key})
            .returning(shape.rows)
        )
        try:
            return await self._ask(statement, shape.first)
        except IntegrityError as error:
            raise shape.refusal(error) from None

    async def take(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        condition = shape.conditions({table.key: key})
        return await self._ask(
            sa.delete(shape.rows).where(*condition).returning(shape.rows), shape.first
        )

    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        shape = self._shape(table)
        # Picked once, and locked: what changed meanwhile is looked at again before it goes.
        picked = sa.select(shape.key).where(*shape.conditions(where)).limit(limit).with_for_update()
        keys = sa.func.array(picked.scalar_subquery())
        statement = sa.delete(shape.rows).where(shape.key == sa.any_(keys))
        return await self._ask(statement, lambda result: result.rowcount)

    async def count(self, table: Table[R], where: Where) -> int:
        shape = self._shape(table)
        statement = sa.select(sa.func.count()).select_from(shape.rows)
        return await self._ask(statement.where(*shape.conditions(where)), _number, again=True)

    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        counters = self._schema.counters
        if not amount:
            living = (counters.c.name == counter, counters.c.expires_at > now)
            return await self._ask(sa.select(counters.c.value).where(*living), _number, again=True)
        statement = sa.text(RAISE_COUNTER.format(counters=counters.name)).bindparams(
            name=counter, amount=amount, expires_at=expires_at, now=now, over=now - LINGER
        )
        return await self._ask(statement, _number)

    def _shape(self, table: Table[R]) -> Shape[R]:
        if table.name not in self._schema.shapes:
            raise LookupError(f"open() was never told of the table {table.name}")
        return self._schema.shapes[table.name]

    async def _ask(self, statement: sa.Executable, read: Read[T], *, again: bool = False) -> T:
        """`again`: doing it twice does no harm, so it is sent anew when its connection was lost."""
        if self._loop is None:
            raise StoreUnavailable
        if self._loop is not _running_loop():
            raise RuntimeError("This SqlStore was opened on another event loop: use one for each")
        return await self._named(self._in_time(self._send(statement, read, again)))

    async def _send(self, statement: sa.Executable, read: Read[T], again: bool) -> T:
        while True:
            try:
                async with self._engine.connect() as connection:
                    return read(await connection.execute(statement))
            except DBAPIError as error:
                if not (_state(error) in RACED or (again and error.connection_invalidated)):
                    raise
                again = again and not error.connection_invalidated

    async def _in_time(
        self, work: Coroutine[Any, Any, T], patience: float = PATIENCE, *, is_kept: bool = False
    ) -> T:
        """What the work returns, in a task of its own.

        Who asked is never kept longer: the task stays behind to let go of its connection, for which
        the driver asks the server to give up and waits for it to agree.
        """
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=patience)
            if not task.done():
                task.cancel()
                raise TimeoutError
            return task.result()
        except asyncio.CancelledError:
            if not is_kept:
                task.cancel()
            raise

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # somebody has looked at it

    async def _named(self, work: Coroutine[Any, Any, T]) -> T:
        """The work, with an outage named as such."""
        try:
            return await work
        except IntegrityError:
            raise
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            if _state(error).startswith("22"):  # the driver's words would repeat the value
                raise ValueError("PostgreSQL cannot hold one of these values") from None
            raise StoreUnavailable from _driver_error(error)

    async def _look(self, schema: Schema) -> list[Change]:
        async with self._engine.connect() as connection:
            return [one.change for one in schema.planned(await _found(connection, schema))]

    async def _ask_for_risks(self) -> list[str]:
        async with self._engine.connect() as connection:
            settings = [sa.func.current_setting(name) for name in RISKS]
            [values] = await connection.execute(sa.select(*settings))
            return [told for told, on in zip(RISKS.values(), values, strict=True) if on == "off"]

    async def _migrate(self, schema: Schema) -> None:
        """Make the changes that are due, one process after the other: the second finds them
        made."""
        engine = self._pool.execution_options(isolation_level="READ COMMITTED")
        async with engine.begin() as connection:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(OPENING)))
            await connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'"))
            plan = schema.planned(await _found(connection, schema))
            for statement in (statement for one in plan for statement in one.statements):
                await connection.execute(statement)
            last = await connection.scalar(sa.select(sa.func.max(schema.history.key)))
            changes = (one.change for one in plan)
            for row in written_down(changes, last=last, now=time.time()):
                await connection.execute(
                    insert(schema.history.rows).values(schema.history.values(row))
                )


def metadata_of(tables: Iterable[Table[Any]], prefix: str = "authkit_") -> sa.MetaData:
    """What `SqlStore.open` would make, for an Alembic of your own: `metadata_of(kit.tables)`."""
    return Schema(tables, prefix).metadata


async def _found(connection: AsyncConnection, schema: Schema) -> Found:
    names = {shape.rows.name: name for name, shape in schema.shapes.items()}
    there: dict[str, TableShape] = {}
    for table, index, column in await connection.execute(LOOK):
        if table in names:
            shape = there.setdefault(names[table], TableShape(set(), {}))
            columns = shape.columns if index is None else shape.indexes.setdefault(index, set())
            columns.add(column)
    versions: dict[str, int] = {}
    if schema.history.table.name in there:
        history = schema.history.rows.c
        last = sa.select(history.name, sa.func.max(history.version)).group_by(history.name)
        versions = {row[0]: row[1] for row in await connection.execute(last)}
    return Found(there, versions)


def engine_for(url: str, connections: int) -> AsyncEngine:
    """An engine that understands the URL as asyncpg does. Raises `ValueError`, at the latest when
    it connects."""
    dsn = _dsn(url)

    async def connect() -> Any:
        try:
            return await asyncpg.connect(dsn, timeout=PATIENCE)
        except ValueError:  # it may repeat a part of the password
            raise ValueError("The database URL cannot be understood") from None

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=PATIENCE,
        pool_recycle=RECYCLE,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_the_dead)
    event.listen(engine.sync_engine, "handle_error", _leave_the_moved)
    return engine


def _dsn(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES or not rest:
        raise ValueError(
            "The database URL of PostgreSQL is postgresql://user:password@host:5432/database"
        )
    return f"postgresql://{rest}"


def _refuse_the_dead(connection: Any, record: Any, proxy: Any) -> None:
    """What the server closed while nobody used it is known here, without a question to it."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _leave_the_moved(context: ExceptionContext) -> None:
    if _state(context.sqlalchemy_exception) in MOVED:
        context.is_disconnect = True


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("SqlStore needs asyncio; on trio use SQLite or memory") from None


def _state(error: BaseException | None) -> str:
    """The five signs by which SQL names what happened, or nothing."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _driver_error(error: Exception) -> BaseException:
    """The words of the driver: SQLAlchemy's repeat what was bound, password hashes among it."""
    return getattr(getattr(error, "orig", None), "__cause__", None) or error


def _nothing(result: sa.CursorResult[Any]) -> None:
    return None


def _number(result: sa.CursorResult[Any]) -> int:
    return int(result.scalar() or 0)
