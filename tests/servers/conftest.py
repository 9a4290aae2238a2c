"""Databases for groups of workers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator

import anyio
import pytest

from tests.servers.groups import Group, group
from tests.store.conftest import postgres_url as postgres_url
from tests.store.mongod import running
from tests.store.services import run_sql
from tests.telling import Tell

STORES = ("SQLite", "PostgreSQL", "MongoDB by PyMongo")


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        yield ours.url


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, marks=pytest.mark.promise(store=one), id=one) for one in STORES],
)
def workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Group]:
    """Four of them, on one empty database of each kind."""
    name = f"workers_{secrets.token_hex(4)}"
    if request.param == "SQLite":
        with group(f"sqlite:///{tmp_path_factory.mktemp('group')}/authkit.db") as running_group:
            yield running_group
    elif request.param == "PostgreSQL":
        server = request.getfixturevalue("postgres_url")
        anyio.run(run_sql, server, f"CREATE SCHEMA {name}")
        sign = "&" if "?" in server else "?"
        with group(f"{server}{sign}search_path={name}") as running_group:
            yield running_group
        anyio.run(run_sql, server, f"DROP SCHEMA {name} CASCADE")
    else:
        server, _, options = request.getfixturevalue("mongodb_url").partition("?")
        url = f"{server.rstrip('/')}/{name}" + (f"?{options}" if options else "")
        with group(url) as running_group:
            yield running_group


@pytest.fixture
def record_figures(request: pytest.FixtureRequest, tell: Tell) -> Callable[[str], None]:
    """A line of what was measured, for the end of the run."""
    where = (
        request.node.callspec.params.get("workers", "") if hasattr(request.node, "callspec") else ""
    )
    return lambda line: tell("measured over four workers", f"{where}: {line}" if where else line)
