"""Where rows rest: a few verbs that know no table. This page is the contract.

Tables are declared by their owners; a store implements the verbs for any table. Callers rely on:

absence     `get`, `swap` and `take` return None, `find` an empty list, `delete` and `count` zero.
race        every verb is one atomic step. Of many concurrent `swap`s that expect the same old row
            one wins; of many `take`s of one row one gets it; `add`s never lose a count.
duplicate   `insert` and `swap` raise `Taken` when another row holds the key or a unique column,
            and then nothing was written. None is never a duplicate of None.
            An `insert` of the very row that is already there (same key, same values) succeeds: a
            driver may send a write again after a lost answer.
outage      every verb raises `StoreUnavailable` when the database does not answer, in at most about
            two seconds. An outage is never reported as absence.
durability  a verb that returned has been written: another process sees it, and a crash keeps it.
cancelled   a cancelled verb was either done or not, never half, and leaks no connection.

No verb needs a transaction, so any database that can change one row atomically can serve.

A record is a frozen dataclass whose fields are `str`, `int`, `float`, `bool`, `tuple[str, ...]`, or
one of those `| None`. Times are floats, in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

Value = str | int | float | bool | tuple[str, ...] | None
R = TypeVar("R")
Row = TypeVar("Row", covariant=True)


class Taken(Exception):
    """Another row holds this value. `field` names the column (the key or a unique one)."""

    def __init__(self, field: str) -> None:
        super().__init__(f"taken: {field}")
        self.field = field


class TooNew(Exception):
    """`open` found a table that a newer version of the program has changed, and touched nothing."""

    def __init__(self, table: str, *, found: int, known: int) -> None:
        super().__init__(
            f"The database is newer than this program: its table {table} has version {found}, and"
            f" this program knows version {known}. Start the newer program, or go back to a backup"
            " from before it was started."
        )


@dataclass(frozen=True, slots=True)
class Rename:
    """A step: the column `old` is called `new` from then on."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A step: the column goes, and what it held."""

    column: str


Step = Rename | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Row]):
    """A kind of row, declared by the one module that owns it.

    `name` and the columns are plain identifiers (`[a-z][a-z0-9_]*`); the record's fields are the
    columns. `purge` names a column of type `float | None`: a row whose value there lies in the past
    is over, nobody needs it, and a store may remove it at any time (the kit, `authkit-asgi
    cleanup` or a TTL index does).

    A database that is older than this declaration is brought up to it by `open`. What it lacks,
    columns and indexes, is added; a process of the older version can go on beside that, so it needs
    no step and counts for no version. `steps` are the other changes, the oldest first, and each
    makes a new version: a process that knows fewer of them refuses to start. Append to them, and
    never take one out.
    """

    name: str
    record: type[Row]
    key: str = "id"
    unique: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    purge: str | None = None
    steps: tuple[Step, ...] = ()

    @property
    def version(self) -> int:
        """One, and one more for each step."""
        return 1 + len(self.steps)


@dataclass(frozen=True, slots=True)
class Range:
    """A condition: at least `ge`, and less than `lt`. A None on either side means no bound there.

    A row whose column is None matches no Range.
    """

    ge: str | int | float | None = None
    lt: str | int | float | None = None


Where = Mapping[str, Value | Range]


@dataclass(frozen=True, slots=True)
class Change:
    """What `open` does, or would do, to one table: `tells` is a sentence without its end."""

    table: str
    version: int
    tells: str


@runtime_checkable
class Inspectable(Protocol):
    """What a store may offer beside the verbs: to be looked at, open or not, and left as it is."""

    async def pending(self, tables: Iterable[Table[Any]]) -> list[Change]:
        """What `open` would change. Raises `TooNew` and `StoreUnavailable`."""
        ...

    async def weaknesses(self) -> list[str]:
        """By which of its settings what was written can be lost, a sentence each. `open` logs
        them. Raises `StoreUnavailable`."""
        ...


class Store(Protocol):
    """The verbs. Safe to use from many tasks at once; opened once, in each process."""

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        """Connect, and make what the tables need. Safe when many processes do it at once, and
        twice. Raises `TooNew`."""
        ...

    async def close(self) -> None:
        """Let go of every connection and thread. Afterwards only `open` may be called."""
        ...

    async def get(self, table: Table[R], key: str) -> R | None:
        """The row under `key`, or None."""
        ...

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
        """The rows for which every condition of `where` holds (a plain value: equal; None: is
        None).

        Ordered by `order` (the key breaks ties; the key alone when it is None), at most `limit`
        rows. `after`: only rows whose `order` column comes strictly after this value, in the
        direction asked.
        """
        ...

    async def insert(self, table: Table[R], record: R) -> None:
        """Add a row. Raises `Taken`."""
        ...

    async def swap(
        self, table: Table[R], key: str, *, expect: Mapping[str, Value], change: Mapping[str, Value]
    ) -> R | None:
        """Change the row under `key` while it still looks as expected: the new row, or None.

        `expect` compares by equality, None included. `change` never names the key. Raises `Taken`.
        """
        ...

    async def take(self, table: Table[R], key: str) -> R | None:
        """Remove the row and return it: of many callers, one gets it."""
        ...

    async def delete(self, table: Table[R], where: Where, *, limit: int = 1000) -> int:
        """Remove at most `limit` rows for which `where` holds: how many it removed."""
        ...

    async def count(self, table: Table[R], where: Where) -> int:
        """How many rows match."""
        ...

    async def add(self, counter: str, amount: int = 1, *, expires_at: float, now: float) -> int:
        """Raise a counter and return its new value. Counters need no table.

        A counter that does not exist, or whose end lies at or before `now`, starts from zero and
        ends at `expires_at`; a living counter keeps its end. `amount` zero reads; a negative one
        lowers.
        """
        ...
