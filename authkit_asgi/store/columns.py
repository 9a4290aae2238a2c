"""The columns of a declared table, for databases that want to be told what a column holds."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from re import fullmatch
from typing import Any, get_args, get_type_hints

from authkit_asgi.store import Table, Value

_EMPTY: dict[type, Value] = {str: "", int: 0, float: 0.0, bool: False, tuple: ()}


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is one of str, int, float, bool and tuple. `default` is what the rows of an older
    version hold in a column that is new."""

    name: str
    kind: type
    may_be_none: bool
    default: Value


def columns_of(table: Table[Any]) -> list[Column]:
    """Raises TypeError for a kind that no store can hold, and ValueError for a name that is not a
    plain identifier."""
    hints = get_type_hints(table.record)
    return [_column(one, hints[one.name]) for one in fields(table.record)]


def identifier(name: str) -> str:
    """Names cannot be bound as values: only these ever stand in a statement."""
    if not fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"Not a plain identifier: {name!r}")
    return name


def _column(field: Field[Any], annotation: Any) -> Column:
    kind = _kind(annotation)
    may_be_none = type(None) in get_args(annotation)
    default = None if may_be_none else _EMPTY[kind]
    if field.default is not MISSING:
        default = field.default
    return Column(identifier(field.name), kind, may_be_none, default)


def _kind(annotation: Any) -> type:
    """The type of a column; whether it may be None is not part of that."""
    arms = get_args(annotation)
    if len(arms) == 2 and type(None) in arms:
        annotation = arms[0] if arms[1] is type(None) else arms[1]
    if annotation == tuple[str, ...]:
        return tuple
    for kind in (str, int, float, bool):
        if annotation == kind:
            return kind
    raise TypeError(f"A store cannot hold {annotation}")
