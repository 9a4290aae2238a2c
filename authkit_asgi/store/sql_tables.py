"""Declared tables as PostgreSQL's: how a record becomes a row, and what a database still lacks.

Nothing here speaks to a database. Uniqueness is a plain constraint on a plain column, and an index
is one on plain columns, so that the autogenerate of an Alembic of your own sees all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, CreateTable

from authkit_asgi.store import R, Range, Table, Taken, Value, Where
from authkit_asgi.store.columns import Column, columns_of, identifier

# By code point, whatever the language of the database: the order that every other store has.
TEXT = sa.Text(collation="C")
TYPES: dict[type, sa.types.TypeEngine[Any]] = {
    str: TEXT,
    int: sa.BigInteger(),
    float: sa.Double(),
    bool: sa.Boolean(),
    tuple: postgresql.ARRAY(sa.Text),
}

There = Mapping[str, set[str]]  # the columns of each table and index, by its name


class Schema:
    """Some tables, and the counters beside them."""

    def __init__(self, tables: Iterable[Table[Any]], prefix: str) -> None:
        self.metadata = sa.MetaData()
        self.counters = _counters(self.metadata, prefix)
        self.shapes: dict[str, Shape[Any]] = {
            table.name: Shape(table, self.metadata, prefix) for table in tables
        }

    def missing(self, there: There, dialect: sa.Dialect) -> list[sa.Executable]:
        """The statements that make what is not there: tables, columns, constraints, indexes."""
        tables = self.metadata.sorted_tables
        return [statement for table in tables for statement in _missing(table, there, dialect)]


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
        name = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
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
            constraint = f"uq__{name}__{one}"
            self.rows.append_constraint(sa.UniqueConstraint(self.column(one), name=constraint))
            fields[constraint] = one
        for group in self.table.indexes:
            sa.Index(f"ix__{name}__{'__'.join(group)}", *map(self.column, group))
        return fields

    def _from_row(self, row: sa.Row[Any]) -> R:
        values = dict(zip(self._names, row, strict=True))
        for name in self._tuples:
            if values[name] is not None:
                values[name] = tuple(values[name])
        record: R = self._record(**values)
        return record


def stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _counters(metadata: sa.MetaData, prefix: str) -> sa.Table:
    name = identifier(f"{prefix}counters")
    return sa.Table(
        name,
        metadata,
        sa.Column("name", TEXT),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=f"pk__{name}"),
        sa.Index(f"ix__{name}__expires_at", "expires_at"),
    )


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
    return sa.text(str(value).lower())


def _missing(table: sa.Table, there: There, dialect: sa.Dialect) -> Iterator[sa.Executable]:
    if table.name not in there:
        yield CreateTable(table)
    else:
        for column in table.columns:
            if column.name not in there[table.name]:
                yield _add(column, dialect)
        for constraint in table.constraints:
            if isinstance(constraint, sa.UniqueConstraint) and constraint.name not in there:
                yield AddConstraint(constraint, isolate_from_table=False)
    for index in table.indexes:
        if index.name not in there:
            yield CreateIndex(index)


def _add(column: sa.Column[Any], dialect: sa.Dialect) -> sa.TextClause:
    table = dialect.identifier_preparer.format_table(column.table)
    definition = CreateColumn(column).compile(dialect=dialect)
    return _verbatim(f"ALTER TABLE {table} ADD COLUMN {definition}")


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
