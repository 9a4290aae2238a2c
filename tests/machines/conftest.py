"""The databases that the machine plays on, and what the run of all tests tells of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.machines.places import PLAYED
from tests.store.conftest import postgres_url as postgres_url
from tests.store.mongod import running


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        yield ours.url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if PLAYED:
        terminalreporter.section("a machine played browsers on bad lines, and a thief")
        width = max(map(len, PLAYED))
        for name, told in PLAYED.items():
            terminalreporter.line(f"{name:{width}}  {told}")
