"""What can lose rows is said when the store opens, and by `authkit-asgi check`."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from authkit_asgi.store import Inspectable, Store, mounts
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.mounts import remote_file_system
from authkit_asgi.store.sql import SqlStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing.store_suite import TABLES
from tests.store.services import run_sql

# As Linux writes it; the mount point of the share has a space in its name.
MOUNTED = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:27 / {home} rw,relatime shared:9 - {kind} server:/export rw,vers=4.2
40 31 254:2 / {home}/disk rw,relatime - xfs /dev/vdb rw
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "the share"
    (home / "disk").mkdir(parents=True)
    return home


def mounted(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = home.with_name("mountinfo")
    table.write_text(MOUNTED.format(home=str(home).replace(" ", r"\040"), kind=kind))
    monkeypatch.setattr(mounts, "MOUNTS", table)


async def said(store: Store, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What opening it logs; the store can say the same, opened or not."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "authkit_asgi.store"):
        await store.open(TABLES)
    logged = [record.getMessage() for record in caplog.records]
    assert isinstance(store, Inspectable)
    assert await store.weaknesses() == logged
    await store.close()
    return logged


@pytest.mark.parametrize(
    ("kind", "place", "found"),
    [
        ("nfs4", "rows.db", "nfs4"),
        ("nfs", "rows.db", "nfs"),
        ("cifs", "rows.db", "cifs"),
        ("smb3", "not/there/yet/rows.db", "smb3"),
        ("fuse.sshfs", "rows.db", "fuse.sshfs"),
        ("9p", "rows.db", "9p"),
        ("fuseblk", "rows.db", None),
        ("ext4", "rows.db", None),
        ("nfs4", "disk/rows.db", None),
    ],
)
def test_where_a_path_lies(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str, found: str | None
) -> None:
    mounted(home, kind, monkeypatch)
    assert remote_file_system(home / place) == found
    assert remote_file_system(home.parent / "elsewhere.db") is None


def test_where_the_system_does_not_tell_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remote_file_system(tmp_path) is None  # by this machine's own table
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "no such file")
    assert remote_file_system(tmp_path) is None


async def test_a_sqlite_file_on_a_network_is_warned_of(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await said(SqliteStore(home / "rows.db"), caplog) == []
    mounted(home, "nfs4", monkeypatch)
    [warning] = await said(SqliteStore(home / "rows.db"), caplog)
    assert "lies on a nfs4 file system" in warning


@pytest.mark.parametrize("off", ["synchronous_commit", "fsync"])
async def test_a_postgresql_that_forgets_is_warned_of(
    database: str, caplog: pytest.LogCaptureFixture, off: str
) -> None:
    """Our server of the tests has `fsync` off; a connection can have its own commits."""
    url = f"{database}&synchronous_commit=off" if off == "synchronous_commit" else database
    warnings = [one for one in await said(SqlStore(url), caplog) if one.startswith(f"{off} is off")]
    [(fsync,)] = await run_sql(url, "SHOW fsync")
    assert len(warnings) == (1 if off == "synchronous_commit" or fsync == "off" else 0)


async def test_rows_in_memory_are_warned_of_among_workers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    store = MemoryStore()
    with caplog.at_level(logging.WARNING, "authkit_asgi.store"):
        await store.open(TABLES)
    assert caplog.records == []
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    [warning] = await said(MemoryStore(), caplog)
    assert "each worker has its own" in warning


def test_a_process_that_was_started_as_a_worker_knows_it() -> None:
    program = (
        "import asyncio, multiprocessing\n"
        "from authkit_asgi.store.memory import MemoryStore\n"
        "def work():\n"
        "    asyncio.run(MemoryStore().open([]))\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    worker = context.Process(target=work)\n"
        "    worker.start(); worker.join()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stderr.count("each worker has its own") == 1
