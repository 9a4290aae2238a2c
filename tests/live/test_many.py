"""Ten thousand connections, open at once and gone again: nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc

import anyio

from authkit_asgi.middleware import AuthMiddleware
from tests.live.lines import echo, ended, opened, sign_out, signed_in
from tests.world import world

SESSIONS = 100
OF_EACH = 100


async def test_ten_thousand_sockets_leave_nothing_behind(anyio_backend_name: str) -> None:
    """SECURITY D-04: one task watches them all, and a logout ends its own among them."""
    async with world(revocation_poll=0.2) as w:
        await w.person()
        people = [await signed_in(w) for _ in range(SESSIONS)]
        guard = AuthMiddleware(echo, kit=w.kit)
        async with anyio.create_task_group() as tasks:  # what is remembered for good, once
            (await opened(guard, people[0], tasks)).hang_up()
        before = tasks_now(anyio_backend_name)
        gc.collect()
        tracemalloc.start()
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            lines = [[await opened(guard, one, tasks) for _ in range(OF_EACH)] for one in people]
            count, more = len(guard.live), tasks_now(anyio_backend_name) - before
            memory = tracemalloc.get_traced_memory()[0]
            signed_out, *others = lines
            await sign_out(w, people[0])
            assert {(await ended(line))["code"] for line in signed_out} == {4401}
            for line in (line for mine in others for line in mine):
                assert not line.ended.is_set()
                line.hang_up()
        took = time.perf_counter() - began
        del lines, signed_out, others, line
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        print(f"{count} open: {memory / count:.0f} bytes each, the test's part included")
        print(f"{more - count} tasks beside their own; {left} bytes stay; {took:.1f} s in all")
        assert count == SESSIONS * OF_EACH
        assert len(guard.live) == 0
        assert more - count <= 2
        assert left < 200_000


def tasks_now(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    statistics = sys.modules["trio"].lowlevel.current_statistics()
    return int(statistics.tasks_living)
