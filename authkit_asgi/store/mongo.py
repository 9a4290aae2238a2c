"""Rows in MongoDB, through PyMongo's `AsyncMongoClient` or Motor: on asyncio only.

A table is a collection, a row one document, and the key its `_id`. MongoDB changes one document
atomically and lets one document into a unique index, so it decides every race by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

try:
    import pymongo
    from bson.codec_options import CodecOptions
    from pymongo import AsyncMongoClient, IndexModel, ReadPreference, ReturnDocument, WriteConcern
    from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError
except ImportError as missing:
    raise ImportError(
        "MongoStore needs PyMongo 4.13: pip install 'authkit-asgi[mongo]'"
    ) from missing

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Change, R, Range, Rename, Step, Table, Taken, TooNew, Value, Where
from authkit_asgi.store.columns import columns_of, identifier
from authkit_asgi.store.migrations import FIRST, told

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient

logger = logging.getLogger("authkit_asgi.store")

PATIENCE = 2.0  # seconds for a whole verb: finding the primary, connecting, retries, the disk
LINGER = 60.0  # seconds that a counter outlives its end: clocks of workers differ
TURNS = 3  # tries to raise a counter that others make, or let go of, at the same moment

PREFIX = "authkit_"  # of collections: the database may be the app's, with `users` of its own
# No table has these names.
COUNTERS = "authkit__counters"
VERSIONS = "authkit__migrations"
PURGE_DATE = "_purge_at"  # the `purge` column once more: a TTL index needs a date
PURGE_INDEX = f"{PURGE_DATE}_1"
FAR = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # the last day that Python can read back


P = ParamSpec("P")
T = TypeVar("T")
Verb = Callable[Concatenate["MongoStore", P], Coroutine[Any, Any, T]]


def _in_time(verb: Verb[P, T]) -> Verb[P, T]:
    """The verb, its retries included, ends within PATIENCE: with clients without limits too."""

    async def work(store: MongoStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with _outages_named(), pymongo.timeout(PATIENCE):
            return await verb(store, *args, **kwargs)

    @wraps(verb)
    async def asked(store: MongoStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store._to_its_end(lambda: work(store, *args, **kwargs))

    return asked


class MongoStore:
    """The store in one database: by default the one that the URL names, else `authkit`.

    A client that is passed stays its owner's to close. Whatever it asks for, rows are read from the
    primary and written to a majority and their journals (SECURITY Q-04): what a fail-over could
    undo is a session that rotates twice.
    """

    def __init__(
        self,
        client_or_url: AsyncMongoClient[Any] | AsyncIOMotorClient[Any] | str,
        *,
        database: str | None = None,
    ) -> None:
        if isinstance(client_or_url, pymongo.MongoClient):
            raise TypeError("MongoStore needs an AsyncMongoClient; a MongoClient blocks the loop")
        self._url = client_or_url if isinstance(client_or_url, str) else None
        self._client: Any = _connect(self._url) if self._url else client_or_url
        self._name = database
        self._database: Any = None  # while open
        self._shapes: dict[str, _Shape[Any]] = {}
        self._asked: set[asyncio.Task[Any]] = set()

    @classmethod
    def from_url(cls, url: str) -> MongoStore:
        """`mongodb://host/name`, or `mongodb+srv://host/name`, with any option of PyMongo's."""
        return cls(url)

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        shapes = {table.name: _Shape(table) for table in tables}
        await self._reach()
        for weakness in await self.weaknesses():
            logger.warning(weakness)
        self._database = _database(self._client, self._name)
        await self._to_its_end(lambda: self._migrate(shapes.values()))
        self._shapes.update(shapes)

    async def pending(self, tables: Iterable[Table[Any]]) -> list[Change]:
        """What `open` would change."""
        shapes = [_Shape(table) for table in tables]
        is_open = self._database is not None
        if not is_open:
            await self._reach()
            self._database = _database(self._client, self._name)
        try:
            return await self._to_its_end(lambda: self._look(shapes))
        finally:
            if not is_open:
                self._database = None

    async def weaknesses(self) -> list[str]:
        """What the client asks for that a fail-over would lose."""
        asked = self._reached().write_concern.document
        if asked.get("w") in (0, 1) or asked.get("j") is False:
            return [
                f"The MongoDB client asks for the write concern {asked}: a fail-over would lose"
                " what it acknowledges. AuthKit writes with w='majority' and j=True all the same."
            ]
        return []

    async def close(self) -> None:
        """What was asked is done first."""
        self._database = None
        if self._asked:
            await asyncio.wait(self._asked)
        if self._url and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    @_in_time
    async def get(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        return shape.record_or_none(await rows.find_one(shape.one(key)))

    @_in_time
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
        rows = self._rows(shape.name)
        column = order or table.key
        condition = shape.condition(where)
        if after is not None:
            past = {"$lt" if descending else "$gt": shape.typed(column, after)}
            condition = {"$and": [condition, {shape.field(column): past}]}
        way = pymongo.DESCENDING if descending else pymongo.ASCENDING
        places = dict.fromkeys([shape.field(column), "_id"], way)
        if limit < 1:
            return []  # for MongoDB zero is no limit
        found = await rows.find(condition).sort(list(places.items())).limit(limit).to_list(None)
        return [shape.record(document) for document in found]

    @_in_time
    async def insert(self, table: Table[R], record: R) -> None:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        document = shape.document(record)
        try:
            await rows.insert_one(document)
        except DuplicateKeyError as refusal:
            there = await rows.find_one(shape.one(document["_id"]))
            if shape.record_or_none(there) != record:
                raise shape.taken(refusal) from None

    @_in_time
    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        expected = {"$and": [shape.one(key), shape.condition(expect)]}
        changes = shape.fields(change)
        try:
            changed = await rows.find_one_and_update(
                expected, {"$set": changes}, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError as refusal:
            raise shape.taken(refusal) from None
        return shape.record_or_none(changed)

    @_in_time
    async def take(self, table: Table[R], key: str) -> R | None:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        return shape.record_or_none(await rows.find_one_and_delete(shape.one(key)))

    @_in_time
    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        condition = shape.condition(where)
        if limit < 1:
            return 0
        found = await rows.find(condition, {"_id": True}).limit(limit).to_list(None)
        these = {"_id": {"$in": [document["_id"] for document in found]}}
        gone = await rows.delete_many({"$and": [these, condition]})
        return int(gone.deleted_count)

    @_in_time
    async def count(self, table: Table[R], where: Where) -> int:
        shape = self._shape(table)
        rows = self._rows(shape.name)
        condition = shape.condition(where)
        return int(await rows.count_documents(condition))

    @_in_time
    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        counters = self._rows(COUNTERS)
        name = {"_id": {"$eq": _typed(str, counter)}}
        amount, now = _typed(int, amount), _typed(float, now)
        expires_at = _typed(float, expires_at)
        if not amount:
            living = await counters.find_one({**name, "expires_at": {"$gt": now}})
            return int(living["value"]) if living else 0
        raised = _raise_by(amount, expires_at, now)
        first = {"_id": counter, "value": amount, "expires_at": expires_at}
        first[PURGE_DATE] = _date(expires_at)
        for _ in range(TURNS):
            found = await counters.find_one_and_update(
                name, raised, return_document=ReturnDocument.AFTER
            )
            if found:
                return int(found["value"])
            with suppress(DuplicateKeyError):  # somebody was faster: raise theirs
                await counters.insert_one(first)
                return amount
        raise StoreUnavailable

    @_in_time
    async def _reach(self) -> None:
        await self._reached().admin.command("ping")

    def _reached(self) -> Any:
        if self._client is None and self._url:
            self._client = _connect(self._url)
        return self._client

    async def _look(self, shapes: Iterable[_Shape[Any]]) -> list[Change]:
        changes = []
        with _outages_named():
            known = await self._versions(shapes)
            for shape in shapes:
                table, version = shape.table, known[shape.table.name]
                changes += [Change(table.name, n, told(step)) for n, step in _due(table, version)]
                there = await self._rows(shape.name).index_information()
                changes += [
                    Change(table.name, table.version, f"add the index {name}")
                    for name in (index.document["name"] for index in shape.indexes)
                    if name not in there
                ]
                if table.purge is None and PURGE_INDEX in there:
                    told_off = f"drop the index {PURGE_INDEX}"
                    changes.append(Change(table.name, table.version, told_off))
        return changes

    async def _migrate(self, shapes: Collection[_Shape[Any]]) -> None:
        """Takes its time where there are many rows already. Of many processes that do it at once
        each may do all of it: a step that is done finds nothing to do."""
        with _outages_named():
            known = await self._versions(shapes)
            for shape in shapes:
                for version, step in _due(shape.table, known[shape.table.name]):
                    await self._step(shape, step)
                    await self._write_down(shape.table, version)
                await self._index(shape)
            await self._rows(COUNTERS).create_indexes([_ttl_index(after=LINGER)])

    async def _index(self, shape: _Shape[Any]) -> None:
        """Raises ValueError when rows that are there rule out an index."""
        rows = self._rows(shape.name)
        if shape.table.purge is None and PURGE_INDEX in await rows.index_information():
            # Rows from when they had an end would still go by it.
            with suppress(OperationFailure):  # another process was faster
                await rows.drop_index(PURGE_INDEX)
        try:
            if shape.indexes:
                await rows.create_indexes(shape.indexes)
        except DuplicateKeyError as refusal:  # the server's words repeat the value
            field = shape.taken(refusal).field
            raise ValueError(
                f"Two rows hold the same value: {shape.name}.{field} cannot be made unique"
            ) from None

    async def _versions(self, shapes: Iterable[_Shape[Any]]) -> dict[str, int]:
        """Of each table. Raises `TooNew`."""
        written = {one["_id"]: one["version"] async for one in self._rows(VERSIONS).find({})}
        tables = [shape.table for shape in shapes]
        for table in tables:
            if (version := written.get(table.name, FIRST)) > table.version:
                raise TooNew(table.name, found=version, known=table.version)
        return {table.name: written.get(table.name, FIRST) for table in tables}

    async def _step(self, shape: _Shape[Any], step: Step) -> None:
        rows = self._rows(shape.name)
        field = step.old if isinstance(step, Rename) else step.column
        for name, index in (await rows.index_information()).items():
            if field in (key for key, _ in index["key"]):
                with suppress(OperationFailure):  # another process was faster
                    await rows.drop_index(name)
        change = (
            {"$rename": {field: step.new}} if isinstance(step, Rename) else {"$unset": {field: ""}}
        )
        await rows.update_many({field: {"$exists": True}}, change)

    async def _write_down(self, table: Table[Any], version: int) -> None:
        with suppress(DuplicateKeyError):  # another process has gone further
            await self._rows(VERSIONS).update_one(
                {"_id": table.name, "version": {"$lt": version}},
                {"$set": {"version": version, "made_at": datetime.now(UTC)}},
                upsert=True,
            )

    async def _to_its_end(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do the work in a task of its own, which goes on when the caller is cancelled.

        PyMongo's pool does not survive a crowd that is cancelled while it waits for connections: a
        lock is never given back, and each later call hangs (seen in 4.20). Whoever can make
        requests and hang up could switch off every sign-in.
        """
        task = _loop().create_task(begin())
        self._asked.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task})
        return task.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # else, where nobody waits any longer, asyncio logs a trace of each

    def _shape(self, table: Table[R]) -> _Shape[R]:
        if table.name not in self._shapes:
            raise LookupError(f"open() was never told of the table {table.name}")
        return self._shapes[table.name]

    def _rows(self, name: str) -> Any:
        if self._database is None:
            raise StoreUnavailable
        return self._database[name]


class _Shape(Generic[R]):
    """How the records of one table become documents, and documents records again."""

    def __init__(self, table: Table[R]) -> None:
        columns = columns_of(table)
        self.table = table
        self.name = PREFIX + identifier(table.name)
        self.kinds = {column.name: column.kind for column in columns}
        # What a row that is older than a column has there.
        self._missing = {one.name: None if one.may_be_none else one.default for one in columns}
        self._record: Any = table.record
        self.field(table.key)
        self.indexes = list(self._indexes())

    def field(self, column: str) -> str:
        if column not in self.kinds:
            raise LookupError(f"The table {self.table.name} has no column {column}")
        return "_id" if column == self.table.key else column

    def typed(self, column: str, value: object) -> Any:
        """The value as MongoDB holds it. A value of another type is a mistake, or an attack."""
        return None if value is None else _typed(self.kinds[column], value)

    def one(self, key: object) -> dict[str, Any]:
        return {"_id": {"$eq": self.typed(self.table.key, key)}}

    def condition(self, where: Where) -> dict[str, Any]:
        return {self.field(name): self._term(name, wanted) for name, wanted in where.items()}

    def fields(self, values: Mapping[str, Value]) -> dict[str, Any]:
        stored = {self.field(name): self.typed(name, value) for name, value in values.items()}
        if (purge := self.table.purge) is not None and purge in values:
            stored[PURGE_DATE] = _date(stored[purge])
        return stored

    def document(self, record: R) -> dict[str, Any]:
        return self.fields({name: getattr(record, name) for name in self.kinds})

    def record(self, document: Mapping[str, Any]) -> R:
        values = {}
        for name, kind in self.kinds.items():
            value = document.get(self.field(name), self._missing[name])
            values[name] = None if value is None else kind(value)
        record: R = self._record(**values)
        return record

    def record_or_none(self, document: Mapping[str, Any] | None) -> R | None:
        return None if document is None else self.record(document)

    def taken(self, refusal: DuplicateKeyError) -> Taken:
        field = next(iter((refusal.details or {}).get("keyPattern", {})), "_id")
        return Taken(self.table.key if field == "_id" else field)

    def _term(self, column: str, wanted: Value | Range) -> dict[str, Any]:
        """What has to hold for a column: an operator of ours, never one that was in a value."""
        if isinstance(wanted, Range):
            bounds = {"$gte": self.typed(column, wanted.ge), "$lt": self.typed(column, wanted.lt)}
            bounds = {sign: bound for sign, bound in bounds.items() if bound is not None}
            return bounds or {"$ne": None}
        value = self.typed(column, wanted)
        if value is not None and value == _stored(self._missing[column]):
            return {"$in": [value, None]}  # None stands for a missing field too
        return {"$eq": value}

    def _indexes(self) -> Iterator[IndexModel]:
        for column in self.table.unique:
            # Values only, None is no duplicate of None. Not by `$type`: MongoDB would not see that
            # an equality keeps to it, and would read the whole collection for a user's address.
            least = {self.field(column): {"$gte": _LEAST[self.kinds[column]]}}
            yield IndexModel([self.field(column)], unique=True, partialFilterExpression=least)
        for columns in self.table.indexes:
            # The key breaks ties in the index too, and nothing is left to sort.
            yield IndexModel(list(dict.fromkeys([*map(self.field, columns), "_id"])))
        if self.table.purge:
            yield _ttl_index(after=0)


_ACCEPTED: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    tuple: (tuple,),
}
_LEAST: dict[type, Any] = {str: "", int: -(2**63), float: float("-inf"), bool: False}


def _typed(kind: type, value: object) -> Any:
    if not isinstance(value, _ACCEPTED[kind]):
        raise TypeError(f"A column of {kind.__name__} cannot hold a {type(value).__name__}")
    if isinstance(value, tuple) and not all(isinstance(one, str) for one in value):
        raise TypeError("A tuple holds strings")
    return _stored(value if kind is str else kind(value))


def _stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _date(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(min(max(seconds, 0.0), FAR), UTC)


def _due(table: Table[Any], version: int) -> list[tuple[int, Step]]:
    return list(enumerate(table.steps[version - FIRST :], version + 1))


def _ttl_index(after: float) -> IndexModel:
    return IndexModel([PURGE_DATE], expireAfterSeconds=int(after))


def _raise_by(amount: int, expires_at: float, now: float) -> list[dict[str, Any]]:
    """An update in one step: every expression sees the counter as it was before."""
    is_alive = {"$gt": ["$expires_at", now]}

    def kept(field: str, otherwise: object) -> dict[str, Any]:
        return {"$cond": [is_alive, field, otherwise]}

    new = {
        "value": {"$add": [kept("$value", 0), amount]},
        "expires_at": kept("$expires_at", expires_at),
        PURGE_DATE: kept(f"${PURGE_DATE}", _date(expires_at)),
    }
    return [{"$set": new}]


def _connect(url: str) -> AsyncMongoClient[Any]:
    try:
        return AsyncMongoClient(url)
    except (PyMongoError, ValueError):
        # What PyMongo says repeats parts of the URL, and a password may stand anywhere in one that
        # is mistyped.
        raise ValueError(
            "The database URL of MongoDB is mongodb://host/name or mongodb+srv://host/name, with"
            " user and password percent-encoded: mongodb://user:p%40ss@host/name"
        ) from None


def _database(client: Any, name: str | None) -> Any:
    how = {
        "codec_options": CodecOptions(tz_aware=True),
        "read_preference": ReadPreference.PRIMARY,
        "write_concern": WriteConcern("majority", j=True),
    }
    if name is None:
        return client.get_default_database("authkit", **how)
    return client.get_database(name, **how)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "MongoStore runs on asyncio only, as MongoDB's drivers do. On trio use SqliteStore."
        ) from None


@contextmanager
def _outages_named() -> Iterator[None]:
    """Whatever else a driver raises, the database gave no answer to go by."""
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable from error
