"""Older databases are brought up to the declared tables, once; newer ones are refused."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from pymongo import MongoClient

from authkit_asgi.store import Change, Inspectable, Store, Table, Taken, TooNew
from authkit_asgi.store.migrations import own_tables
from authkit_asgi.store.urls import store_from_url
from tests.store.migrating_worker import EARLIER, LATER, LaterNote, Note
from tests.store.places import POSTGRES, PYMONGO, SQLITE, Place, on
from tests.store.services import run_sql
from tests.world import World, world

ROOT = Path(__file__).parents[2]
BEFORE = Path(__file__).with_name("version_0")
ROWS = 30_000
NOTES = [Note(id=f"{n:05}", title=f"t{n}", shelf="top", order=n) for n in range(50)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


SQL = on(SQLITE, POSTGRES)
ALL = on(SQLITE, POSTGRES, PYMONGO)


async def versions(place: Place, store: Store) -> list[tuple[str, int, str]]:
    """What was written down, in order."""
    if place.kind == PYMONGO:
        with MongoClient[Any](place.url) as client:
            rows = list(client.get_default_database().authkit__migrations.find())
        return [(row["_id"], row["version"], "") for row in rows]
    history = own_tables("authkit_" if place.kind == SQLITE else "")[1]
    return [
        (row.name, row.version, row.change) for row in await store.find(history, {}, limit=1000)
    ]


def inspected(store: Store) -> Inspectable:
    assert isinstance(store, Inspectable)
    return store


async def opened(place: Place, tables: Iterable[Table[Any]]) -> Store:
    store = store_from_url(place.url)
    await store.open(tables)
    return store


async def pending(place: Place, table: Table[Any]) -> list[Change]:
    store = store_from_url(place.url)
    try:
        return await inspected(store).pending([table])
    finally:
        await store.close()


async def with_notes(place: Place) -> None:
    store = await opened(place, [EARLIER])
    for note in NOTES:
        await store.insert(EARLIER, note)
    await store.close()


# From before there were migrations

# Of the database in version_0/, which was made by the code of that time.
SESSION = "fbdbab4d83385117554e9578d4dc1422"


@SQL
async def test_a_database_from_before_is_taken_over_without_loss(place: Place) -> None:
    """The account still signs in, and the session of that time goes on."""
    script = (BEFORE / f"{place.kind.lower()}.sql").read_text()
    if place.kind == SQLITE:
        with closing(sqlite3.connect(place.file)) as connection:
            connection.executescript(script)
    else:
        await run_sql(place.url, *script.split(";\n"))
    async with world(store=store_from_url(place.url)) as town:
        assert Change("sessions", 1, "add the column parent") in await inspected(
            town.kit.store
        ).pending(town.kit.tables)
        await town.kit.start()
        async with town.browser() as browser:
            browser.take_tokens({"refreshToken": await refresh_token(town)})
            answer = await browser.get("/members")
            assert answer.json().get("name") == "ada", answer.text
        async with town.browser() as browser:
            assert (await browser.sign_in()).status_code == 200
            assert len((await browser.api("GET", "/sessions")).json()["data"]["sessions"]) == 2
        assert await inspected(town.kit.store).pending(town.kit.tables) == []
        written = await versions(place, town.kit.store)
    assert ("users", 1, "take the table over as it is") in written
    assert ("sessions", 1, "add the column parent") in written


async def refresh_token(town: World) -> str:
    sessions = town.kit.services.sessions
    session = await sessions.get(SESSION)
    assert session is not None
    user = await sessions.owner(session)
    assert user is not None
    return sessions.pair(session, user, now=town.clock.at).refresh


# Steps


@ALL
async def test_steps_keep_what_rows_hold(place: Place) -> None:
    await with_notes(place)
    store = await opened(place, [LATER])
    rows = await store.find(LATER, {}, limit=100)
    assert rows == [
        LaterNote(id=one.id, heading=one.title, group="top", order=one.order) for one in NOTES
    ]
    with pytest.raises(Taken) as refused:
        await store.insert(LATER, LaterNote(id="x", heading="t7"))
    assert refused.value.field == "heading"
    assert await store.find(LATER, {"group": "top"}, order="order", limit=1) == rows[:1]
    assert await inspected(store).pending([LATER]) == []
    written = await versions(place, store)
    assert max(version for name, version, _ in written if name == "notes") == 4
    await store.open([LATER])
    assert await versions(place, store) == written
    await store.close()


@ALL
async def test_a_new_database_is_made_in_its_newest_shape(place: Place) -> None:
    store = await opened(place, [LATER])
    await store.insert(LATER, LaterNote(id="1", heading="one"))
    assert await inspected(store).pending([LATER]) == []
    earlier = store_from_url(place.url)
    with pytest.raises(TooNew):
        await earlier.open([EARLIER])
    await earlier.close()
    await store.close()


@ALL
async def test_a_database_that_is_newer_than_the_program_is_refused(place: Place) -> None:
    """And nothing of it is touched."""
    await with_notes(place)
    await (await opened(place, [LATER])).close()
    store = store_from_url(place.url)
    for call in (store.open, inspected(store).pending):
        with pytest.raises(
            TooNew, match=r"newer than this program: its table notes has version 4, .* version 1\."
        ):
            await call([EARLIER])
    await store.close()
    store = await opened(place, [LATER])
    assert await store.count(LATER, {}) == len(NOTES)
    await store.close()


@ALL
async def test_looking_changes_nothing(place: Place) -> None:
    store = store_from_url(place.url)
    for _ in range(2):
        assert (
            Change("notes", 4, "make the table") in await inspected(store).pending([LATER])
            or place.kind == PYMONGO
        )
    if place.kind == SQLITE:
        assert not place.file.exists()
    await with_notes(place)
    told = [one.tells for one in await inspected(store).pending([LATER])]
    assert told[:3] == [
        "rename the column title to heading",
        "rename the column shelf to group",
        "drop the column draft",
    ]
    assert await inspected(store).pending([LATER]) == await inspected(store).pending([LATER])
    await store.close()
    store = await opened(place, [EARLIER])
    assert await store.find(EARLIER, {}, limit=100) == NOTES
    await store.close()


@ALL
async def test_rows_that_rule_a_change_out_leave_all_as_it_was(place: Place) -> None:
    """Two rows hold what is to be unique. The complaint repeats no value."""
    store = await opened(place, [EARLIER])
    for number in range(2):
        await store.insert(EARLIER, Note(id=str(number), shelf="secret"))
    strict = Table(name="notes", record=Note, unique=("title", "shelf"), indexes=(("draft",),))
    with pytest.raises(ValueError, match="Two rows hold the same value") as complaint:
        await store.open([strict])
    assert "secret" not in str(complaint.value)
    assert len(await inspected(store).pending([strict])) == 2
    await store.insert(EARLIER, Note(id="2", shelf="secret"))
    await store.close()


# Many at once


@ALL
async def test_four_processes_migrate_one_database_at_once(place: Place) -> None:
    await with_notes(place)
    racers = [start(place) for _ in range(4)]
    for wait in (ready, go):
        for racer in racers:
            wait(racer)
    answers = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [json.loads(answer) for answer in answers] == [len(NOTES)] * 4
    store = await opened(place, [LATER])
    written = [change for name, _, change in await versions(place, store) if name == "notes"]
    assert len(written) == len(set(written)) == (1 if place.kind == PYMONGO else 9)
    await store.close()


@SQL
async def test_kill_9_in_the_middle_leaves_the_old_or_the_new(place: Place) -> None:
    """Q-03."""
    await with_notes(place)
    if place.kind == POSTGRES:
        numbers = f"generate_series(1, {ROWS}) n"
        await run_sql(
            place.url,
            f"INSERT INTO authkit_notes (id, shelf) SELECT 'n' || n, 'top' FROM {numbers}",
        )
    else:
        with closing(sqlite3.connect(place.file)) as connection:
            many = [(f"n{n}", "top") for n in range(ROWS)]
            connection.executemany("INSERT INTO notes (id, shelf) VALUES (?, ?)", many)
            connection.commit()
    killed = random.Random(7)  # the same moments in every run
    seen = set()
    for _ in range(8):
        with start(place) as process:
            ready(process)
            go(process)
            await anyio.sleep(killed.uniform(0.0, 0.12))
            process.kill()
        due = await pending(place, LATER)
        seen.add(len(due))
        if not due:
            break
    assert seen <= {0, 8}
    with start(place) as process:
        ready(process)
        go(process)
        answer, _ = process.communicate(timeout=60)
    assert json.loads(answer) == len(NOTES) + ROWS


def start(place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.migrating_worker", place.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    print(file=process.stdin, flush=True)
