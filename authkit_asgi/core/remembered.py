"""A bounded map of what was verified."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")

REMEMBERED = 8192  # entries a generation; two generations live
MAX_REMEMBERED_BYTES = 4096  # what has a longer key is found out anew each time
MAX_GENERATION_BYTES = 4 * 2**20


class Remembered(Generic[V]):
    """A bounded map in two generations: what is asked for stays, what is not is forgotten.

    Only what was verified is put in, so garbage leaves nothing behind; and whoever sends one good
    token beside ever new junk fills no more than some megabytes (SECURITY T-17, D-04).
    """

    __slots__ = ("_bytes", "_old", "_size", "_young")

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._bytes = 0

    def get(self, key: bytes) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, value: V) -> None:
        if len(key) > MAX_REMEMBERED_BYTES:
            return
        self._bytes += len(key)
        if len(self._young) >= self._size or self._bytes > MAX_GENERATION_BYTES:
            self._young, self._old, self._bytes = {}, self._young, len(key)
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old, self._bytes = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
