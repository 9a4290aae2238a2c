"""Removing rows that are over, by itself: a little at a time, on the way of requests.

There is no task in the background. Whoever shows new tokens for the first time has had its answer
already, and lends a moment: at most once a minute in each worker, and at most one worker at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Range, Store, Table

logger = logging.getLogger("authkit_asgi.purging")

EVERY = 60.0  # seconds between two turns of a worker, while there is little to do
AGAIN = 1.0  # seconds to the next turn, of any worker, while there is more to do
BATCH = 1000  # rows of a table in one turn: a statement of milliseconds, that holds nobody up


class Purging:
    """The turns of one worker."""

    def __init__(self, store: Store, tables: Iterable[Table[Any]]) -> None:
        self._store = store
        self._over = [(table, table.purge) for table in tables if table.purge is not None]
        self._due_at: float | None = None
        self._is_at_it = False

    async def turn(self, now: float) -> None:
        """Remove at most `BATCH` rows of each table, when it is time. Raises nothing: what stays
        is removed later. `now`: seconds since the epoch."""
        if not self._is_due(now) or self._is_at_it:
            return
        self._is_at_it = True
        try:
            self._due_at = now + EVERY
            # A lock that nobody can forget to give back, and no clock that went wrong can keep.
            turn = f"purging {now // AGAIN:.0f}"
            if await self._store.add(turn, expires_at=now + EVERY, now=now) > 1:
                return
            if BATCH in [await self._purge(*one, now) for one in self._over]:
                self._due_at = now + AGAIN
        except StoreUnavailable:
            logger.debug("Rows that are over could not be removed")
        finally:
            self._is_at_it = False

    def _is_due(self, now: float) -> bool:
        if self._due_at is None:
            self._due_at = now + EVERY  # a worker that has just begun has other things to do
        # Or the clock has gone back.
        return now >= self._due_at or self._due_at - now > EVERY

    async def _purge(self, table: Table[Any], column: str, now: float) -> int:
        return await self._store.delete(table, {column: Range(lt=now)}, limit=BATCH)
