"""A process of its own for test_mongo.py: `mongo_worker.py <task> <url> <database> <number>`.

It says "ready", waits for a line, does its task and prints one JSON value.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio

from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.testing.store_suite import TABLES
from tests.store.worker import TASKS


async def main(task: str, url: str, name: str, number: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    store: Any = MongoStore(url, database=name)
    await store.open(TABLES)
    print(json.dumps(await TASKS[task](store, number)))
    await store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
