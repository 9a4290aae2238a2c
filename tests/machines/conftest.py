"""The databases that the machine plays on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.store.conftest import postgres_url as postgres_url
from tests.store.mongod import running


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("AUTHKIT_TEST_MONGODB_URL"):
        yield given
        return
    with running(tmp_path_factory.mktemp("mongod")) as ours:
        yield ours.url
