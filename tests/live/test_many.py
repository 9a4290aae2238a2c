"""Ten thousand connections, open at once and gone again: nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from pathlib import Path

import anyio

from authkit_asgi.middleware import AuthMiddleware
from tests.live.lines import echo, ended, opened, sign_out, signed_in
from tests.world import world

ROUNDS, SESSIONS, OF_EACH = 2, 50, 100


async def test_ten_thousand_sockets_leave_nothing_behind(anyio_backend_name: str) -> None:
    """SECURITY D-04: one task watches them all, and a logout ends its own among them."""
    async with world(revocation_poll=0.2) as w:
        await w.person()
        guard = AuthMiddleware(echo, kit=w.kit)
        objects = []
        for _ in range(ROUNDS):
            people = [await signed_in(w) for _ in range(SESSIONS)]
            tasks_before, memory_before = tasks_now(anyio_backend_name), resident()
            began = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                lines = [
                    [await opened(guard, one, tasks) for _ in range(OF_EACH)] for one in people
                ]
                count, more = len(guard.live), tasks_now(anyio_backend_name) - tasks_before
                memory = (resident() - memory_before) / count
                signed_out, *others = lines
                await sign_out(w, people[0])
                assert {(await ended(line))["code"] for line in signed_out} == {4401}
                for line in (line for mine in others for line in mine):
                    assert not line.ended.is_set()
                    line.hang_up()
            took = time.perf_counter() - began
            assert count == SESSIONS * OF_EACH
            assert more - count <= 1
            assert len(guard.live) == 0
            del lines, signed_out, others, line
            await anyio.sleep(0.5)  # the watch goes, too
            assert tasks_now(anyio_backend_name) <= tasks_before
            gc.collect()
            objects.append(len(gc.get_objects()))
            print(f"{count} open at once: {memory / 1024:.0f} KiB each, the test's part included;")
            print(
                f"{more - count} tasks beside their own; {took:.1f} s; {objects[-1]} objects left"
            )
        assert objects[-1] - objects[0] < 1000


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tasks_now(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    statistics = sys.modules["trio"].lowlevel.current_statistics()
    return int(statistics.tasks_living)
