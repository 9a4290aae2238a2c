"""Redis, or Valkey, as the messenger between workers (pub/sub).

Publishing reaches whoever listens at that moment and is kept nowhere, so a connection that was lost
is a message that was lost: the store's rows are the truth, and reading them is the repair.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

try:
    import redis.asyncio as aioredis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "AUTHKIT_REDIS_URL needs redis: pip install 'authkit-asgi[redis]'"
    ) from missing

logger = logging.getLogger("authkit_asgi.broadcast")

LIMIT = 10_000  # messages that wait, each of some hundred bytes; more are dropped
LONGEST = 4096  # bytes of a message; whatever is longer is nobody's of ours

# Seconds that Redis may take for one answer, and between two tries to reach it.
PATIENCE = 1.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

# A connection that was cut without a word looks like silence: after so many seconds of it, ask.
SILENCE = 2.0

CLOSE_TIMEOUT = 1.0  # for what waits
STOP_TIMEOUT = 1.0  # for the thread, a daemon: nothing hangs on it

_dice = random.SystemRandom()


class RedisBroadcast:
    """One daemon thread with an asyncio loop of its own speaks to Redis, whatever the application
    runs on: asyncio, trio, a server that never sends lifespan events. No request waits for it, and
    a busy event loop does not keep it from hearing.

    Raises `ValueError` for a URL that is none, and never repeats it: it may hold a password.
    """

    def __init__(self, url: str, *, channel: str) -> None:
        try:
            aioredis.ConnectionPool.from_url(url)
        except ValueError:
            raise ValueError(
                "The Redis URL must look like redis://host:6379, rediss://… or unix:///path"
            ) from None
        self._url = url
        self._channel = channel
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    @property
    def is_connected(self) -> bool:
        worker = self._worker
        return worker is not None and worker.is_alive() and worker.is_connected

    def open(self, hear: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        with self._lock:
            # Also after a fork, which copies the object but not the thread.
            if self._worker is None or not self._worker.is_alive():
                self._worker = _Worker(self._url, self._channel, hear, missed)

    def tell(self, message: bytes) -> None:
        worker = self._worker
        if worker is not None:
            worker.tell(message)

    def close(self) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()


class _Worker:
    """One life of the thread: it listens on one connection, and sends on another."""

    def __init__(
        self, url: str, channel: str, hear: Callable[[bytes], None], missed: Callable[[], None]
    ) -> None:
        self.is_connected = False
        self._url = url
        self._channel = channel
        self._hear = hear
        self._missed = missed
        self._loop = asyncio.new_event_loop()
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._in_trouble: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="authkit-broadcast", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def tell(self, message: bytes | None) -> None:
        with suppress(RuntimeError):  # the loop has ended: so has this worker
            self._loop.call_soon_threadsafe(self._put, message)

    def stop(self) -> None:
        self.tell(None)
        self._thread.join(CLOSE_TIMEOUT + STOP_TIMEOUT)

    def _put(self, message: bytes | None) -> None:
        if message is None or self._waiting.qsize() < LIMIT:
            self._waiting.put_nowait(message)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        client = aioredis.Redis.from_url(
            self._url,
            socket_connect_timeout=PATIENCE,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),  # the pauses are ours
            protocol=2,
        )
        listening = asyncio.create_task(self._listen(client))
        try:
            await self._send(client)
        finally:
            while not listening.done():  # a library on the way may swallow one cancellation
                listening.cancel()
                await asyncio.wait([listening], timeout=0.1)
            with suppress(Exception):
                await client.aclose()

    # --- hearing ----------------------------------------------------------------------------

    async def _listen(self, client: Any) -> None:
        pause = FIRST_PAUSE
        while True:
            subscription = client.pubsub()
            try:
                await self._subscribe(subscription)
                pause = FIRST_PAUSE
                await self._hear_all(subscription)
            except Exception as trouble:  # whatever it was: a deaf thread would help nobody
                self._report("hear", trouble)
            finally:
                self.is_connected = False
                with suppress(Exception):
                    await subscription.aclose()
            # Never in step with the others who lost the same server.
            await asyncio.sleep(pause * _dice.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _subscribe(self, subscription: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            await subscription.subscribe(self._channel)
            while await subscription.get_message(timeout=PATIENCE) is None:
                pass
        self._missed()
        self.is_connected = True
        self._report("hear", None)

    async def _hear_all(self, subscription: Any) -> None:
        asked = False
        while True:
            message = await subscription.get_message(timeout=PATIENCE if asked else SILENCE)
            if message is None:
                if asked:
                    raise TimeoutError
                async with asyncio.timeout(PATIENCE):
                    await subscription.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "message" and len(message["data"]) <= LONGEST:
                self._hear(message["data"])

    # --- telling ----------------------------------------------------------------------------

    async def _send(self, client: Any) -> None:
        """Until None comes along; then, for what still waits, there is a second."""
        while (message := await self._waiting.get()) is not None:
            try:
                async with asyncio.timeout(PATIENCE):
                    await client.publish(self._channel, message)
            except Exception as trouble:
                self._report("tell", trouble)
                if self._drop():
                    return
            else:
                self._report("tell", None)

    def _drop(self) -> bool:
        """Forget what waits: by the time that Redis is back, every worker has read it. Whether the
        end was among it."""
        over = False
        while not self._waiting.empty():
            over = self._waiting.get_nowait() is None or over
        return over

    def _report(self, what: str, trouble: Exception | None) -> None:
        """Once when it begins, and once when it is over. Only its kind: its words may hold the
        URL."""
        if trouble is None and what in self._in_trouble:
            self._in_trouble.remove(what)
            logger.info("Redis is back: workers %s of ended sessions at once", what)
        elif trouble is not None and what not in self._in_trouble:
            self._in_trouble.add(what)
            logger.warning(
                "Redis does not answer (%s): workers %s of ended sessions by the store alone",
                type(trouble).__name__,
                what,
            )
