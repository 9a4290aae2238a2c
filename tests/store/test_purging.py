"""Rows that are over go by themselves, nothing living goes, and nobody is held up by it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.core.rotation import Session
from authkit_asgi.purging import AGAIN, BATCH, EVERY, Purging
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Range, Store, Table, Where
from authkit_asgi.store.memory import MemoryStore
from tests.house import Breaking, House
from tests.store.bulk import fill
from tests.store.places import POSTGRES, SQLITE, Place, on
from tests.world import START, Browser, World, world

HELD_UP = 1.0  # seconds; a verb waits for two before it gives up
OVER, LIVING = 50_000, 2_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """With many sessions, most of them over."""
    async with place.store() as store:
        await store.open([USERS, SESSIONS])
        where = str(place.file) if place.kind == SQLITE else place.url
        await fill(where, users=500, sessions=OVER, purge_at=START - 1.0)
        await fill(where, users=500, sessions=LIVING, purge_at=START + 86_400.0, begin=OVER)
        yield store


@on(SQLITE, POSTGRES)
async def test_fifty_thousand_rows_go_and_nobody_is_held_up(store: Store) -> None:
    house = await House(store).open()
    pairs = [(await house.opened(await house.user(f"grace{n}")))[1] for n in range(8)]
    waits: list[float] = []
    purging = Purging(store, [USERS, SESSIONS])
    done = anyio.Event()

    async def refresh(lane: int) -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            began = time.perf_counter()
            pairs[lane] = await house.moved_on(pairs[lane], now=START + turn)
            waits.append(time.perf_counter() - began)

    async with anyio.create_task_group() as tasks:
        for lane in range(len(pairs)):
            tasks.start_soon(refresh, lane)
        now = START
        await purging.turn(now)
        now += EVERY
        turns = 0
        while await store.count(SESSIONS, {"purge_at": Range(lt=START)}):
            await purging.turn(now)
            now += AGAIN
            turns += 1
        done.set()
    assert turns == OVER / BATCH
    assert len(waits) > 50
    assert max(waits) < HELD_UP, sorted(waits)[-5:]
    assert await store.count(SESSIONS, {}) == LIVING + len(pairs)


async def test_it_happens_by_itself_and_not_on_every_request() -> None:
    store = Watched(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        await town.kit.store.insert(SESSIONS, dead("old"))
        async with town.browser() as browser:
            await browser.sign_in()
            await with_new_tokens(browser, town)
            assert not store.purged
            assert await town.kit.store.get(SESSIONS, "old") is not None
            await with_new_tokens(browser, town)
            assert await town.kit.store.get(SESSIONS, "old") is None
            tables = len(store.purged)
            assert tables == sum(table.purge is not None for table in town.kit.tables)
            for _ in range(20):
                await browser.get("/members")
            assert len(store.purged) == tables
            await with_new_tokens(browser, town)
            assert len(store.purged) == 2 * tables


async def with_new_tokens(browser: Browser, town: World) -> None:
    town.clock.pass_(hours=2)
    for _ in range(2):  # the first brings them
        assert (await browser.get("/members")).status_code == 200


class Watched:
    """Any store, with a list of the tables that were purged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.purged: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def delete(self, table: Table[Any], where: Where, *, limit: int = 1000) -> int:
        if table.purge in where:
            self.purged.append(table.name)
        return await self._store.delete(table, where, limit=limit)


async def test_of_four_workers_one_does_it() -> None:
    store = MemoryStore()
    await store.open([USERS, SESSIONS])
    stores = [Watched(store) for _ in range(4)]
    workers = [Purging(one, [USERS, SESSIONS]) for one in stores]
    for now in (START, START + EVERY):
        async with anyio.create_task_group() as tasks:
            for worker in workers:
                tasks.start_soon(worker.turn, now)
    assert sum(len(one.purged) for one in stores) == 2
    assert len([one for one in stores if one.purged]) == 1


async def test_an_outage_in_between_is_nobodys_trouble() -> None:
    store = MemoryStore()
    await store.open([SESSIONS])
    await store.insert(SESSIONS, dead("old"))
    breaking = Breaking(store, before={"delete"})
    purging = Purging(breaking, [SESSIONS])
    for seconds in (0.0, EVERY):
        await purging.turn(START + seconds)
    breaking.before.clear()
    await purging.turn(START + EVERY + AGAIN)
    assert await store.get(SESSIONS, "old") is not None  # no sooner than usual
    await purging.turn(START + 2 * EVERY)
    assert await store.get(SESSIONS, "old") is None


async def test_a_clock_that_goes_back_does_not_end_it() -> None:
    store = MemoryStore()
    await store.open([SESSIONS])
    purging = Purging(store, [SESSIONS])
    for now in (START, START + EVERY):
        await purging.turn(now)
    await store.insert(SESSIONS, replace(dead("old"), purge_at=1.0))
    await purging.turn(START - 3600)
    assert await store.get(SESSIONS, "old") is None


def dead(name: str) -> Session:
    return Session(
        id=name,
        user_id="nobody",
        rotated_at=0.0,
        created_at=0.0,
        last_seen_at=0.0,
        idle_expires_at=0.0,
        expires_at=0.0,
        purge_at=START - 1.0,
    )
