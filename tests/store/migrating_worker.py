"""A process of its own for test_migrations.py: `python -m tests.store.migrating_worker <url>`.

It says "ready", waits for a line, brings the database up to `LATER` and prints what it then finds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import anyio

from authkit_asgi.store import Drop, Rename, Table
from authkit_asgi.store.urls import store_from_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    title: str | None = None
    shelf: str = ""
    order: int = 0
    draft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterNote:
    id: str
    heading: str | None = None
    group: str = ""  # a word of SQL
    order: int = 0
    stars: int = 3
    author: str | None = None


EARLIER = Table(name="notes", record=Note, unique=("title",), indexes=(("shelf", "order"),))
LATER = Table(
    name="notes",
    record=LaterNote,
    unique=("heading",),
    indexes=(("group", "order"), ("author",)),
    steps=(Rename("title", "heading"), Rename("shelf", "group"), Drop("draft")),
)


async def main(url: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store: Any = store_from_url(url)
    await store.open([LATER])
    print(json.dumps(await store.count(LATER, {"group": "top", "stars": 3})))
    await store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
