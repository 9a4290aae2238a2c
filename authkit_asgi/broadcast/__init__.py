"""Telling the other workers at once. This page is the contract.

Workers read from the store what is new, once in a poll interval: that always works, and a logout
counts within the interval. A broadcast is quicker, and nothing depends on it. Callers rely on:

loss      a message may be lost, come twice, late, or in any order. What it tells is in the store
          already, where the next read finds it.
waiting   `open` and `tell` return at once, on any thread. No trouble is ever raised: it is logged.
trust     a message may be anybody's: whoever hears it checks its seal first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Broadcast(Protocol):
    @property
    def is_connected(self) -> bool:
        """Whether what is told elsewhere is heard here, as far as is known."""
        ...

    def open(self, hear: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        """Begin to hear: each message is given to `hear`, on whatever thread. Harmless when it is
        open.

        `missed` is called after each time that messages may have been lost, the start included.
        """
        ...

    def tell(self, message: bytes) -> None:
        """Send to every worker, this one included, what can be sent now; the rest is dropped."""
        ...

    def close(self) -> None:
        """Send what waits, within a second, and let go. Blocks; `open` begins anew."""
        ...
