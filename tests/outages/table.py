"""The table of docs/outages.md, and which test proves which of its rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PAGE = Path(__file__).parents[2] / "docs/outages.md"
ROW = re.compile(r"^\| \*\*(.+?)\*\*.* \| .+ \| .+ \| .+ \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())

Test = TypeVar("Test", bound=Callable[..., object])


def proves(row: str) -> Callable[[Test], Test]:
    """Marks a test as the proof of a row, which must be in the table."""
    assert row in ROWS, f"{PAGE.name} has no row {row!r}"

    def mark(test: Test) -> Test:
        return test

    return mark
