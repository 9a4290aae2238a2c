"""What the table of outages says is tested, row by row."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.outages.table import ROWS


def proved() -> set[str]:
    """The rows that a test of this folder names."""
    rows = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                rows |= {_row(one) for one in node.decorator_list if _row(one)}
    return rows


def _row(decorator: ast.expr) -> str:
    match decorator:
        case ast.Call(func=ast.Name("proves"), args=[ast.Constant(str(row))]):
            return row
    return ""


def test_each_row_has_its_test() -> None:
    assert len(ROWS) == len(set(ROWS)) >= 8
    assert proved() == set(ROWS)
