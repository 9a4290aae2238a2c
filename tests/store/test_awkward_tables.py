"""Tables that a feature may well declare, and that databases find awkward."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import pytest

from authkit_asgi.store import Drop, Inspectable, Rename, Table, Taken
from authkit_asgi.store.migrations import own_tables
from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.store.sql import SqlStore
from tests.store.places import POSTGRES, PYMONGO, SQLITE, Place, on


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ALL = on(SQLITE, POSTGRES, PYMONGO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    code: str
    order: str
    mark: str | None = None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterBadge:
    id: str
    where: str
    mark: str | None = None
    colour: str = 'it\'s "grey": 100 %s \\ {}'
    tags: tuple[str, ...] = ("a'b", "c:d", '100 %"')
    best: float = inf
    worst: float = -inf
    least: int = -(2**63)


# Names are words of SQL: where a store has no prefix, the table's too.
EARLIER = Table(
    name="order",
    record=Badge,
    key="code",
    unique=("mark",),
    indexes=(("order", "mark"),),
    purge="ends_at",
)
LATER = Table(
    name="order",
    record=LaterBadge,
    unique=("mark",),
    indexes=(("where", "mark"),),
    steps=(Rename("code", "id"), Rename("order", "where"), Drop("ends_at")),
)


@ALL
async def test_any_column_can_be_renamed_and_any_default_be_held(place: Place) -> None:
    """The key too, and what SQL would take for something else."""
    async with place.store() as store:
        await store.open([EARLIER])
        await store.insert(EARLIER, Badge(code="1", order="top"))
    async with place.store() as store:
        await store.open([LATER])
        assert await store.get(LATER, "1") == LaterBadge(id="1", where="top")
        with pytest.raises(Taken) as refused:
            await store.insert(LATER, LaterBadge(id="1", where="elsewhere"))
        assert refused.value.field == "id"
        assert isinstance(store, Inspectable)
        assert await store.pending([LATER]) == []


@on(POSTGRES)
async def test_names_that_are_words_of_sql_need_no_prefix(place: Place) -> None:
    for table in (EARLIER, LATER):
        store = SqlStore(place.url, prefix="")
        await store.open([table])
        await store.close()


@on(PYMONGO)
async def test_what_has_no_end_any_longer_stays(place: Place) -> None:
    """A TTL index would remove rows by the end that they once had."""
    async with place.store() as store:
        assert isinstance(store, MongoStore)
        await store.open([EARLIER])
        await store.open([LATER])
        indexes = await store._rows("authkit_order").index_information()
        assert [name for name, one in indexes.items() if "expireAfterSeconds" in one] == []


@on(SQLITE, POSTGRES)
async def test_a_history_with_a_gap_is_gone_on_with(place: Place) -> None:
    history = own_tables("authkit_" if place.kind == SQLITE else "")[1]
    async with place.store() as store:
        await store.open([EARLIER])
        assert await store.take(history, "000001") is not None
        await store.open([LATER])
        numbers = [row.number for row in await store.find(history, {})]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    id: str
    organization_id: str = ""
    invited_by_somebody_with_id: str = ""
    invited_by_somebody_called: str | None = None


WORDY: Table[Any] = Table(
    name="organization_memberships",
    record=Membership,
    unique=("invited_by_somebody_called",),
    indexes=(
        ("organization_id", "invited_by_somebody_with_id"),
        ("organization_id", "invited_by_somebody_called"),
    ),
)


@ALL
async def test_names_may_be_long(place: Place) -> None:
    """PostgreSQL's end after 63 signs, and two must not become one."""
    async with place.store() as store:
        await store.open([WORDY])
        await store.insert(WORDY, Membership(id="1", invited_by_somebody_called="Ada"))
        with pytest.raises(Taken) as refused:
            await store.insert(WORDY, Membership(id="2", invited_by_somebody_called="Ada"))
        assert refused.value.field == "invited_by_somebody_called"
    async with place.store() as store:
        assert isinstance(store, Inspectable)
        assert await store.pending([WORDY]) == []
        await store.open([WORDY])
