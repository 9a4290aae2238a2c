"""Which store a database URL names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.store.urls import store_from_url
from authkit_asgi.testing.store_suite import ADA, PETS, TABLES


def test_memory() -> None:
    assert isinstance(store_from_url("memory:"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        pytest.param("sqlite:///rows.db", "rows.db", id="three slashes: from where we run"),
        pytest.param("sqlite:///./a b/rows.db", "a b/rows.db", id="in a directory"),
        pytest.param("SQLite:///rows.db", "rows.db", id="a scheme has no case"),
    ],
)
async def test_a_relative_file(
    url: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)
    await _write(url)
    assert (tmp_path / place).is_file()


@pytest.mark.parametrize("name", ["rows.db", "100% #1.db"])
async def test_an_absolute_file(name: str, tmp_path: Path) -> None:
    await _write(f"sqlite:///{tmp_path}/{name}")
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("sqlite::memory:", "`memory:`", id="SQLite's own memory"),
        pytest.param("sqlite:///:memory:", "`memory:`", id="the same, as a path"),
        pytest.param("sqlite://", "sqlite:////absolute.db", id="SQLAlchemy's memory"),
        pytest.param("sqlite:///", "sqlite:////absolute.db", id="no file"),
        pytest.param("sqlite://rows.db", "sqlite:///relative.db", id="two slashes"),
        pytest.param("sqlite:///rows.db?mode=ro", "without options", id="options"),
        pytest.param("memory://x", "just `memory:`", id="memory has no name"),
        pytest.param("", "one of memory:, sqlite:", id="nothing"),
        pytest.param("memory", "one of memory:, sqlite:", id="no colon"),
        pytest.param("rows.db", "one of memory:, sqlite:", id="a path"),
        pytest.param("oracle://x", "one of memory:, sqlite:", id="another database"),
    ],
)
def test_what_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        store_from_url(url)


@pytest.mark.parametrize("url", ["oracle://ada:s3cret@host/db", "s3cret:x", "ada:s3cret@host"])
def test_a_complaint_repeats_no_password(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with") as complaint:
        store_from_url(url)
    assert "s3cret" not in str(complaint.value)
    assert "ada" not in str(complaint.value)


def test_a_store_that_is_not_asked_for_is_not_imported() -> None:
    program = (
        "import sys; from authkit_asgi.store.urls import store_from_url; store_from_url('memory:');"
        "sys.exit('sqlite3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def _write(url: str) -> None:
    store = store_from_url(url)
    assert isinstance(store, SqliteStore)
    await store.open(TABLES)
    await store.insert(PETS, ADA)
    await store.close()
