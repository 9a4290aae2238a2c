"""Many who ask for the same thing at once wait for one of them to get it."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.flights import Flights


class Work:
    """Counts how often it is done, and can be held up."""

    def __init__(self) -> None:
        self.times = 0
        self.started = anyio.Event()
        self.go_on = anyio.Event()

    async def __call__(self) -> int:
        self.times += 1
        mine = self.times
        self.started.set()
        await self.go_on.wait()
        return mine


async def test_concurrent_work_of_one_key_is_done_once() -> None:
    flights: Flights[int] = Flights()
    work, got = Work(), []

    async def ask() -> None:
        got.append(await flights.run("key", work))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
        await work.started.wait()
        work.go_on.set()
    assert got == [1] * 20


async def test_keys_do_not_wait_for_each_other() -> None:
    flights: Flights[int] = Flights()
    held, free = Work(), Work()
    free.go_on.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flights.run, "held", held)
        await held.started.wait()
        assert await flights.run("free", free) == 1
        held.go_on.set()


async def test_nothing_is_remembered_after_the_landing() -> None:
    flights: Flights[int] = Flights()
    work = Work()
    work.go_on.set()
    assert [await flights.run("key", work) for _ in range(3)] == [1, 2, 3]
    assert flights._under_way == {}


async def test_an_answer_of_none_is_an_answer() -> None:
    flights: Flights[None] = Flights()
    times = 0

    async def work() -> None:
        nonlocal times
        times += 1
        await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(flights.run, "key", work)
    assert times == 1


async def test_an_error_reaches_everyone_and_the_next_one_tries_again() -> None:
    flights: Flights[int] = Flights()
    failed = []

    async def fail() -> int:
        await anyio.lowlevel.checkpoint()
        raise LookupError("down")

    async def ask() -> None:
        with pytest.raises(LookupError, match="down"):
            await flights.run("key", fail)
        failed.append(1)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert len(failed) == 10
    work = Work()
    work.go_on.set()
    assert await flights.run("key", work) == 1


async def test_when_the_one_who_works_is_cancelled_another_takes_over() -> None:
    """S-24."""
    flights: Flights[int] = Flights()
    work, got = Work(), []

    async def ask() -> None:
        got.append(await flights.run("key", work))

    async with anyio.create_task_group() as others, anyio.create_task_group() as leader:
        leader.start_soon(ask)
        await work.started.wait()
        for _ in range(5):
            others.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        leader.cancel_scope.cancel()
        work.go_on.set()
    assert got == [2] * 5  # the second try, for all of them


async def test_whoever_waits_may_leave() -> None:
    flights: Flights[int] = Flights()
    work, got = Work(), []

    async def ask() -> None:
        got.append(await flights.run("key", work))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await work.started.wait()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await flights.run("key", work)
        assert scope.cancelled_caught
        work.go_on.set()
    assert got == [1]


def test_two_event_loops_share_no_flight() -> None:
    """Waiting for another loop's event would wait forever."""
    flights: Flights[int] = Flights()
    inside, may_end = threading.Event(), threading.Event()

    async def slow() -> int:
        inside.set()
        await anyio.to_thread.run_sync(may_end.wait)
        return 1

    async def quick() -> int:
        return 2

    thread = threading.Thread(target=anyio.run, args=(flights.run, "key", slow))
    thread.start()
    assert inside.wait(5)
    assert anyio.run(flights.run, "key", quick) == 2
    may_end.set()
    thread.join(5)
    assert not thread.is_alive()
