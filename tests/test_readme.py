"""What the README says is true: its example runs, its links lead somewhere, and it stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authkit_asgi import AuthMiddleware
from tests.world import Browser, settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


async def test_the_example_guards_its_app(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings()
    monkeypatch.setenv("AUTHKIT_BASE_URL", chosen.base_url)
    monkeypatch.setenv("AUTHKIT_TOKEN_SECRET", chosen.token_secret[0])
    monkeypatch.setenv("AUTHKIT_REFRESH_TOKEN_SECRET", chosen.refresh_token_secret[0])
    monkeypatch.setenv("AUTHKIT_DATABASE_URL", "memory:")
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example) == 1
    names: dict[str, object] = {}
    exec(compile(example[0], "README.md", "exec"), names)
    app = names["app"]
    assert isinstance(app, AuthMiddleware)
    async with Browser(app) as browser:
        turned_away = await browser.navigate("/members")
        assert turned_away.headers["location"] == "/user/login?next=/members"
        assert (await browser.get("/user/login")).status_code == 200


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_its_commands_are_the_ones_that_ci_runs() -> None:
    assert "make test" in README
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120
