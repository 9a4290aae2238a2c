"""Time that passes when a test says so."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, moved by hand: `AuthKit(clock=Clock())`.

    It stands still at `at`, or at the moment when it was made. Only the kit goes by it: the cookie
    jars of clients and browsers have clocks of their own, and keep what the kit's calls over.
    """

    def __init__(self, at: float | None = None) -> None:
        self.at = time.time() if at is None else at

    def __call__(self) -> float:
        return self.at

    def pass_(
        self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Let time go by; a negative number takes it back."""
        self.at += seconds + 60 * minutes + 3600 * hours + 86400 * days

    def set(self, at: float) -> None:
        self.at = at
