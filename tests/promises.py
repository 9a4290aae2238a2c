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


_PROOFS = pytest.StashKey[dict[str, Proof]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    proofs = config.stash.setdefault(_PROOFS, {})
    for item in items:
        if (proof := _proof(item)) is not None:
            proofs[item.nodeid] = proof


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    proofs = config.stash.get(_PROOFS, {})
    counted: Counter[tuple[Proof, str]] = Counter()
    for outcome in OUTCOMES:
        for report in terminalreporter.getreports(outcome):
            proof = proofs.get(report.nodeid)
            if proof is not None and (report.when == "call" or outcome != "passed"):
                counted[proof, outcome] += 1
    if counted:
        terminalreporter.section("promises kept on every database")
        for line in _aligned(_table(counted)):
            terminalreporter.line(line)


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
