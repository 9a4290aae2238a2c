"""What every store promises, as tests: for stores of your own, and for ours.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        async def store(self) -> AsyncIterator[Store]:
            store = MyStore(...)
            await store.open(TABLES)
            yield store  # without rows
            await store.close()

The tests run under anyio's pytest plugin, on the event loops that your `anyio_backend` names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.store import Range, Store, Table, Taken, Value, Where

CROWD = 100  # tasks that want the same thing at the same moment
FEW = 20  # where nothing is raced for, and a slow disk has its time
MOMENTS = 40  # at which a verb is cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Pet:
    """A record with a column of every kind."""

    id: str
    name: str = ""
    tag: str | None = None
    chip: int | None = None
    age: int = 0
    weight: float = 1.0
    tame: bool = False
    likes: tuple[str, ...] = ()
    group: str | None = None  # a word of SQL
    sold_at: float | None = None
    trained: bool | None = None
    nicknames: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A record whose key has another name."""

    number: str
    pet_id: str


PETS = Table(
    name="pets",
    record=Pet,
    unique=("tag", "chip"),
    indexes=(("group", "age"), ("sold_at",)),
    purge="sold_at",
)
STALLS = Table(name="stalls", record=Stall, key="number", indexes=(("pet_id",),))
TABLES: list[Table[Any]] = [PETS, STALLS]

ADA = Pet(
    id="ada",
    name="Ada’s “cat”; DROP TABLE pets --",
    tag="A",
    chip=2**53 + 1,
    age=3,
    weight=4.0,
    tame=True,
    likes=("fish", "", 'a "quoted" word', "ünïcode 🐈"),
    group="indoor",
    sold_at=1_800_000_000.123456,
    trained=False,
    nicknames=(),
)
BOB = Pet(id="bob", group="outdoor", age=5)
CAT = Pet(id="cat", group="indoor", age=5)
DOG = Pet(id="dog", group="indoor", age=9, sold_at=100.0)
ALL = (ADA, BOB, CAT, DOG)


class StoreSuite:
    """Subclass it, and give it a fixture `store`: opened for `TABLES`, without rows."""

    pytestmark = pytest.mark.anyio

    # What comes back

    @pytest.mark.parametrize("pet", [ADA, BOB], ids=["every column filled", "defaults and None"])
    async def test_a_row_comes_back_as_it_went_in(self, store: Store, pet: Pet) -> None:
        await store.insert(PETS, pet)
        assert _same(await store.get(PETS, pet.id), pet)
        assert _same((await store.find(PETS, {}))[0], pet)
        assert _same(await store.swap(PETS, pet.id, expect={}, change={"age": pet.age}), pet)
        assert _same(await store.take(PETS, pet.id), pet)

    async def test_the_key_may_have_another_name(self, store: Store) -> None:
        stall = Stall(number="7", pet_id="ada")
        await store.insert(STALLS, stall)
        assert await store.get(STALLS, "7") == stall
        assert await store.find(STALLS, {"pet_id": "ada"}) == [stall]
        assert await store.take(STALLS, "7") == stall

    async def test_what_is_not_there_is_absent(self, store: Store) -> None:
        assert await store.get(PETS, "nobody") is None
        assert await store.find(PETS, {}) == []
        assert await store.swap(PETS, "nobody", expect={}, change={"age": 1}) is None
        assert await store.take(PETS, "nobody") is None
        assert await store.delete(PETS, {}) == 0
        assert await store.count(PETS, {}) == 0

    async def test_keys_are_compared_to_the_letter(self, store: Store) -> None:
        for name in ("Ada", "ada", "ada ", "âda"):
            await store.insert(PETS, Pet(id=name, tag=name))
        assert await store.get(PETS, "ADA") is None
        assert await store.find(PETS, {"tag": "ada"}) == [Pet(id="ada", tag="ada")]

    # Finding

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            pytest.param({}, ["ada", "bob", "cat", "dog"], id="everything"),
            pytest.param({"group": "indoor"}, ["ada", "cat", "dog"], id="equal"),
            pytest.param({"group": "indoor", "age": 5}, ["cat"], id="every condition holds"),
            pytest.param({"tag": None}, ["bob", "cat", "dog"], id="None is None"),
            pytest.param({"tame": True}, ["ada"], id="a bool"),
            pytest.param({"likes": ADA.likes}, ["ada"], id="a tuple"),
            pytest.param({"likes": ()}, ["bob", "cat", "dog"], id="an empty tuple"),
            pytest.param({"sold_at": ADA.sold_at}, ["ada"], id="a float to its last digit"),
            pytest.param({"age": Range(ge=5)}, ["bob", "cat", "dog"], id="at least"),
            pytest.param({"age": Range(lt=5)}, ["ada"], id="less than"),
            pytest.param({"age": Range(ge=5, lt=9)}, ["bob", "cat"], id="from, and less than"),
            pytest.param({"sold_at": Range(ge=0.0)}, ["ada", "dog"], id="None is in no range"),
            pytest.param({"sold_at": Range(lt=1e12)}, ["ada", "dog"], id="nor below a bound"),
            pytest.param({"sold_at": Range()}, ["ada", "dog"], id="nor in one without bounds"),
            pytest.param({"id": Range(ge="b", lt="d")}, ["bob", "cat"], id="a range of words"),
            pytest.param({"group": "' OR 1=1 --"}, [], id="a value is never SQL"),
        ],
    )
    async def test_where(self, store: Store, where: Where, found: list[str]) -> None:
        await _fill(store, ALL)
        assert [pet.id for pet in await store.find(PETS, where)] == found
        assert await store.count(PETS, where) == len(found)
        assert await store.delete(PETS, where) == len(found)
        assert await store.count(PETS, {}) == len(ALL) - len(found)

    @pytest.mark.parametrize(
        ("how", "found"),
        [
            pytest.param({}, ["ada", "bob", "cat", "dog"], id="by key"),
            pytest.param({"descending": True}, ["dog", "cat", "bob", "ada"], id="by key, back"),
            pytest.param({"order": "age"}, ["ada", "bob", "cat", "dog"], id="the key breaks ties"),
            pytest.param({"order": "age", "limit": 2}, ["ada", "bob"], id="the first two"),
            pytest.param({"order": "age", "after": 3}, ["bob", "cat", "dog"], id="after a value"),
            pytest.param({"order": "age", "after": 4}, ["bob", "cat", "dog"], id="after a gap"),
            pytest.param({"after": "bob"}, ["cat", "dog"], id="after a key"),
            pytest.param(
                {"order": "age", "descending": True, "after": 9, "limit": 1},
                ["cat"],
                id="back, after a value",
            ),
            pytest.param({"order": "sold_at", "after": 100.0}, ["ada"], id="None is after nothing"),
        ],
    )
    async def test_order(self, store: Store, how: dict[str, Any], found: list[str]) -> None:
        await _fill(store, reversed(ALL))
        assert [pet.id for pet in await store.find(PETS, {}, **how)] == found

    async def test_a_find_has_an_end(self, store: Store) -> None:
        await _fill(store, [Pet(id=f"{n:03}") for n in range(120)])
        assert len(await store.find(PETS, {})) == 100
        assert len(await store.find(PETS, {}, limit=1000)) == 120

    async def test_a_delete_has_a_limit(self, store: Store) -> None:
        await _fill(store, ALL)
        assert await store.delete(PETS, {}, limit=3) == 3
        assert await store.delete(PETS, {}, limit=3) == 1

    # Duplicates

    @pytest.mark.parametrize(
        ("pet", "fields"),
        [
            pytest.param(Pet(id="ada"), {"id"}, id="the key"),
            pytest.param(Pet(id="eve", tag="A"), {"tag"}, id="a unique word"),
            pytest.param(Pet(id="eve", chip=ADA.chip), {"chip"}, id="a unique number"),
            pytest.param(replace(ADA, age=4), {"id", "tag", "chip"}, id="all but one value"),
        ],
    )
    async def test_of_two_that_want_the_same_the_second_is_told(
        self, store: Store, pet: Pet, fields: set[str]
    ) -> None:
        """Q-01."""
        await store.insert(PETS, ADA)
        with pytest.raises(Taken) as refused:
            await store.insert(PETS, pet)
        assert refused.value.field in fields
        assert await store.find(PETS, {}) == [ADA]

    async def test_a_swap_cannot_take_what_another_row_holds(self, store: Store) -> None:
        """Q-01."""
        await _fill(store, ALL)
        with pytest.raises(Taken) as refused:
            await store.swap(PETS, "bob", expect={}, change={"tag": "A", "age": 6})
        assert refused.value.field == "tag"
        assert await store.get(PETS, "bob") == BOB

    async def test_a_swap_may_keep_its_own_value(self, store: Store) -> None:
        await store.insert(PETS, ADA)
        assert await store.swap(PETS, "ada", expect={"tag": "A"}, change={"tag": "A"}) == ADA

    async def test_a_value_that_was_let_go_can_be_taken(self, store: Store) -> None:
        await store.insert(PETS, ADA)
        await store.swap(PETS, "ada", expect={}, change={"tag": None, "chip": None})
        await store.insert(PETS, Pet(id="eve", tag="A"))

    async def test_none_is_never_a_duplicate_of_none(self, store: Store) -> None:
        await _fill(store, [BOB, CAT])
        assert await store.count(PETS, {"tag": None}) == 2

    async def test_the_very_same_row_may_be_sent_twice(self, store: Store) -> None:
        """A driver sends a write again when it lost the answer."""
        await store.insert(PETS, ADA)
        await store.insert(PETS, ADA)
        assert await store.count(PETS, {}) == 1

    # Changing

    async def test_a_swap_returns_the_new_row(self, store: Store) -> None:
        await store.insert(PETS, ADA)
        change: dict[str, Value] = {"age": 4, "likes": ("milk",), "tag": None, "trained": True}
        changed = await store.swap(PETS, "ada", expect={"age": 3}, change=change)
        assert _same(changed, replace(ADA, age=4, likes=("milk",), tag=None, trained=True))
        assert _same(await store.get(PETS, "ada"), changed)

    @pytest.mark.parametrize(
        ("expect", "holds"),
        [
            pytest.param({}, True, id="nothing"),
            pytest.param({"tag": "A", "tame": True, "likes": ADA.likes}, True, id="all of it"),
            pytest.param({"age": 3, "name": "another"}, False, id="all but one"),
            pytest.param({"tag": None}, False, id="None where a value is"),
            pytest.param({"trained": None}, False, id="None where False is"),
            pytest.param({"sold_at": 1_800_000_000.123455}, False, id="a microsecond earlier"),
        ],
    )
    async def test_a_swap_changes_only_what_looks_as_expected(
        self, store: Store, expect: dict[str, Value], holds: bool
    ) -> None:
        await store.insert(PETS, ADA)
        changed = await store.swap(PETS, "ada", expect=expect, change={"weight": 5.5})
        assert changed == (replace(ADA, weight=5.5) if holds else None)
        assert await store.get(PETS, "ada") == (changed or ADA)

    async def test_a_swap_can_expect_none(self, store: Store) -> None:
        await store.insert(PETS, BOB)
        assert await store.swap(PETS, "bob", expect={"sold_at": None}, change={"sold_at": 1.0})
        assert not await store.swap(PETS, "bob", expect={"sold_at": None}, change={"sold_at": 2.0})

    # Counters

    async def test_a_counter_counts_until_its_end(self, store: Store) -> None:
        assert await store.add("tries", expires_at=60.0, now=0.0) == 1
        assert await store.add("tries", 5, expires_at=999.0, now=59.0) == 6  # its end stays
        assert await store.add("others", expires_at=60.0, now=0.0) == 1
        assert await store.add("tries", expires_at=120.0, now=60.0) == 1
        assert await store.add("tries", -3, expires_at=120.0, now=119.0) == -2

    async def test_adding_nothing_reads_a_counter(self, store: Store) -> None:
        assert await store.add("tries", 0, expires_at=60.0, now=0.0) == 0
        await store.add("tries", 7, expires_at=60.0, now=1.0)
        assert await store.add("tries", 0, expires_at=60.0, now=59.0) == 7
        assert await store.add("tries", 0, expires_at=120.0, now=60.0) == 0

    # Races

    async def test_of_many_swaps_of_one_row_one_wins(self, store: Store) -> None:
        """Q-02."""
        await store.insert(PETS, BOB)

        async def swap(age: int) -> Pet | None:
            return await store.swap(PETS, "bob", expect={"age": 5}, change={"age": 100 + age})

        won = [one for one in await _crowd(swap) if isinstance(one, Pet)]
        assert won == [await store.get(PETS, "bob")]

    async def test_of_many_takers_one_gets_the_row(self, store: Store) -> None:
        """Q-02."""
        await store.insert(PETS, ADA)

        async def take(_: int) -> Pet | None:
            return await store.take(PETS, "ada")

        assert [one for one in await _crowd(take) if one is not None] == [ADA]

    async def test_of_many_with_one_unique_value_one_gets_in(self, store: Store) -> None:
        """Q-01, Q-02."""

        async def insert(number: int) -> None:
            await store.insert(PETS, Pet(id=str(number), tag="wanted"))

        answers = Counter(getattr(one, "field", one) for one in await _crowd(insert))
        assert answers == {None: 1, "tag": CROWD - 1}
        assert await store.count(PETS, {}) == 1

    async def test_many_rows_at_once_all_get_in(self, store: Store) -> None:
        async def insert(number: int) -> None:
            await store.insert(PETS, Pet(id=str(number), chip=number))

        assert await _crowd(insert) == [None] * CROWD
        assert await store.count(PETS, {}) == CROWD

    async def test_no_count_is_lost(self, store: Store) -> None:
        """Q-02."""

        async def add(_: int) -> int:
            return await store.add("visits", expires_at=60.0, now=0.0)

        answers: Any = await _crowd(add)
        assert sorted(answers) == list(range(1, CROWD + 1))

    async def test_a_row_that_was_written_is_seen_at_once(self, store: Store) -> None:
        async def write_and_look(number: int) -> bool:
            pet = Pet(id=str(number))
            await store.insert(PETS, pet)
            await store.swap(PETS, pet.id, expect={}, change={"age": 1})
            return await store.get(PETS, pet.id) == replace(pet, age=1)

        assert await _crowd(write_and_look, FEW) == [True] * FEW

    async def test_a_cancelled_verb_was_done_or_not(self, store: Store) -> None:
        """Two columns always change together, whenever the caller goes away."""
        await store.insert(PETS, BOB)

        async def swap(number: int) -> None:
            with anyio.move_on_after(number * 0.00004):
                change = {"age": number, "weight": float(number)}
                await store.swap(PETS, "bob", expect={}, change=change)

        await _crowd(swap)
        bob = await store.get(PETS, "bob")
        assert bob is not None
        assert (bob.age, bob.weight) == (5, 1.0) or bob.age == bob.weight

        # And the store is as good as new.
        assert await store.swap(PETS, "bob", expect={}, change={"age": 7})
        assert await store.add("after", expires_at=60.0, now=0.0) == 1

    @pytest.mark.parametrize("verb", ["insert", "swap", "take", "delete", "add"])
    async def test_a_verb_cancelled_at_any_moment_leaves_old_or_new(
        self, store: Store, verb: str
    ) -> None:
        """Q-02: at each of its first awaits, and then while the database works; and no connection
        is lost by it."""
        counts: list[int] = []

        async def ask(pet: Pet) -> None:
            match verb:
                case "insert":
                    await store.insert(PETS, pet)
                case "swap":
                    change: dict[str, Value] = {"age": 9, "weight": 9.0}
                    await store.swap(PETS, pet.id, expect={"age": 0}, change=change)
                case "take":
                    await store.take(PETS, pet.id)
                case "delete":
                    await store.delete(PETS, {"id": pet.id})
                case _:
                    counts.append(await store.add("tries", expires_at=60.0, now=0.0))

        for moment in range(MOMENTS):
            old = Pet(id=f"{moment:03}")
            new = replace(old, age=9, weight=9.0) if verb == "swap" else None
            if verb == "insert":
                new = old
            elif verb != "add":
                await store.insert(PETS, old)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, old)
                await _wait(moment)
                tasks.cancel_scope.cancel()
            if verb != "add":
                left = None if verb == "insert" else old
                assert await store.get(PETS, old.id) in (left, new)
        assert counts == sorted(set(counts))
        tried = await store.add("tries", 0, expires_at=60.0, now=0.0)
        assert len(counts) <= tried <= MOMENTS

        async def look(_: int) -> int:
            return await store.count(PETS, {"id": "nobody"})

        assert await _crowd(look) == [0] * CROWD

    async def test_opening_twice_keeps_the_rows(self, store: Store) -> None:
        await store.insert(PETS, ADA)
        await store.open(TABLES)
        assert await store.get(PETS, "ada") == ADA


async def _wait(moment: int) -> None:
    """Half of the moments are one await apart, the others a fraction of a millisecond."""
    for _ in range(min(moment, MOMENTS // 2)):
        await anyio.lowlevel.checkpoint()
    if moment > MOMENTS // 2:
        await anyio.sleep((moment - MOMENTS // 2) * 0.0002)


async def _fill(store: Store, pets: Iterable[Pet]) -> None:
    for pet in pets:
        await store.insert(PETS, pet)


def _same(one: object, other: object) -> bool:
    """Equal, and of the same types: 1 is not 1.0, nor True."""
    return one == other and repr(one) == repr(other)


async def _crowd(call: Callable[[int], Awaitable[object]], size: int = CROWD) -> list[object]:
    """What each of many concurrent calls returned; for a refused one the `Taken`."""
    answers: list[object] = [None] * size

    async def one(number: int) -> None:
        try:
            answers[number] = await call(number)
        except Taken as refusal:
            answers[number] = refusal

    async with anyio.create_task_group() as tasks:
        for number in range(size):
            tasks.start_soon(one, number)
    return answers
