"""How long the store may keep one request waiting: all that it is asked, together.

A store bounds each verb. A route asks several, and whoever waits for the answer knows nothing of
verbs: when the database is silent, the whole route says so before two seconds are over.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import anyio

from authkit_asgi.errors import StoreUnavailable

T = TypeVar("T")

PER_REQUEST = 1.5  # seconds; the rest of the two is for passwords, and for a busy machine


class Patience:
    """What is left of it for one request, in seconds. It runs while `counted` does its work, and
    nowhere else: how slowly a body arrives, or the app answers, is not the store's doing."""

    def __init__(self, seconds: float = PER_REQUEST) -> None:
        self._left = seconds
        self._ends_at: float | None = None  # while counted

    async def counted(self, work: Awaitable[T]) -> T:
        self._ends_at = time.monotonic() + self._left
        token = _current.set(self)
        try:
            return await work
        finally:
            _current.reset(token)
            self._left, self._ends_at = self.left or 0.0, None

    @property
    def left(self) -> float | None:
        """None: it does not run, as in a task that outlives its request."""
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    def lengthen(self, seconds: float) -> None:
        if self._ends_at is not None:
            self._ends_at += seconds


_current: ContextVar[Patience | None] = ContextVar("authkit_patience", default=None)


async def in_time(work: Callable[[], Awaitable[T]]) -> T:
    """What the work returns, while the request's patience lasts; without a request, however long
    it takes. Raises `StoreUnavailable`."""
    patience = _current.get()
    left = patience.left if patience is not None else None
    if left is None:
        return await work()
    if left > 0:
        with anyio.move_on_after(left):
            return await work()
    raise StoreUnavailable


@contextmanager
def uncounted() -> Iterator[None]:
    """What happens here is not the store's doing, and takes nothing from the patience."""
    patience, began = _current.get(), time.monotonic()
    try:
        yield
    finally:
        if patience is not None:
            patience.lengthen(time.monotonic() - began)
