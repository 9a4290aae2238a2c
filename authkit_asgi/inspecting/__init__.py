"""Seeing what the guard does: which routes an app has, and what the rules say of each.

The contract of those who read a framework's router. They know frameworks by the names of their
types and import none: an app that uses one has imported it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

ANY = "{}"  # a segment that may be anything
REST = "{*}"  # any number of segments, at the end


class UnknownApp(Exception):
    """An app whose routes cannot be read. The message is for whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A route. `path` is written as its framework does it, `segments` are what it answers to.

    `kind` is `http`, `websocket`, `mount` (an app that was not looked into, static files too), or
    `unreadable`. `methods` is empty where it answers to all.
    """

    path: str
    segments: tuple[str, ...]
    kind: str = "http"
    methods: tuple[str, ...] = ()

    @property
    def probe(self) -> str:
        """A path that it answers to, and that no pattern names letter by letter."""
        return "/" + "/".join(self.segments)


# Reads the routes of an app below a prefix; the last argument reads what is mounted there.
Walk = Callable[[Any, str], Iterator[Found]]
Reader = Callable[[Any, str, Walk], Iterator[Found]]


def segments_of(path: str, segment: Callable[[str], str]) -> tuple[str, ...]:
    """The segments of a path, each as `segment` reads it, up to one that takes the rest."""
    found: list[str] = []
    for part in path.removeprefix("/").split("/"):
        found.append(segment(part))
        if found[-1] == REST:
            break
    return tuple(found)


def mounted(prefix: str) -> Found:
    path = f"{prefix}/{REST}"
    return Found(path=path, segments=(*prefix.split("/")[1:], REST), kind="mount")
