"""Each requirement has a test that names it, and the script that says so finds a gap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def musts(directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/musts.py"), str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_must_has_a_test_that_names_it() -> None:
    found = musts()
    assert found.returncode == 0, found.stderr
    assert "      tests/core/test_tokens.py::" in found.stdout


CASE = """
import pytest
CASES = [pytest.param(1, id="T-02 a case")]
# T-03: a remark proves nothing
@pytest.mark.parametrize("x", CASES)
def test_it(x):
    '''T-01.'''
    assert x, "T-03 is what it is made of"
@pytest.mark.parametrize("x", ["T-03"])
def test_other(x):
    assert x != "T-03"
def helper():
    '''T-03.'''
class TestMore:
    '''T-02.'''
    def test_more(self): ...
"""


@pytest.mark.parametrize(
    ("known", "complaint"),
    [
        pytest.param(["T-01", "T-02"], "", id="complete"),
        pytest.param(["T-01", "T-02", "T-03"], "T-03: no test names it (T-03 holds)", id="a gap"),
        pytest.param(["T-01"], "T-02: no requirement has this id", id="a stranger"),
    ],
)
def test_a_gap_is_found(known: list[str], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    listed = {"must": {one: f"{one} holds" for one in known}, "should": {}}
    (tmp_path / "docs/requirements.json").write_text(json.dumps(listed))
    (tmp_path / "tests/test_case.py").write_text(CASE)
    found = musts(tmp_path)
    assert found.returncode == bool(complaint)
    assert complaint in found.stderr
    assert ("tests/test_case.py::TestMore::test_more" in found.stdout) == ("T-02" in known)
