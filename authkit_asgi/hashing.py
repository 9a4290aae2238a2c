"""Password hashing away from the event loop, bounded, so that a storm of sign-ins disturbs nobody.

bcrypt keeps a core busy for about 0.2 s and lets go of the interpreter meanwhile. As many threads
as cores, at the lowest priority, give full throughput and leave other requests their time; whatever
would wait longer than is sensible is refused at once with 503 (SECURITY W-10, D-01).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import TypeVar

from authkit_asgi.core.foreign_hashes import lacking
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.errors import Busy, InvalidInput
from authkit_asgi.patience import uncounted
from authkit_asgi.threads import Threads

T = TypeVar("T")

logger = logging.getLogger("authkit_asgi.hashing")

CALIBRATED = range(10, 17)  # rounds: the settings take no fewer in public, and no more at all
TRIES = 3

WAITING_PER_THREAD = 16  # at 12 rounds the last one in the queue waits for about four seconds


def calibrate(target: float) -> dict[int, float]:
    """Seconds of processor time that hashing takes on this machine, by rounds: those that fit into
    `target` seconds, and the next."""
    times: dict[int, float] = {}
    for rounds in CALIBRATED:
        passwords = Passwords(rounds=rounds, min_length=8)
        # What else runs here can only add to it, so the quickest of a few tries is nearest.
        times[rounds] = min(_spent(passwords) for _ in range(TRIES))
        if times[rounds] > target:
            break
    return times


def _spent(passwords: Passwords) -> float:
    began = time.thread_time()
    passwords.hash("calibration")
    return time.thread_time() - began


class Hashing:
    def __init__(self, passwords: Passwords, *, threads: int | None = None) -> None:
        self._passwords = passwords
        self._count = threads or os.cpu_count() or 1
        self._threads: Threads | None = None
        self._places = self._empty_line()

    async def hash(self, password: str) -> str:
        """Raises `Busy`."""
        return await self._run(lambda: self._passwords.hash(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Always one hash of the current cost, whatever is stored (SECURITY E-02). Raises
        `Busy`."""
        if stored and (missing := lacking(stored)):
            logger.error("somebody cannot sign in: %s", missing)
        return await self._run(lambda: self._passwords.verify(password, stored))

    def outdated(self, stored: str) -> bool:
        return self._passwords.outdated(stored)

    def unfit(self, stored: str) -> str | None:
        """Why a hash from elsewhere cannot be taken over, as a sentence, or None."""
        return self._passwords.unfit(stored)

    def demand_strong(
        self, password: str, *, context: Iterable[str], field: str = "password"
    ) -> None:
        """The one policy for every way to set a password (SECURITY W-18). Raises `InvalidInput`."""
        if weakness := self._passwords.weakness(password, context=context):
            raise InvalidInput(fields={field: weakness})

    def close(self) -> None:
        if self._threads is not None:
            self._threads.close()
            self._threads = None
            self._places = self._empty_line()

    async def _run(self, work: Callable[[], T]) -> T:
        places = self._places
        if not places.acquire(blocking=False):
            raise Busy(retry_after=2)
        if self._threads is None:
            self._threads = Threads(self._count, "authkit-hash", background=True)

        # A place is free when its work is done, not when nobody waits for it any longer: otherwise
        # whoever hangs up at once, again and again, makes the line as long as they like.
        def work_and_leave() -> T:
            try:
                return work()
            finally:
                places.release()

        try:
            with uncounted():
                return await self._threads.run(work_and_leave)
        except CancelledError:  # it still waited when `close` was called
            raise Busy(retry_after=2) from None

    def _empty_line(self) -> threading.Semaphore:
        return threading.Semaphore(self._count * (1 + WAITING_PER_THREAD))
