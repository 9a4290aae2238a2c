"""Threads of our own, awaited from asyncio and trio alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")

LOWEST_PRIORITY = 19


async def result_of(future: Future[T]) -> T:
    """Wait for a future that another thread completes.

    A cancelled wait stops waiting; what the thread does is done all the same.
    """
    done = anyio.Event()
    loop: Any = anyio.lowlevel.current_token().native_token
    # Neither waits for the loop: one that is ending never answers, and the thread would be lost.
    call = loop.run_sync_soon if hasattr(loop, "run_sync_soon") else loop.call_soon_threadsafe
    here = threading.get_ident()

    def wake(_: Future[T]) -> None:
        if threading.get_ident() == here:  # it was ready before we asked
            done.set()
            return
        # The loop may have ended meanwhile: then nobody waits.
        with suppress(RuntimeError):
            call(done.set)

    future.add_done_callback(wake)
    await done.wait()
    return future.result()


class Threads:
    """A few threads that run plain functions, in the order in which they were asked.

    `background`: lower the threads' priority where the system can do that for one thread (Linux),
    so that they take only what the event loop leaves.
    """

    def __init__(self, count: int, name: str, *, background: bool = False) -> None:
        self._pool = ThreadPoolExecutor(
            count, thread_name_prefix=name, initializer=_step_back if background else None
        )

    async def run(self, function: Callable[..., T], *args: object) -> T:
        return await result_of(self._pool.submit(function, *args))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
