"""Rows in one SQLite file: the default. Nothing to install, and many processes may share it.

One thread writes and one reads, each with its own connection. What waits while the writer is busy
shares the next transaction, so sixteen writers pay for one fsync; a verb is answered once that is
committed. In WAL mode the reader never waits for a writer, here or in another process. A third
thread carries what was written over from the log to the file, beside the commits.
"""

# Names cannot be bound as values: those in SQL here passed `identifier`. Values are bound.
# ruff: noqa: S608

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, Literal, TypeVar

import anyio
import anyio.to_thread

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Change, R, Range, Table, Taken, Value, Where
from authkit_asgi.store.columns import columns_of, identifier
from authkit_asgi.store.migrations import Found, Planned, Shape, own_tables, planned, written_down
from authkit_asgi.store.mounts import remote_file_system
from authkit_asgi.threads import result_of

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

logger = logging.getLogger("authkit_asgi.store")

PATIENCE = 2.0  # seconds that a verb waits for its turn and for other processes' locks
MAKING = 60.0  # seconds that `open` waits for its turn to change tables: others may be at it
LOCK_WAIT = 0.2  # seconds of that in one go: what joins the queue meanwhile has its own end
GROUP = 128  # verbs that share one transaction, at most
PAUSE = 0.005  # seconds between two tries: some locks are refused at once
LINGER = 60.0  # seconds that a counter outlives its end: clocks of workers differ

CARRIED = 512  # verbs that write, from one carrying over to the next: about a thousand pages
OUTRUN = 4 * CARRIED  # while a slow disk is at that: then each waits for it, as long as for a lock
# Pages of the log (32 MB) from which on a commit carries over what is left, and whoever is in line
# waits for the disk thrice. The log begins anew only when nothing of it is left, and while writers
# never pause, more is written meanwhile.
LONGEST_LOG = "PRAGMA wal_autocheckpoint = 8000"

# KiB at most for each connection: the inner pages of the indexes over millions of rows. With the
# usual 2000, finding a row reads them from the file again and again.
CACHE = "PRAGMA cache_size = -16000"
LOG = ("PRAGMA journal_mode = WAL", LONGEST_LOG)
WRITER = {
    "full": (CACHE, *LOG, "PRAGMA synchronous = FULL"),
    "normal": (CACHE, *LOG, "PRAGMA synchronous = NORMAL"),
}
READER = (CACHE, "PRAGMA query_only = ON")
CARRIER = ("PRAGMA synchronous = FULL",)  # waits for the disk, whatever the writer does

COUNTERS, HISTORY = own_tables("authkit_")
READ_COUNTER = "SELECT value FROM authkit_counters WHERE name = ? AND expires_at > ?"
# Each new count lets go of two that are over, so the table never outgrows what lives.
SWEEP_COUNTERS = """
DELETE FROM authkit_counters WHERE name IN
    (SELECT name FROM authkit_counters WHERE expires_at <= ? ORDER BY expires_at LIMIT 2)
"""
RAISE_COUNTER = """
INSERT INTO authkit_counters VALUES (:name, :amount, :expires_at) ON CONFLICT (name) DO UPDATE SET
    value = :amount + CASE WHEN expires_at <= :now THEN 0 ELSE value END,
    expires_at = CASE WHEN expires_at <= :now THEN :expires_at ELSE expires_at END
RETURNING value
"""


class SqliteStore:
    """The store on one file, which is made readable by its owner alone.

    `durability`: "full" waits for the disk in every transaction. With "normal" a verb that returned
    survives the death of the process, and not that of the machine: a power cut can undo the last
    moments. A session that was rotated in them asks for a new sign-in; nothing is ever corrupt.

    The directory must be on a local disk (WAL needs shared memory), and must exist.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Literal["full", "normal"] = "full"
    ) -> None:
        if sqlite3.sqlite_version_info < (3, 35):
            raise RuntimeError(f"SqliteStore needs SQLite 3.35; this is {sqlite3.sqlite_version}")
        self._path = Path(path).absolute()
        self._durability = durability
        self._shapes: dict[str, _Shape[Any]] = {}
        self._writer: _Clerk | None = None
        self._reader: _Clerk | None = None
        self._carrier: _Clerk | None = None
        self._carrying: Future[None] | None = None
        self._written = 0

    @classmethod
    def from_url(cls, url: str) -> SqliteStore:
        """`sqlite:///relative.db`, or `sqlite:////absolute.db`."""
        _, found, path = url.partition(":///")
        if not found or not path or "?" in path or ":memory:" in path:
            raise ValueError(
                "The database URL of a SQLite file is sqlite:///relative.db or sqlite:////absolute.db,"
                " without options. For rows in memory use `memory:`"
            )
        return cls(path)

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        shapes = _shapes(tables)
        for weakness in await self.weaknesses():
            logger.warning(weakness)
        _make_file(self._path)
        if self._writer is None or self._reader is None:
            self._writer = _Clerk(_Link(self._path, WRITER[self._durability]), "BEGIN IMMEDIATE")
            self._reader = _Clerk(_Link(self._path, READER), "BEGIN")
            self._carrier = _Clerk(_Link(self._path, CARRIER))
        # First without the lock, which another process may hold for long.
        if await self._read(lambda connection: _planned(connection, shapes)):
            await result_of(self._writer.ask(partial(_migrate, shapes=shapes), MAKING))
        self._shapes.update(shapes)

    async def pending(self, tables: Iterable[Table[Any]]) -> list[Change]:
        """What `open` would change. A file that is not there is not made."""
        shapes = _shapes(tables)
        look = partial(_foretell, self._path, shapes)
        return [one.change for one in await anyio.to_thread.run_sync(look)]

    async def weaknesses(self) -> list[str]:
        """Where the file lies."""
        kind = await anyio.to_thread.run_sync(remote_file_system, self._path)
        if kind is None:
            return []
        return [
            f"The SQLite file lies on a {kind} file system, where locks and shared memory may not"
            " hold: rows can be lost, and the file be ruined. Put it on a local disk."
        ]

    async def close(self) -> None:
        all_clerks = (self._carrier, self._reader, self._writer)
        clerks = [clerk for clerk in all_clerks if clerk is not None]
        self._carrier = self._reader = self._writer = None
        for clerk in clerks:
            clerk.end()
        for clerk in clerks:
            await clerk.ended()

    async def get(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        return await self._read(
            lambda connection: shape.first(connection.execute(shape.select_one, (key,)))
        )

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
        column = shape.quote(order or table.key)
        condition, values = shape.condition(where)
        if after is not None:
            condition += f" AND {column} {'<' if descending else '>'} ?"
            values.append(_stored(after))
        way = "DESC" if descending else "ASC"
        sql = f"{shape.select} WHERE {condition} ORDER BY {column} {way}, {shape.key} {way} LIMIT ?"
        values.append(limit)
        return await self._read(lambda connection: shape.all(connection.execute(sql, values)))

    async def insert(self, table: Table[R], record: R) -> None:
        shape = self._shape(table)
        values = shape.values(record)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {shape.name} ({shape.columns}) VALUES ({marks})"
        key = getattr(record, table.key)

        def work(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(sql, values)
            except sqlite3.IntegrityError as error:
                if shape.first(connection.execute(shape.select_one, (key,))) != record:
                    raise _taken(error) from None

        await self._write(work)

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        shape = self._shape(table)
        condition, expected = shape.condition(expect)
        # With nothing to change the key becomes itself: a swap may also just ask.
        changes = ", ".join(f"{shape.quote(name)} = ?" for name in change)
        sql = (
            f"UPDATE {shape.name} SET {changes or f'{shape.key} = {shape.key}'}"
            f" WHERE {shape.key} = ? AND {condition} RETURNING {shape.columns}"
        )
        values = [*map(_stored, change.values()), key, *expected]

        def work(connection: sqlite3.Connection) -> R | None:
            try:
                return shape.first(connection.execute(sql, values))
            except sqlite3.IntegrityError as error:
                raise _taken(error) from None

        return await self._write(work)

    async def take(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        sql = f"DELETE FROM {shape.name} WHERE {shape.key} = ? RETURNING {shape.columns}"
        return await self._write(lambda connection: shape.first(connection.execute(sql, (key,))))

    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        shape = self._shape(table)
        condition, values = shape.condition(where)
        sql = (
            f"DELETE FROM {shape.name} WHERE {shape.key} IN"
            f" (SELECT {shape.key} FROM {shape.name} WHERE {condition} LIMIT ?)"
        )
        values.append(limit)
        return await self._write(lambda connection: connection.execute(sql, values).rowcount)

    async def count(self, table: Table[R], where: Where) -> int:
        shape = self._shape(table)
        condition, values = shape.condition(where)
        sql = f"SELECT count(*) FROM {shape.name} WHERE {condition}"
        return await self._read(lambda connection: _number(connection.execute(sql, values)))

    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        if not amount:
            asked = (counter, now)
            return await self._read(
                lambda connection: _number(connection.execute(READ_COUNTER, asked))
            )
        values = {"name": counter, "amount": amount, "expires_at": expires_at, "now": now}

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(SWEEP_COUNTERS, (now - LINGER,))
            return _number(connection.execute(RAISE_COUNTER, values))

        return await self._write(work)

    def _shape(self, table: Table[R]) -> _Shape[R]:
        if table.name not in self._shapes:
            raise LookupError(f"open() was never told of the table {table.name}")
        return self._shapes[table.name]

    async def _read(self, work: Work[T]) -> T:
        if self._reader is None:
            raise StoreUnavailable
        return await result_of(self._reader.ask(work))

    async def _write(self, work: Work[T]) -> T:
        if self._writer is None or self._carrier is None:
            raise StoreUnavailable
        self._written += 1
        if self._written >= CARRIED and (self._carrying is None or self._carrying.done()):
            self._written = 0
            self._carrying = self._carrier.ask(_carry_over)
        answer = self._writer.ask(work)
        if self._carrying is not None and self._written >= OUTRUN:
            with anyio.move_on_after(LOCK_WAIT), suppress(StoreUnavailable):
                await result_of(self._carrying)
        return await result_of(answer)


class _Shape(Generic[R]):
    """How the records of one table become rows, and rows records again.

    Names are quoted by brackets: SQLite takes an unknown one in double quotes for a string.
    """

    def __init__(self, table: Table[R]) -> None:
        columns = columns_of(table)
        self.table = table
        self.name = f"[{identifier(table.name)}]"
        self.kinds = {column.name: column.kind for column in columns}
        self.key = self.quote(table.key)
        self.defaults = {column.name: _stored(column.default) for column in columns}
        self.columns = ", ".join(f"[{name}]" for name in self.kinds)
        self.select = f"SELECT {self.columns} FROM {self.name}"
        self.select_one = f"{self.select} WHERE {self.key} = ?"
        self._record: Any = table.record
        self._revive = [
            (name, _REVIVE[kind]) for name, kind in self.kinds.items() if kind in _REVIVE
        ]

    def quote(self, column: str) -> str:
        if column not in self.kinds:
            raise LookupError(f"The table {self.table.name} has no column {column}")
        return f"[{column}]"

    def values(self, record: R) -> list[Any]:
        return [_stored(getattr(record, name)) for name in self.kinds]

    def condition(self, where: Where) -> tuple[str, list[Any]]:
        """The words after WHERE, and the values they need."""
        terms, values = ["1"], []
        for name, wanted in where.items():
            column = self.quote(name)
            if not isinstance(wanted, Range):
                terms.append(f"{column} IS ?")  # equal, and None is None
                values.append(_stored(wanted))
                continue
            terms.append(f"{column} IS NOT NULL")
            for sign, bound in ((">=", wanted.ge), ("<", wanted.lt)):
                if bound is not None:
                    terms.append(f"{column} {sign} ?")
                    values.append(bound)
        return " AND ".join(terms), values

    def all(self, cursor: sqlite3.Cursor) -> list[R]:
        return [self._from_row(row) for row in cursor.fetchall()]

    def first(self, cursor: sqlite3.Cursor) -> R | None:
        rows = self.all(cursor)  # all of them: RETURNING ends its statement only then
        return rows[0] if rows else None

    def _from_row(self, row: tuple[Any, ...]) -> R:
        values = dict(zip(self.kinds, row, strict=True))
        for name, revive in self._revive:
            if values[name] is not None:
                values[name] = revive(values[name])
        record: R = self._record(**values)
        return record


_AFFINITY = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER", tuple: "TEXT"}
_REVIVE: dict[type, Callable[[Any], Any]] = {
    float: float,
    bool: bool,
    tuple: lambda text: tuple(json.loads(text)),
}


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


def _number(cursor: sqlite3.Cursor) -> int:
    rows = cursor.fetchall()
    return int(rows[0][0]) if rows else 0


def _taken(error: sqlite3.IntegrityError) -> Exception:
    """`Taken`, out of the message: "UNIQUE constraint failed: users.email_key"."""
    _, unique, place = str(error).partition("UNIQUE constraint failed: ")
    return Taken(place.partition(".")[2]) if unique else error


def _carry_over(connection: sqlite3.Connection) -> None:
    """Waits for no other connection, nor makes one wait."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _make_file(path: Path) -> None:
    """The rows hold password hashes: nobody else on the machine may read them."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable from error


def _shapes(tables: Iterable[Table[Any]]) -> dict[str, _Shape[Any]]:
    """The declared tables, and the store's own before them."""
    return {table.name: _Shape(table) for table in (COUNTERS, HISTORY, *tables)}


class _Dialect:
    """Statements as SQLite takes them. By the defaults an older process can insert beside a newer
    one."""

    def __init__(self, connection: sqlite3.Connection, shapes: Mapping[str, _Shape[Any]]) -> None:
        self._connection = connection
        self._shapes = shapes

    def indexes(self, table: Table[Any]) -> list[str]:
        return list(_indexes(table))

    def make(self, table: Table[Any]) -> tuple[str, ...]:
        shape = self._shapes[table.name]
        others = [self._column(shape, name) for name in shape.kinds if name != table.key]
        columns = ", ".join([f"{shape.key} TEXT PRIMARY KEY", *others])
        indexes = (self.add_index(table, index) for index in self.indexes(table))
        return f"CREATE TABLE {shape.name} ({columns}) WITHOUT ROWID", *indexes

    def add(self, table: Table[Any], column: str) -> str:
        shape = self._shapes[table.name]
        return f"ALTER TABLE {shape.name} ADD COLUMN {self._column(shape, column)}"

    def add_index(self, table: Table[Any], index: str) -> str:
        shape, columns = self._shapes[table.name], _indexes(table)[index]
        sort = "UNIQUE INDEX" if columns[0] in table.unique and len(columns) == 1 else "INDEX"
        return f"CREATE {sort} [{index}] ON {shape.name} ({', '.join(map(shape.quote, columns))})"

    def rename(self, table: Table[Any], old: str, new: str) -> str:
        return f"{self._alter(table)} RENAME COLUMN [{identifier(old)}] TO [{identifier(new)}]"

    def drop(self, table: Table[Any], column: str) -> str:
        return f"{self._alter(table)} DROP COLUMN [{identifier(column)}]"

    def drop_index(self, table: Table[Any], index: str) -> str:
        return f"DROP INDEX [{index}]"

    def _alter(self, table: Table[Any]) -> str:
        return f"ALTER TABLE {self._shapes[table.name].name}"

    def _column(self, shape: _Shape[Any], name: str) -> str:
        [default] = self._connection.execute("SELECT quote(?)", (shape.defaults[name],)).fetchone()
        if shape.defaults[name] in (inf, -inf):  # older ones quote it as a word that none reads
            default = "-9e999" if shape.defaults[name] == -inf else "9e999"
        return f"[{name}] {_AFFINITY[shape.kinds[name]]} DEFAULT {default}"


def _indexes(table: Table[Any]) -> dict[str, tuple[str, ...]]:
    groups = [*((column,) for column in table.unique), *table.indexes]
    return {f"{table.name}({','.join(columns)})": columns for columns in groups}


def _planned(
    connection: sqlite3.Connection, shapes: Mapping[str, _Shape[Any]]
) -> list[Planned[str]]:
    tables = [shape.table for shape in shapes.values()]
    found = _found(connection, shapes)
    return planned(tables, found, _Dialect(connection, shapes), history=HISTORY.name)


def _found(connection: sqlite3.Connection, names: Iterable[str]) -> Found:
    there: dict[str, Shape] = {}
    for name in names:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info([{name}])")}
        indexes = {
            index: {row[2] for row in connection.execute(f"PRAGMA index_info([{index}])")}
            for _, index, _, origin, _ in connection.execute(f"PRAGMA index_list([{name}])")
            if origin == "c"  # by CREATE INDEX: the key's own stays
        }
        if columns:
            there[name] = Shape(columns, indexes)
    versions: dict[str, int] = {}
    if HISTORY.name in there:
        asked = f"SELECT name, max(version) FROM {HISTORY.name} GROUP BY name"
        versions = dict(connection.execute(asked).fetchall())
    return Found(there, versions)


def _migrate(connection: sqlite3.Connection, shapes: Mapping[str, _Shape[Any]]) -> None:
    """All that is due, or nothing of it: the transaction around it may hold verbs of others."""
    connection.execute("SAVEPOINT migration")
    try:
        plan = _planned(connection, shapes)
        for statement in (statement for one in plan for statement in one.statements):
            connection.execute(statement)
        history = shapes[HISTORY.name]
        [last] = connection.execute(f"SELECT max({history.key}) FROM {history.name}").fetchone()
        marks = ", ".join("?" * len(history.kinds))
        for row in written_down((one.change for one in plan), last=last, now=time.time()):
            connection.execute(
                f"INSERT INTO {history.name} ({history.columns}) VALUES ({marks})",
                history.values(row),
            )
    except sqlite3.IntegrityError as error:
        connection.execute("ROLLBACK TO migration")
        raise ValueError(f"Two rows hold the same value: {error}") from None
    except BaseException:
        connection.execute("ROLLBACK TO migration")
        raise
    finally:
        connection.execute("RELEASE migration")


def _foretell(path: Path, shapes: Mapping[str, _Shape[Any]]) -> list[Planned[str]]:
    place = f"{path.as_uri()}?mode=ro" if path.exists() else ":memory:"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=PATIENCE)) as connection:
            return _planned(connection, shapes)
    except sqlite3.Error as error:
        raise StoreUnavailable from error


class _Link:
    """One thread's connection, made anew after trouble and when the path leads to another file.

    It never makes a file: one that vanished is an outage, and an empty one in its place would read
    as "no such user". Nor is a file used that was moved away: nobody would see what is written.
    """

    def __init__(self, path: Path, pragmas: Iterable[str]) -> None:
        self._path = path
        self._pragmas = pragmas
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def connection(self) -> sqlite3.Connection:
        found = self._path.stat()
        file = found.st_dev, found.st_ino
        if self._connection is None or self._file != file:
            self.drop()
            self._connection = self._connect()
            self._file = file
        return self._connection

    def drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=LOCK_WAIT, isolation_level=None
        )
        try:
            for pragma in self._pragmas:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@dataclass(slots=True, eq=False)
class _Job:
    work: Work[Any]
    deadline: float
    future: Future[Any] = field(default_factory=Future)

    def attempt(self, connection: sqlite3.Connection) -> Callable[[], None]:
        """Do the work; what is returned tells whoever asked, once the transaction is committed.

        A verb is one statement, and a statement that fails undoes itself: the others in the
        transaction go on.
        """
        try:
            answer = self.work(connection)
        except Exception as error:
            if _is_outage(error):
                raise
            return partial(self.future.set_exception, error)
        return partial(self.future.set_result, answer)

    def give_up(self, trouble: Exception | None = None) -> None:
        refusal = StoreUnavailable()
        refusal.__cause__ = trouble
        self.future.set_exception(refusal)


class _Clerk:
    """A thread that does what it is asked, in order: all that waits in one transaction, where
    `begin` says how one begins."""

    def __init__(self, link: _Link, begin: str | None = None) -> None:
        self._link = link
        self._begin = begin
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()  # nothing may follow the None that ends the queue
        self._is_ending = False
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="authkit-sqlite", daemon=True)
        self._thread.start()

    def ask(self, work: Work[T], patience: float = PATIENCE) -> Future[T]:
        """`patience`: seconds until it must have begun."""
        job = _Job(work, time.monotonic() + patience)
        with self._lock:
            if self._is_ending:
                raise StoreUnavailable
            self._queue.put(job)
        return job.future

    def end(self) -> None:
        """Do what was asked so far, and no more."""
        with self._lock:
            self._is_ending = True
            self._queue.put(None)

    async def ended(self) -> None:
        await result_of(self._ended)
        self._thread.join()  # nothing is left for it to do

    def _run(self) -> None:
        while jobs := self._waiting():
            self._attend(jobs)
        self._link.drop()
        self._ended.set_result(None)

    def _waiting(self) -> list[_Job]:
        """At least one job, and whatever waits behind it; none at the end."""
        jobs: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == GROUP:
                return jobs
            try:
                job = self._queue.get_nowait()
            except Empty:
                return jobs
        if jobs:
            self._queue.put(None)
        return jobs

    def _attend(self, jobs: list[_Job]) -> None:
        """Do these jobs, or fail them: by the end every one has its answer."""
        trouble: Exception | None = None
        while jobs := _in_time(jobs, trouble):
            try:
                replies = self._transact(jobs)
            except Exception as error:
                self._link.drop()  # which undoes the transaction
                trouble = error
            else:
                for reply in replies:
                    reply()
                return
            if not _is_locked(trouble):
                self._part(jobs, trouble)
                return
            time.sleep(PAUSE)

    def _part(self, jobs: list[_Job], trouble: Exception) -> None:
        """It may be the trouble of one of them, a disk too full for its row: then each alone."""
        if len(jobs) == 1:
            jobs[0].give_up(trouble)
            return
        for job in jobs:
            self._attend([job])

    def _transact(self, jobs: list[_Job]) -> list[Callable[[], None]]:
        connection = self._link.connection()
        if self._begin:
            connection.execute(self._begin)
        replies = [job.attempt(connection) for job in jobs]
        if self._begin:
            connection.execute("COMMIT")
        return replies


def _in_time(jobs: list[_Job], trouble: Exception | None) -> list[_Job]:
    now = time.monotonic()
    for job in jobs:
        if now >= job.deadline:
            job.give_up(trouble)
    return [job for job in jobs if now < job.deadline]


def _is_outage(error: Exception) -> bool:
    """The database is in trouble; the other errors are the statement's, or ours."""
    ours = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, ours)


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits say which lock
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
