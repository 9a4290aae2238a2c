"""What others notice while twenty people sign in without pause.

    .venv/bin/python -m benchmarks.storm [--seconds 4] [--repeats 3] [--bcrypt-rounds 12] [--short]

A guarded request is due every millisecond; told is how long after that moment it was answered. The
people sign in by POST /login, in the same process. Passwords are hashed in our threads, in the
event loop (as fastapi-users and Django do), or in AnyIO's threads (as others do). Phases take
turns, each beside a quiet one. The limits on sign-ins are off: they would end the storm.

What the cores can hash at best is measured in as many threads as cores, of the same low priority,
while nothing else is done: on a machine with other work too, only that can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import uvloop

from authkit_asgi import PathRules
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.kit import default_features
from authkit_asgi.threads import LOWEST_PRIORITY
from benchmarks.guard import API, request
from benchmarks.peers import bare
from benchmarks.rows import Row, as_json, as_table, at_least, at_most
from tests.world import PASSWORD, World, world

PEOPLE = 20
TICK = 0.001  # seconds
App = Callable[[Any, Any, Any], Awaitable[None]]


async def in_the_loop(work: Callable[[], Any]) -> Any:
    return work()


async def in_anyio_threads(work: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(work)


# How each hashes; None is the kit's own way.
WAYS: dict[str, Callable[..., Awaitable[Any]] | None] = {
    "ours": None,
    "anyio's threads": in_anyio_threads,
    "in the event loop": in_the_loop,
}


@dataclass
class Found:
    """Of one way, phase by phase: p99 in milliseconds, with and without the storm."""

    quiet: list[float] = field(default_factory=list)
    storm: list[float] = field(default_factory=list)
    sign_ins: list[float] = field(default_factory=list)  # a second
    refused: int = 0


class Storm:
    def __init__(self, w: World, cookie: bytes) -> None:
        self._app: App = w.kit.wrap(bare, PathRules(public=[]))
        self._cookie = cookie
        self._hashing = w.kit.services.hashing
        self._body = json.dumps(
            {"email": "ada@example.test", "password": PASSWORD, "rememberMe": False}
        ).encode()

    async def ticks(self, seconds: float) -> list[float]:
        """Milliseconds from when each request was due until it was answered."""
        took: list[float] = []
        began = time.perf_counter()
        for number in itertools.count():
            due = began + number * TICK
            if due > began + seconds:
                return took
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            assert await answer(self._app, request(self._cookie), b"") == 200
            took.append((time.perf_counter() - due) * 1e3)
        raise AssertionError

    async def storm(self, way: str, seconds: float) -> tuple[list[float], float, int]:
        """What `ticks` says, sign-ins a second, and how many were refused."""
        if (run := WAYS[way]) is not None:
            setattr(self._hashing, "_run", run)  # noqa: B010
        done: list[int] = []
        began = time.perf_counter()
        people = [asyncio.create_task(self._signs_in_again_and_again(done)) for _ in range(PEOPLE)]
        took = await self.ticks(seconds)
        lasted = time.perf_counter() - began
        signed_in, refused = done.count(200), done.count(503)
        for one in people:
            one.cancel()
        await asyncio.wait(people)
        self._hashing.__dict__.pop("_run", None)
        # Whoever was in our line is served before these: the next phase begins with idle threads.
        cores = range(os.cpu_count() or 1)
        await asyncio.gather(*(self._hashing.verify(PASSWORD, None) for _ in cores))
        assert len(done) == signed_in + refused, set(done)
        return took, signed_in / lasted, refused

    async def _signs_in_again_and_again(self, done: list[int]) -> None:
        headers = [*API, (b"content-type", b"application/json")]
        scope = request(None, "/api/users/login", headers=headers)
        while True:
            status = await answer(self._app, {**scope, "method": "POST"}, self._body)
            done.append(status)
            # A server reads each request in a step of its own, and others have their turn between.
            await asyncio.sleep(0.05 if status != 200 else 0)


async def answer(app: App, scope: dict[str, Any], body: bytes) -> int:
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    await app(scope, receive, send)
    return seen[0]


def capacity(rounds: int, seconds: float) -> float:
    """Passwords a second that the cores can check, when they do nothing else."""
    passwords = Passwords(rounds=rounds, min_length=8)
    stored = passwords.hash(PASSWORD)
    until = time.perf_counter() + seconds
    spent: list[float] = []

    def work() -> None:
        with suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        while (began := time.perf_counter()) < until:
            assert passwords.verify(PASSWORD, stored)
            spent.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads) / statistics.fmean(spent)


def p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


async def measured(
    seconds: float, repeats: int, rounds: int, others: int
) -> tuple[dict[str, Found], list[float]]:
    found = {way: Found() for way in WAYS}
    best: list[float] = []
    features = [one for one in default_features() if one.name != "limits"]
    async with world(features=features, bcrypt_rounds=rounds) as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()
            cookie = f"token={browser.tokens()['token']}".encode()
        storm = Storm(w, cookie)
        await storm.ticks(0.2)  # warms up
        for number in range(repeats):
            best.append(capacity(rounds, seconds))
            for way, told in found.items():
                if way != "ours" and number >= others:
                    continue
                print(f"… {way}", file=sys.stderr)
                told.quiet.append(p99(await storm.ticks(seconds)))
                took, sign_ins, refused = await storm.storm(way, seconds)
                told.storm.append(p99(took))
                told.sign_ins.append(sign_ins)
                told.refused += refused
    return found, best


def judged(found: dict[str, Found], best: list[float]) -> list[Row]:
    rows = [Row("the cores alone", f"{statistics.median(best):.1f} passwords/s")]
    for way, told in found.items():
        quiet, storm = statistics.median(told.quiet), statistics.median(told.storm)
        rows.append(
            Row(
                f"{way}: p99 of a guarded request, quiet and in the storm; sign-ins",
                f"{quiet:.2f}, {storm:.2f} ms; {statistics.median(told.sign_ins):.1f}/s",
            )
        )
    ours = found["ours"]
    ratios = [storm / quiet for storm, quiet in zip(ours.storm, ours.quiet, strict=True)]
    shares = [done / most for done, most in zip(ours.sign_ins, best, strict=True)]
    more = f"guarded p99 while {PEOPLE} people sign in, to the p99 without"
    return [
        *rows,
        at_most(more, statistics.median(ratios), 1.5),
        at_least("sign-ins a second, to what the cores can hash", statistics.median(shares), 0.9),
    ]


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each phase")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bcrypt-rounds", type=int, default=12)
    parser.add_argument("--short", action="store_true", help="2 s, at 10 rounds, the others once")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    others = options.repeats
    if options.short:
        options.seconds, options.bcrypt_rounds, others = 2.0, 10, 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found, best = runner.run(
            measured(options.seconds, options.repeats, options.bcrypt_rounds, others)
        )
    rows = judged(found, best)
    title = f"A storm of sign-ins, bcrypt of {options.bcrypt_rounds} rounds"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
