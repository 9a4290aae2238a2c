#!/usr/bin/env python3
"""Prints which tests prove which requirement of docs/requirements.json, and fails on a gap.

    scripts/musts.py [--missing] [DIRECTORY]

A test proves what it names: in its docstring, in the ids of its cases, or in the docstring of its
class. DIRECTORY is the project's by default. `--missing` prints the gaps only. Exit status 1: a
must that no test names, or an id that no requirement has.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def proofs(tests: Path, sections: str) -> Iterator[tuple[str, str]]:
    """Ids, each with the test that names it."""
    pattern = re.compile(rf"\b[{sections}]-[0-9]{{2}}\b")
    for path in sorted(tests.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        cases = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for test, place, around in _tests(tree):
            name = f"{path.relative_to(tests.parent)}::{place}{test.name}"
            for identifier in sorted(set(pattern.findall("\n".join(_words(test, around, cases))))):
                yield identifier, name


def _tests(tree: ast.Module) -> Iterator[tuple[Function, str, str]]:
    """Each test function, with the name of the class around it, as pytest writes it, and with that
    one's docstring."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            said = ast.get_docstring(node) or ""
            yield from ((one, f"{node.name}::", said) for one in node.body if _is_test(one))
        elif _is_test(node):
            yield node, "", ""


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, Function) and node.name.startswith("test_")


def _words(test: Function, around: str, cases: dict[str, ast.expr]) -> Iterator[str]:
    """Docstrings, and the ids of cases: what else a test says is what it is made of."""
    yield around
    yield ast.get_docstring(test) or ""
    for decorator in test.decorator_list:
        yield from _ids(decorator)
        for node in ast.walk(decorator):  # cases that have a name of their own in the module
            if isinstance(node, ast.Name) and node.id in cases:
                yield from _ids(cases[node.id])


def _ids(cases: ast.expr) -> Iterator[str]:
    for node in ast.walk(cases):
        if isinstance(node, ast.keyword) and node.arg in ("id", "ids"):
            for one in ast.walk(node.value):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield one.value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Which tests prove which requirement.")
    parser.add_argument("--missing", action="store_true", help="print the gaps only")
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    written = json.loads((options.directory / "docs/requirements.json").read_text("utf-8"))
    known: dict[str, str] = {**written["must"], **written["should"]}
    named: dict[str, list[str]] = {identifier: [] for identifier in known}
    strangers: dict[str, list[str]] = {}
    sections = "".join(sorted({identifier[0] for identifier in known}))
    for identifier, test in proofs(options.directory / "tests", sections):
        (named if identifier in known else strangers).setdefault(identifier, []).append(test)
    if not options.missing:
        for identifier, tests in named.items():
            print(f"{identifier}  {known[identifier]}")
            for test in tests:
                print(f"      {test}")
    gaps = [identifier for identifier in written["must"] if not named[identifier]]
    for identifier in gaps:
        print(f"{identifier}: no test names it ({known[identifier]})", file=sys.stderr)
    for identifier, tests in strangers.items():
        print(f"{identifier}: no requirement has this id ({', '.join(tests)})", file=sys.stderr)
    if not gaps and not strangers:
        proved = sum(1 for tests in named.values() if tests)
        print(f"{len(written['must'])} musts, all named; {proved} of {len(known)} in all.")
    return 1 if gaps or strangers else 0


if __name__ == "__main__":
    sys.exit(main())
