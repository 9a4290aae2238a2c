"""A process of its own for test_mongo.py: `mongo_worker.py <driver> <task> <url> <database>
<number>`; the driver is `pymongo` or `motor`.

It says "ready", waits for a line, does its task and prints one JSON value.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
from motor.motor_asyncio import AsyncIOMotorClient

from authkit_asgi.store.mongo import MongoStore
from authkit_asgi.testing.store_suite import TABLES
from tests.store.worker import TASKS


async def main(driver: str, task: str, url: str, name: str, number: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    client = AsyncIOMotorClient[Any](url) if driver == "motor" else url
    store: Any = MongoStore(client, database=name)
    await store.open(TABLES)
    print(json.dumps(await TASKS[task](store, number)))
    await store.close()


if __name__ == "__main__":
    driver, task, url, name, number = sys.argv[1:]
    anyio.run(main, driver, task, url, name, int(number))
