"""The examples of the page on testing, run as the project that they are."""

from __future__ import annotations

import re
from pathlib import Path

from authkit_asgi import testing
from tests.testing.test_plugin import run_pytest

PAGE = (Path(__file__).parents[2] / "docs/testing.md").read_text()
FILE = re.compile(r'```python title="(\S+)"\n(.*?)```', re.DOTALL)


def test_they_run(tmp_path: Path) -> None:
    files = dict(FILE.findall(PAGE))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = run_pytest(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tests = sum(text.count("def test_") for text in files.values())
    both_loops = 1  # anyio runs the async one on asyncio and on trio
    assert f"{tests + both_loops} passed" in ended.stdout


def test_every_name_is_there_and_explained() -> None:
    assert testing.__all__ == sorted(testing.HOMES)
    for name in testing.__all__:
        assert getattr(testing, name).__doc__
        assert name in PAGE or name == "Stolen"  # which `steal_refresh` returns
