"""Many who ask for the same thing at once wait for one of them to get it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.over = anyio.Event()
        self.landed: list[T] = []
        self.error: Exception | None = None


class Flights(Generic[T]):
    """Collapses concurrent work of one key, within one event loop, into one.

    An error reaches everyone who waited. When the one who works is cancelled, another one takes
    over: whoever closed a browser tab takes nobody along.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        place = (anyio.lowlevel.current_token(), key)
        while (flight := self._under_way.get(place)) is not None:
            await flight.over.wait()
            if flight.error is not None:
                raise flight.error
            if flight.landed:
                return flight.landed[0]
        flight = self._under_way[place] = _Flight()
        try:
            flight.landed.append(await work())
            return flight.landed[0]
        except Exception as error:
            flight.error = error
            raise
        finally:
            del self._under_way[place]
            flight.over.set()
