"""The promises that every database keeps, and the table of which test runs proved them.

A test says what it proves, and on which database, by one marker or by two:

    pytestmark = pytest.mark.promise("faults")
    @pytest.mark.promise("rotation", store="SQLite")
    pytest.param("sqlite", marks=pytest.mark.promise(store="SQLite"))

What a server says about itself is told once, by whoever starts it: `VERSIONS["PostgreSQL"] = "17"`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import pytest

from tests.telling import reports

STORES = ("memory", "SQLite", "PostgreSQL", "MongoDB by PyMongo", "MongoDB by Motor")
PROMISES = ("conformance", "rotation", "single use", "limits", "faults")
OUTCOMES: tuple[Literal["passed", "failed", "error", "skipped"], ...] = (
    "passed",
    "failed",
    "error",
    "skipped",
)

VERSIONS: dict[str, str] = {
    "memory": f"Python {sys.version.split()[0]}",
    "SQLite": sqlite3.sqlite_version,
}
DRIVERS = {
    "PostgreSQL": ("asyncpg",),
    "MongoDB by PyMongo": ("pymongo",),
    "MongoDB by Motor": ("motor", "pymongo"),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What one test proves, and on which database."""

    promise: str
    store: str


PROOF, PROVED_ON = "proof", "version"  # what a report carries, from whichever process it ran in


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if (proof := _proof(item)) is not None:
        item.user_properties.append((PROOF, [proof.promise, proof.store]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    proof = _proof(item) if call.when == "call" else None
    if proof is not None and proof.store in VERSIONS:  # by now, its server was asked
        item.user_properties.append((PROVED_ON, [proof.store, VERSIONS[proof.store]]))


def summarise(reporter: pytest.TerminalReporter) -> None:
    counted: Counter[tuple[Proof, str]] = Counter()
    for outcome in OUTCOMES:
        for report in reports(reporter, outcome):
            if report.when != "call" and outcome == "passed":
                continue
            for name, told in report.user_properties:
                if name == PROOF and isinstance(told, list):
                    counted[Proof(*told), outcome] += 1
                elif name == PROVED_ON and isinstance(told, list):
                    VERSIONS[told[0]] = told[1]
    if counted:
        reporter.section("promises kept on every database")
        for line in _aligned(_table(counted)):
            reporter.line(line)


def _proof(item: pytest.Item) -> Proof | None:
    """Out of the marks of the test, its class, its module and its parameters: the nearest wins."""
    promise, store = "", ""
    for mark in item.iter_markers("promise"):
        promise = promise or (mark.args[0] if mark.args else "")
        store = store or mark.kwargs.get("store", "")
    if not (promise and store):
        return None
    if promise not in PROMISES or store not in STORES:
        raise pytest.UsageError(f"{item.nodeid}: no such promise or store: {promise!r}, {store!r}")
    return Proof(promise, store)


def _table(counted: Counter[tuple[Proof, str]]) -> Iterator[list[str]]:
    yield ["", *PROMISES, "versions"]
    for store in STORES:
        cells = [
            ", ".join(
                f"{count} {outcome}"
                for outcome in OUTCOMES
                if (count := counted[Proof(promise, store), outcome])
            )
            for promise in PROMISES
        ]
        yield [store, *(cell or "-" for cell in cells), _versions(store)]


def _versions(store: str) -> str:
    told = [VERSIONS[store]] if store in VERSIONS else []
    return ", ".join([*told, *(f"{one} {_version(one)}" for one in DRIVERS.get(store, ()))])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _aligned(rows: Iterable[list[str]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
