"""Threads of our own, awaited from asyncio and trio alike."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.threads import LOWEST_PRIORITY, Threads, result_of


@pytest.fixture
def threads() -> Threads:
    return Threads(2, "test-threads")


async def test_a_function_runs_in_a_thread_of_ours(threads: Threads) -> None:
    name = await threads.run(lambda: threading.current_thread().name)
    assert name.startswith("test-threads")
    assert await threads.run(divmod, 7, 3) == (2, 1)
    threads.close()


async def test_an_error_comes_out_where_it_is_awaited(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    threads.close()


async def test_the_event_loop_goes_on_meanwhile(threads: Threads) -> None:
    may_end = threading.Event()

    async def let_go() -> None:
        may_end.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, may_end.wait, 5)
        tasks.start_soon(let_go)
    threads.close()


async def test_one_thread_works_in_the_order_of_asking() -> None:
    one, done = Threads(1, "one"), list[int]()
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(one.run, done.append, number)
            await anyio.lowlevel.checkpoint()
    assert sorted(done) == list(range(50))
    one.close()


async def test_a_cancelled_wait_ends_at_once_and_the_work_is_done_all_the_same(
    threads: Threads,
) -> None:
    started, may_end, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        may_end.wait(5)
        finished.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(threads.run, work)
        await anyio.to_thread.run_sync(started.wait, 5)
        tasks.cancel_scope.cancel()
    assert not finished.is_set()
    may_end.set()
    assert await anyio.to_thread.run_sync(finished.wait, 5)
    threads.close()


async def test_what_is_ready_is_not_waited_for() -> None:
    ready: Future[int] = Future()
    ready.set_result(7)
    assert await result_of(ready) == 7


async def test_a_future_can_be_awaited_by_many() -> None:
    slow: Future[int] = Future()
    got = []

    async def ask() -> None:
        got.append(await result_of(slow))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        threading.Thread(target=slow.set_result, args=(7,)).start()
    assert got == [7] * 10


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_that_outlives_its_loop_hangs_no_thread(backend: str) -> None:
    threads = Threads(1, "outlived")
    may_end, ended = threading.Event(), threading.Event()

    async def leave_early() -> None:
        with anyio.move_on_after(0.01):
            await threads.run(may_end.wait, 5)

    anyio.run(leave_early, backend=backend)
    may_end.set()
    threads._pool.submit(ended.set)
    assert ended.wait(5)
    threads.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_that_ends_as_its_loop_ends_hangs_no_thread(backend: str) -> None:
    """The worst moment: the loop takes the word of it, and never gets to it."""
    threads = Threads(1, "just-then")
    may_end = threading.Event()

    async def leave() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await threads.run(may_end.wait, 5)
        may_end.set()  # the thread wakes while this loop is being closed

    for _ in range(100):
        may_end.clear()
        anyio.run(leave, backend=backend)
    ended = threading.Event()
    threads._pool.submit(ended.set)
    assert ended.wait(5)
    threads.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
async def test_background_threads_step_back() -> None:
    threads = Threads(1, "background", background=True)

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await threads.run(priority) == LOWEST_PRIORITY
    assert os.getpriority(os.PRIO_PROCESS, 0) < LOWEST_PRIORITY
    threads.close()
