"""Whatever is done to the two stores in turn, they answer alike (SECURITY Q-02)."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from authkit_asgi.store import Range, Store, Taken
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing.store_suite import PETS, TABLES, Pet

# A small world, so that keys, unique values and conditions often meet.
keys = st.sampled_from("abcdef")
small = st.integers(-2, 2)
floats = st.floats(allow_nan=False).map(lambda number: number + 0.0)  # SQLite knows no -0.0
words = st.sampled_from(["", "a", "A", "é", "'", "1", "01", "\x00"])
columns = {
    "name": st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | words,
    "tag": st.none() | words,
    "chip": st.none() | small,
    "age": small,
    "weight": floats,
    "tame": st.booleans(),
    "likes": st.lists(words, max_size=2).map(tuple),
    "sold_at": st.none() | floats,
    "trained": st.none() | st.booleans(),
    "nicknames": st.none() | st.lists(words, max_size=1).map(tuple),
}
pets = st.builds(Pet, id=keys, **columns)
some_columns = st.fixed_dictionaries({}, optional=columns)
ranges = st.builds(Range, ge=st.none() | small, lt=st.none() | small)
where = some_columns | st.fixed_dictionaries(
    {}, optional={"id": keys, "age": ranges, "sold_at": ranges, "tag": st.none() | words}
)
ordered = st.sampled_from([("age", small), ("weight", floats), ("name", words), ("id", keys)])
paging = ordered.flatmap(
    lambda one: st.fixed_dictionaries(
        {"order": st.just(one[0]), "descending": st.booleans(), "limit": st.integers(0, 4)},
        optional={"after": one[1]},
    )
)
counting = {"amount": small, "expires_at": small.map(float), "now": small.map(float)}

Verb = Callable[[Store], Awaitable[object]]


def verb(name: str, *args: object, **kwargs: object) -> Verb:
    return lambda store: getattr(store, name)(*args, **kwargs)


on_pets = partial(partial, verb)
verbs: st.SearchStrategy[Verb] = st.one_of(
    st.builds(on_pets("insert", PETS), pets),
    st.builds(on_pets("get", PETS), keys),
    st.builds(on_pets("find", PETS), where),
    st.builds(lambda which, how: verb("find", PETS, which, **how), where, paging),
    st.builds(on_pets("swap", PETS), keys, expect=some_columns, change=some_columns),
    st.builds(on_pets("swap", PETS), keys, expect=st.just({}), change=some_columns),
    st.builds(on_pets("take", PETS), keys),
    st.builds(on_pets("count", PETS), where),
    st.builds(on_pets("delete", PETS), where),
    st.builds(on_pets("add"), st.sampled_from("xy"), **counting),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(verbs, min_size=5, max_size=30))
def test_twins_answer_alike(steps: list[Verb]) -> None:
    anyio.run(_compare, steps)


async def _compare(steps: list[Verb]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        memory = MemoryStore()
        sqlite = SqliteStore(Path(directory) / "rows.db", durability="normal")
        await memory.open(TABLES)
        await sqlite.open(TABLES)
        try:
            for step in steps:
                assert await _answer(step, memory) == await _answer(step, sqlite)
            everything = verb("find", PETS, {}, limit=1000)
            assert await _answer(everything, memory) == await _answer(everything, sqlite)
        finally:
            await sqlite.close()


async def _answer(step: Verb, store: Store) -> str:
    try:
        return repr(await step(store))
    except Taken:
        return "taken"  # by which of several columns, a store may choose
