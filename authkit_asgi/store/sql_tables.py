"""Declared tables as PostgreSQL's: how a record becomes a row, and what statements make a table.

Nothing here speaks to a database. Uniqueness is a plain constraint on a plain column, and an index
is one on plain columns, so that the autogenerate of an Alembic of your own sees all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from math import inf
from typing import Any, Generic

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, CreateTable

from authkit_asgi.store import R, Range, Table, Taken, Value, Where
from authkit_asgi.store.columns import Column, columns_of, identifier
from authkit_asgi.store.migrations import Found, Migration, Planned, own_tables, planned

# By code point, whatever the language of the database: the order that every other store has.
TEXT = sa.Text(collation="C")
TYPES: dict[type, sa.types.TypeEngine[Any]] = {
    str: TEXT,
    int: sa.BigInteger(),
    float: sa.Double(),
    bool: sa.Boolean(),
    tuple: postgresql.ARRAY(sa.Text),
}

DIALECT: sa.Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
COUNTERS, HISTORY = own_tables("")


class Schema:
    """Some tables, and the store's own before them. It is the `migrations.Dialect`, too."""

    def __init__(self, tables: Iterable[Table[Any]], prefix: str) -> None:
        self.metadata = sa.MetaData()
        self.shapes: dict[str, Shape[Any]] = {
            table.name: Shape(table, self.metadata, prefix)
            for table in (COUNTERS, HISTORY, *tables)
        }
        self.counters = self.shapes[COUNTERS.name].rows
        self.history: Shape[Migration] = self.shapes[HISTORY.name]

    def refusal(self, error: IntegrityError) -> Exception:
        """What to raise when rows that are there rule out a constraint that is to be made."""
        return ValueError(f"Two rows hold the same value: {_constraint(error)} cannot be made")

    def planned(self, found: Found) -> list[Planned[sa.Executable]]:
        """The changes that are due. Raises `TooNew`."""
        tables = [shape.table for shape in self.shapes.values()]
        return planned(tables, found, self, history=HISTORY.name)

    def indexes(self, table: Table[Any]) -> list[str]:
        return list(self.shapes[table.name].indexes)

    def make(self, table: Table[Any]) -> tuple[sa.Executable, ...]:
        shape = self.shapes[table.name]
        # Unique constraints are made with their table.
        indexes = [one for one in shape.indexes.values() if isinstance(one, sa.Index)]
        return CreateTable(shape.rows), *map(CreateIndex, indexes)

    def add(self, table: Table[Any], column: str) -> sa.Executable:
        definition = CreateColumn(self.shapes[table.name].column(column))
        return self._alter(table, f"ADD COLUMN {definition.compile(dialect=DIALECT)}")

    def add_index(self, table: Table[Any], index: str) -> sa.Executable:
        made = self.shapes[table.name].indexes[index]
        if isinstance(made, sa.Index):
            return CreateIndex(made)
        return AddConstraint(made, isolate_from_table=False)

    def rename(self, table: Table[Any], old: str, new: str) -> sa.Executable:
        return self._alter(table, f'RENAME COLUMN "{identifier(old)}" TO "{identifier(new)}"')

    def drop(self, table: Table[Any], column: str) -> sa.Executable:
        return self._alter(table, f'DROP COLUMN "{identifier(column)}"')

    def drop_index(self, table: Table[Any], index: str) -> sa.Executable:
        if index.startswith("uq__"):
            return self._alter(table, f'DROP CONSTRAINT "{index}"')
        return _verbatim(f'DROP INDEX "{index}"')

    def _alter(self, table: Table[Any], change: str) -> sa.TextClause:
        return _verbatim(f'ALTER TABLE "{self.shapes[table.name].rows.name}" {change}')


class Shape(Generic[R]):
    """How the records of one table become rows, and rows records again."""

    def __init__(self, table: Table[R], metadata: sa.MetaData, prefix: str) -> None:
        record: Any = table.record
        columns = columns_of(table)
        self.table = table
        self.rows = sa.Table(
            identifier(prefix + table.name),
            metadata,
            *(_column(column, is_key=column.name == table.key) for column in columns),
        )
        self.key = self.column(table.key)
        self._record = record
        self._names = [column.name for column in columns]
        self._tuples = [column.name for column in columns if column.kind is tuple]
        # What keeps a constraint has its name.
        self.indexes: dict[str, sa.UniqueConstraint | sa.Index] = {}
        self._fields = self._constrain()

    def column(self, name: str) -> sa.Column[Any]:
        if name not in self.rows.c:
            raise LookupError(f"The table {self.table.name} has no column {name}")
        return self.rows.c[name]

    def values(self, record: R) -> dict[str, Any]:
        return {name: stored(getattr(record, name)) for name in self._names}

    def conditions(self, where: Where) -> list[sa.ColumnElement[bool]]:
        return [
            condition
            for name, wanted in where.items()
            for condition in _conditions(self.column(name), wanted)
        ]

    def places(
        self, column: sa.Column[Any], where: Where, *, descending: bool
    ) -> list[sa.ColumnElement[Any]]:
        """The order, in which None comes before every value, as in the other stores.

        PostgreSQL puts it last. Where no None can be, the order stays that of an index.
        """
        places: list[sa.ColumnElement[Any]] = [
            one.desc() if descending else one.asc() for one in (column, self.key)
        ]
        if column.nullable and not isinstance(where.get(column.name), Range):
            places[0] = places[0].nulls_last() if descending else places[0].nulls_first()
        return places

    def all(self, result: sa.CursorResult[Any]) -> list[R]:
        return [self._from_row(row) for row in result]

    def first(self, result: sa.CursorResult[Any]) -> R | None:
        row = result.first()
        return None if row is None else self._from_row(row)

    def refusal(self, error: IntegrityError) -> Exception:
        """What to raise for a violated constraint, which the server calls as we named it."""
        name = _constraint(error)
        if name in self._fields:
            return Taken(self._fields[name])
        # The server's own words would repeat the row.
        return ValueError(f"The table {self.rows.name} refuses this row: {name or 'a None'}")

    def _constrain(self) -> dict[str, str]:
        """Give the table its constraints and indexes: the column that each constraint is about."""
        name = self.rows.name
        fields = {f"pk__{name}": self.key.name}
        self.rows.append_constraint(sa.PrimaryKeyConstraint(self.key, name=f"pk__{name}"))
        for one in self.table.unique:
            constraint = _short(f"uq__{name}__{one}")
            self.indexes[constraint] = sa.UniqueConstraint(self.column(one), name=constraint)
            self.rows.append_constraint(self.indexes[constraint])
            fields[constraint] = one
        for group in self.table.indexes:
            index = _short(f"ix__{name}__{'__'.join(group)}")
            self.indexes[index] = sa.Index(index, *map(self.column, group))
        return fields

    def _from_row(self, row: sa.Row[Any]) -> R:
        values = dict(zip(self._names, row, strict=True))
        for name in self._tuples:
            if values[name] is not None:
                values[name] = tuple(values[name])
        record: R = self._record(**values)
        return record


def _short(name: str) -> str:
    """PostgreSQL's names have 63 signs at most: the end of a longer one is told by its digest."""
    return name if len(name) <= 63 else f"{name[:54]}_{sha256(name.encode()).hexdigest()[:8]}"


def _constraint(error: IntegrityError) -> str:
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) or ""


def stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _column(column: Column, *, is_key: bool) -> sa.Column[Any]:
    """By the default an older process can insert beside a newer one."""
    default = None if is_key or column.default is None else _default(column.default)
    kind = TYPES[column.kind]
    return sa.Column(column.name, kind, nullable=column.may_be_none, server_default=default)


def _default(value: Value) -> str | sa.TextClause:
    """A default stands in the definition of its table, where nothing can be bound."""
    if isinstance(value, str):
        return value  # SQLAlchemy quotes it
    if isinstance(value, tuple):
        words = ", ".join("'" + one.replace("'", "''") + "'" for one in value)
        return _verbatim(f"ARRAY[{words}]::text[]")
    return sa.text(f"'{value}'" if value in (inf, -inf) else str(value).lower())


def _verbatim(sql: str) -> sa.TextClause:
    return sa.text(sql.replace(":", "\\:"))  # else a colon begins the name of a bound value


def _conditions(column: sa.Column[Any], wanted: Value | Range) -> list[sa.ColumnElement[bool]]:
    if isinstance(wanted, Range):
        return _bounds(column, wanted)
    if wanted is None:
        return [column.is_(None)]
    return [column == stored(wanted) if _can_be_held(wanted) else sa.false()]


def _bounds(column: sa.Column[Any], wanted: Range) -> list[sa.ColumnElement[bool]]:
    bounds: list[sa.ColumnElement[bool]] = []
    if wanted.ge is not None:
        bounds.append(column >= wanted.ge)
    if wanted.lt is not None:
        bounds.append(column < wanted.lt)
    return bounds or [column.is_not(None)]


def _can_be_held(value: Value) -> bool:
    """PostgreSQL holds no NUL and no half a character, and complains when it is asked for one.

    Anybody can type one where a name is looked up: that name is nobody's.
    """
    if not isinstance(value, str):
        return True
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
