"""The outbox: mails leave on a thread of their own, away from any request.

Nobody can tell from an answer's time or status whether a mail went out (SECURITY E-04), and a mail
server that is down for a minute costs nobody their link.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from itertools import count
from typing import Any

import anyio.to_thread

from authkit_asgi.mail import Mail, Mailer, MailError

logger = logging.getLogger("authkit_asgi.mail")

AT_ONCE = 4  # providers count requests a second, mail servers connections a client

# Seconds before the second attempt, and how much longer each next one waits: 2, 8, 32, 128.
# Together they outlast a restarted mail server, and end before a link of ten minutes does.
FIRST_PAUSE = 2.0
GROWTH = 4.0
LONGEST_PAUSE = 300.0  # also when the other side asks for more: the mail rests in memory only

# A mailer without time limits of its own shall not hold a place for ever.
ATTEMPT_TIMEOUT = 60.0

CLOSE_TIMEOUT = 5.0  # for what waits
STOP_TIMEOUT = 1.0  # for the mailer to let go; the thread is a daemon, so nothing hangs on it

_dice = random.SystemRandom()


class Outbox:
    """Takes mails without waiting and delivers them, trying again where that may help.

    One daemon thread with an asyncio loop serves whatever the application runs on: asyncio, trio, a
    server that never sends lifespan events. It starts with the first mail. A request that is
    cancelled after `post` loses nothing; a process that ends without `close` loses what it has not
    delivered.

    Waiting mails rest in memory and never in a database: they hold live links, and a stolen copy of
    the database would open every account that asked for one (SECURITY V-02).

    `limit`: mails that may wait; more are dropped, with an error in the log, so that a flood of
    requests does not fill the memory. `first_pause`: seconds before the second attempt.
    """

    def __init__(
        self,
        mailer: Mailer,
        *,
        limit: int = 1000,
        attempts: int = 5,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._mailer = mailer
        self._limit = limit
        self._attempts = attempts
        self._first_pause = first_pause
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._waiting: set[Future[None]] = set()

    def post(self, mail: Mail) -> None:
        """Take `mail` and return at once. Delivery trouble is logged; it is never raised here."""
        self._take(mail)

    def pretend(self) -> None:
        """The work of `post` for no mail, so that the time it takes tells nothing (E-05)."""
        self._take(None)

    def _take(self, mail: Mail | None) -> None:
        with self._lock:
            worker = self._running()
            if len(self._waiting) >= self._limit:
                if mail is not None:
                    logger.error("Mail %s is dropped: %d mails wait already", mail.key, self._limit)
                return
            delivery = worker.run(self._deliver(mail, worker.places))
            self._waiting.add(delivery)
        delivery.add_done_callback(self._forget)

    # Not a scope that cancels: the mails go out all the same, only the waiting ends.
    async def flush(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until what was posted so far is delivered or given up: True if it came to that."""
        return await anyio.to_thread.run_sync(self._settle, timeout, abandon_on_cancel=True)

    def close(self) -> None:
        """Deliver what waits, five seconds at most, and end the thread. `post` starts a new one.

        Blocks: on an event loop, call it by `anyio.to_thread.run_sync`.
        """
        settled = self._settle(CLOSE_TIMEOUT)
        with self._lock:
            worker, self._worker = self._worker, None
            left, self._waiting = len(self._waiting), set()
        if not settled:
            logger.error("The outbox closes with %d mails not delivered", left)
        if worker is not None:
            worker.stop()

    def _running(self) -> _Worker:
        # Also after a fork, which copies the object but not the thread. The mails that waited are
        # the parent's to deliver.
        if self._worker is None or not self._worker.is_alive():
            self._waiting = set()
            self._worker = _Worker(self._mailer)
        return self._worker

    def _settle(self, timeout: float) -> bool:
        with self._lock:
            posted = tuple(self._waiting)
        return not wait(posted, timeout).not_done

    def _forget(self, delivery: Future[None]) -> None:
        with self._lock:
            self._waiting.discard(delivery)

    async def _deliver(self, mail: Mail | None, places: asyncio.Semaphore) -> None:
        if mail is None:
            return
        for attempt in count(1):
            async with places:
                trouble = await self._attempt(mail)
            if trouble is None:
                return
            if not trouble.retryable or attempt == self._attempts:
                logger.error("Mail %s to %s is given up: %s", mail.key, masked(mail.to), trouble)
                return
            logger.warning("Mail %s: attempt %d failed, will retry: %s", mail.key, attempt, trouble)
            await asyncio.sleep(self._pause(attempt, trouble))

    async def _attempt(self, mail: Mail) -> MailError | None:
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                await self._mailer.send(mail)
        except MailError as trouble:
            return trouble
        except Exception as trouble:
            # Only its kind is told: its words may hold the address, or the mail.
            return MailError(type(trouble).__name__)
        return None

    def _pause(self, attempt: int, trouble: MailError) -> float:
        """Longer each time, and never in step with the others who lost the same server."""
        backoff = self._first_pause * GROWTH ** (attempt - 1) * _dice.uniform(0.5, 1.0)
        return min(max(backoff, trouble.retry_after), LONGEST_PAUSE)


def masked(address: str) -> str:
    """Enough of an address to find the provider that refuses us, too little to write to it."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


class _Worker:
    """One life of the thread: its loop, and as many places as mails may go out at once."""

    def __init__(self, mailer: Mailer) -> None:
        self.places = asyncio.Semaphore(AT_ONCE)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(mailer,), name="authkit-outbox", daemon=True
        )
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def run(self, delivery: Coroutine[Any, Any, None]) -> Future[None]:
        # In a context of its own: what the request keeps there (its database session, its trace,
        # the name of its event loop) is not for a delivery that outlives it.
        return contextvars.Context().run(asyncio.run_coroutine_threadsafe, delivery, self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(STOP_TIMEOUT)

    def _run(self, mailer: Mailer) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(mailer))  # the runner cancels what is left, and closes the loop

    async def _serve(self, mailer: Mailer) -> None:
        await self._ended.wait()
        try:
            await mailer.close()
        except Exception:
            logger.exception("The mailer did not close")
