"""A process of its own for test_sqlite.py: `worker.py <task> <database> <number>`.

It says "ready", waits for a line, does its task and prints one JSON value.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Taken
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing.store_suite import PETS, TABLES, Pet

TURNS = 25


async def swap(store: SqliteStore, number: int) -> object:
    """Raise the age by one, again and again, as a compare-and-set does."""
    done = 0
    while done < TURNS:
        pet = await store.get(PETS, "shared")
        assert pet is not None
        done += bool(
            await store.swap(PETS, "shared", expect={"age": pet.age}, change={"age": pet.age + 1})
        )
    return done


async def take(store: SqliteStore, number: int) -> object:
    return [id for id in map(str, range(TURNS)) if await store.take(PETS, id)]


async def insert(store: SqliteStore, number: int) -> object:
    won = []
    for turn in range(TURNS):
        try:
            await store.insert(PETS, Pet(id=f"{number}-{turn}", tag=str(turn)))
            won.append(turn)
        except Taken:
            continue
    return won


async def add(store: SqliteStore, number: int) -> object:
    return [await store.add("visits", expires_at=60.0, now=0.0) for _ in range(TURNS)]


async def nothing(store: SqliteStore, number: int) -> object:
    return await store.count(PETS, {})


async def write_for_ever(store: SqliteStore, number: int) -> object:
    """Print the key of each row once its insert has returned."""

    async def write(lane: int) -> None:
        for turn in range(1_000_000):
            await store.insert(PETS, Pet(id=f"{lane}-{turn}", age=turn))
            print(f"{lane}-{turn}", flush=True)

    async with anyio.create_task_group() as tasks:
        for lane in range(4):
            tasks.start_soon(write, lane)
    return None


async def fill_the_disk(store: SqliteStore, number: int) -> object:
    """With a limit to every file's size: insert large rows until it hurts, then lift the limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    kept = 0
    try:
        while True:
            await store.insert(PETS, Pet(id=str(kept), name="x" * 20_000))
            kept += 1
    except StoreUnavailable:
        counted = await store.count(PETS, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.insert(PETS, Pet(id="after", name="x" * 20_000))
    return [kept, counted, await store.count(PETS, {})]


async def crowd_the_disk(store: SqliteStore, number: int) -> object:
    """With a limit to every file's size: rows that fit and rows that do not, all at once."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    kept: list[str] = []

    async def insert_one(turn: int) -> None:
        size = ("large", 1_000_000) if turn % 2 else ("small", 1)
        with suppress(StoreUnavailable):
            await store.insert(PETS, Pet(id=f"{size[0]} {turn}", name="x" * size[1]))
            kept.append(size[0])

    async with anyio.create_task_group() as tasks:
        for turn in range(20):
            tasks.start_soon(insert_one, turn)
    return [kept, await store.count(PETS, {})]


TASKS: dict[str, Callable[[SqliteStore, int], Awaitable[object]]] = {
    one.__name__: one
    for one in (swap, take, insert, add, nothing, write_for_ever, fill_the_disk, crowd_the_disk)
}


async def main(task: str, path: str, number: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store = SqliteStore(path)
    await store.open(TABLES)
    print(json.dumps(await TASKS[task](store, number)))
    await store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
