"""No query reads a whole table. Which queries there are, a walk through the whole kit shows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from authkit_asgi.purging import EVERY
from authkit_asgi.store import Range
from tests.store.heard import commands_of_mongo, statements_of_sqlite
from tests.store.places import POSTGRES, PYMONGO, SQLITE, Place, on
from tests.store.services import run_sql
from tests.world import PASSWORD, World, world


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def walk(town: World) -> None:
    """All that can happen to an account, from its first day to its last."""
    await town.person("ada")
    async with town.browser() as browser, town.browser() as phone:
        for one in (browser, phone):
            assert (await one.sign_in()).status_code == 200
        for _ in range(3):  # refreshed, confirmed, revocations read, and rows purged
            town.clock.pass_(hours=1, seconds=EVERY)
            for _ in range(2):
                assert (await browser.get("/members")).status_code == 200
        listed = (await browser.api("GET", "/sessions")).json()["data"]["sessions"]
        other = next(one["id"] for one in listed if not one["current"])
        answers = [
            await browser.api("DELETE", f"/sessions/{other}"),
            await browser.api("DELETE", "/sessions"),
            await browser.api("PATCH", "/profile", {"username": "countess"}),
            await browser.api("POST", "/change-password", NEW_PASSWORD),
            await browser.api("POST", "/change-email", NEW_ADDRESS),
        ]
        token = await mailed_token(town, "ada@new.test")
        answers += [
            await browser.api("POST", "/change-email/verify", {"token": token}),
            await browser.api("POST", "/forgot-password/sent", {"email": "ada@new.test"}),
        ]
        token = await mailed_token(town, "ada@new.test")
        reset = {"token": token, "password": PASSWORD}
        answers.append(await browser.api("POST", "/forgot-password/verify", reset))
        assert (await browser.sign_in("ada@new.test")).status_code == 200
        answers += [
            await browser.api("POST", "/token"),
            await browser.api("POST", "/delete-account", {"password": PASSWORD}),
        ]
        assert [one.status_code for one in answers] == [200] * len(answers), answers
    for table in town.kit.tables:  # as the command line does it
        if table.purge is not None:
            await town.kit.services.store.delete(table, {table.purge: Range(lt=1.0)})


async def mailed_token(town: World, address: str) -> str:
    texts = [mail.text for mail in await town.mails() if mail.to == address]
    found = re.search(r"[?&]token=([\w-]+)", texts[-1])
    assert found
    return found[1]


NEW_PASSWORD = {"currentPassword": PASSWORD, "newPassword": "another horse battery"}
NEW_ADDRESS = {"newEmail": "ada@new.test", "password": "another horse battery"}


@on(SQLITE)
async def test_no_query_of_sqlite_scans(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with statements_of_sqlite(monkeypatch) as told:
        async with place.store() as store, world(store=store) as town:
            await town.kit.start()
            told.clear()
            await walk(town)
    plans = {}
    with closing(sqlite3.connect(place.file)) as connection:
        for statement in told:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            plans[statement] = [row[3] for row in rows]
    assert_walked(plans)
    assert [one for one, plan in plans.items() if any("SCAN" in step for step in plan)] == []
    # Nor does one sort what an index could give in order; one row needs no order.
    assert [
        one
        for one, plan in plans.items()
        if any("TEMP B-TREE" in step for step in plan) and not one.endswith("LIMIT 1")
    ] == []


@on(POSTGRES)
async def test_no_query_of_postgresql_scans(place: Place) -> None:
    told: list[str] = []

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        told.append(statement)

    async with place.store() as store, world(store=store) as town:
        await town.kit.start()
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await walk(town)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    plans = {}
    for statement in set(told):
        nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", statement))))
        plan = await run_sql(
            place.url,
            "SET plan_cache_mode = force_generic_plan",
            # The tables are small, so it would scan: unless that is forbidden, and there is a way.
            "SET enable_seqscan = off",
            f"PREPARE hot AS {statement}",
            f"EXPLAIN EXECUTE hot({nulls})" if nulls else "EXPLAIN EXECUTE hot",
        )
        plans[statement] = [line for (line,) in plan]
    assert_walked(plans)
    assert [one for one, plan in plans.items() if any("Seq Scan" in step for step in plan)] == []


@on(PYMONGO)
async def test_no_query_of_mongodb_scans(place: Place) -> None:
    async with commands_of_mongo(place) as (store, heard), world(store=store) as town:
        await town.kit.start()
        heard.sent.clear()
        await walk(town)
    asked = {}
    for command in heard.sent:
        for collection, where in filters(command):
            bound = frozenset(fields(where))
            asked[collection, bound] = where
    assert len(asked) > 12
    with MongoClient[Any](place.url) as client:
        database = client.get_default_database()
        leading = {
            name: {
                next(iter(index["key"]))[0] for index in database[name].index_information().values()
            }
            for name in database.list_collection_names()
        }
        for (collection, bound), where in asked.items():
            assert bound & leading[collection], f"{collection}: no index for {set(bound)}"
            # Of more than one condition SecantusDB tells nothing.
            if len(where) == 1 and "$and" not in where:
                plan = database[collection].find(where).explain()["queryPlanner"]["winningPlan"]
                assert "COLLSCAN" not in repr(plan), (collection, where)


def fields(where: dict[str, Any]) -> Iterable[str]:
    """The columns that a condition binds to a value or a range."""
    for name, wanted in where.items():
        if name == "$and":
            for one in wanted:
                yield from fields(one)
        elif not {"$ne", "$exists"} & wanted.keys():
            yield name


def filters(command: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """The collections and conditions of a command."""
    verb, collection = next(iter(command.items()))
    if verb == "find":
        yield collection, command["filter"]
    elif verb == "findAndModify":
        yield collection, command["query"]
    elif verb == "aggregate":  # which is how a driver counts
        yield collection, command["pipeline"][0]["$match"]
    elif verb == "delete":
        for one in command["deletes"]:
            yield collection, one["q"]


def assert_walked(plans: dict[str, list[str]]) -> None:
    """The walk came by every table, and by more than a few queries."""
    assert len(plans) > 20
    for table in ("users", "sessions", "links", "tickets", "counters"):
        assert any(table in statement for statement in plans), table
