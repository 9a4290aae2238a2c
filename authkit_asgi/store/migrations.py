"""From the shape that a database has to the one that the tables declare: which changes are due.

One set of rules for SQLite and PostgreSQL. A `Dialect` writes the statements, and nothing here
speaks to a database. Both stores look, and look again once they hold the lock that lets one process
at a time make changes: of many that start at once, the first makes them and the others find them
made. Every change is written down in a table of its own, which is the history of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from authkit_asgi.store import Change, Rename, Step, Table, TooNew
from authkit_asgi.store.columns import columns_of

S = TypeVar("S")
Statement = TypeVar("Statement", covariant=True)

# Databases that are older than the history were made as the tables were declared then.
FIRST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    name: str
    value: int
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A change that was made: the `number`-th, which brought the table `name` to `version`."""

    number: str
    name: str
    version: int
    change: str
    made_at: float


def own_tables(prefix: str) -> tuple[Table[Counter], Table[Migration]]:
    """What a store keeps beside the rows of others. `prefix`: what its own names begin with."""
    counters = Table(
        name=f"{prefix}counters", record=Counter, key="name", indexes=(("expires_at",),)
    )
    return counters, Table(name=f"{prefix}migrations", record=Migration, key="number")


@dataclass(slots=True)
class Shape:
    """A table as it is: its columns, and those of each index."""

    columns: set[str]
    indexes: dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is there, by the names of the declarations. `versions` holds those written down."""

    shapes: Mapping[str, Shape]
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Planned(Generic[S]):
    """A change, and the statements that make it. Without any, it is only written down."""

    change: Change
    statements: tuple[S, ...] = ()


class Dialect(Protocol[Statement]):
    """How one database says it. Indexes go by the names that it has for them."""

    def indexes(self, table: Table[Any]) -> Iterable[str]:
        """The names of those that the declaration wants, unique ones too."""
        ...

    def make(self, table: Table[Any]) -> tuple[Statement, ...]: ...

    def add(self, table: Table[Any], column: str) -> Statement: ...

    def add_index(self, table: Table[Any], index: str) -> Statement: ...

    def rename(self, table: Table[Any], old: str, new: str) -> Statement: ...

    def drop(self, table: Table[Any], column: str) -> Statement: ...

    def drop_index(self, table: Table[Any], index: str) -> Statement: ...


def planned(
    tables: Iterable[Table[Any]], found: Found, dialect: Dialect[S], *, history: str
) -> list[Planned[S]]:
    """The changes that are due, in order. `history` names the table that remembers them. Raises
    `TooNew`, for any table, before anything is planned."""
    tables = list(tables)
    for table in tables:
        if (version := found.versions.get(table.name, FIRST)) > table.version:
            raise TooNew(table.name, found=version, known=table.version)
    is_taken_over = history not in found.shapes
    return [
        change
        for table in tables
        for change in _planned(table, found, dialect, is_taken_over=is_taken_over)
    ]


def _planned(
    table: Table[Any], found: Found, dialect: Dialect[S], *, is_taken_over: bool
) -> Iterator[Planned[S]]:
    there = found.shapes.get(table.name)
    if there is None:
        yield Planned(Change(table.name, table.version, "make the table"), dialect.make(table))
        return
    if is_taken_over:
        yield Planned(Change(table.name, FIRST, "take the table over as it is"))
    there = Shape(set(there.columns), dict(there.indexes))  # as it will be
    known = found.versions.get(table.name, FIRST)
    for version, step in enumerate(table.steps[known - FIRST :], known + 1):
        statements = tuple(_step(table, step, there, dialect))
        yield Planned(Change(table.name, version, told(step)), statements)
    for column in columns_of(table):
        if column.name not in there.columns:
            change = Change(table.name, table.version, f"add the column {column.name}")
            yield Planned(change, (dialect.add(table, column.name),))
    for index in dialect.indexes(table):
        if index not in there.indexes:
            change = Change(table.name, table.version, f"add the index {index}")
            yield Planned(change, (dialect.add_index(table, index),))


def _step(table: Table[Any], step: Step, there: Shape, dialect: Dialect[S]) -> Iterator[S]:
    """Nothing, where it is done already: whoever migrates by an Alembic makes the newest shape."""
    column = step.old if isinstance(step, Rename) else step.column
    if column not in there.columns or (isinstance(step, Rename) and step.new in there.columns):
        return
    # An index is named after its columns: those that are still wanted are made anew.
    for index in [name for name, columns in there.indexes.items() if column in columns]:
        del there.indexes[index]
        yield dialect.drop_index(table, index)
    there.columns.remove(column)
    if isinstance(step, Rename):
        there.columns.add(step.new)
        yield dialect.rename(table, step.old, step.new)
    else:
        yield dialect.drop(table, step.column)


def told(step: Step) -> str:
    if isinstance(step, Rename):
        return f"rename the column {step.old} to {step.new}"
    return f"drop the column {step.column}"


def written_down(changes: Iterable[Change], *, last: str | None, now: float) -> list[Migration]:
    """The rows of the history, that follow the number `last`. `now`: seconds since the epoch."""
    return [
        Migration(
            number=f"{number:06}",
            name=change.table,
            version=change.version,
            change=change.tells,
            made_at=now,
        )
        for number, change in enumerate(changes, int(last or 0) + 1)
    ]
