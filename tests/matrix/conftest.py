"""Runs the cells of the matrix, some at a time, and shows the table at the end of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import pytest

from tests.matrix.cells import Outcome, run
from tests.matrix.table import AT_ONCE, plain
from tests.telling import Tell

Cell = tuple[str, str]


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest) -> Iterator[Mapping[Cell, Future[Outcome]]]:
    """Those cells that a test of this run asks for. None where the tests run in several processes:
    each of these is told of all tests, and would run all cells."""
    asked: dict[Cell, None] = {}
    for item in () if "PYTEST_XDIST_WORKER" in os.environ else request.session.items:
        # Others may have an outcome, too, but of no cell.
        if isinstance(item, pytest.Function) and {"outcome", "cell"} <= {*item.fixturenames}:
            asked[cast("Cell", item.callspec.params["cell"])] = None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {cell: pool.submit(run, *cell) for cell in asked}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def outcome(cell: Cell, running: Mapping[Cell, Future[Outcome]], tell: Tell) -> Outcome:
    found = running[cell].result() if cell in running else run(*cell)
    for line in plain({cell: found}):
        tell("servers, frameworks and hostile requests", line)
    return found
