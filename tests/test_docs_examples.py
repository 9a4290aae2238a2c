"""The documentation's examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import pytest

from authkit_asgi.errors import AuthError
from authkit_asgi.events import Event
from authkit_asgi.kit import AuthKit, default_features
from authkit_asgi.store.memory import MemoryStore
from tests.world import settings, world

DOCS = Path(__file__).parents[1] / "docs"
Kind = TypeVar("Kind")


def example_of(page: str) -> str:
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


async def test_the_feature_of_the_page_on_features_works(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings()
    monkeypatch.setenv("AUTHKIT_BASE_URL", chosen.base_url)
    monkeypatch.setenv("AUTHKIT_TOKEN_SECRET", chosen.token_secret[0])
    monkeypatch.setenv("AUTHKIT_REFRESH_TOKEN_SECRET", chosen.refresh_token_secret[0])
    monkeypatch.setenv("AUTHKIT_DATABASE_URL", "memory:")
    names: dict[str, Any] = {"__name__": "example"}
    # dont_inherit: the example has no `from __future__` of ours.
    exec(compile(example_of("features.md"), "features.md", "exec", dont_inherit=True), names)
    async with world(features=[*default_features(), names["Notes"]()]) as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()
            assert (await browser.api("POST", "/notes", {"text": "milk"})).status_code == 200
            notes = (await browser.api("GET", "/notes")).json()["data"]["notes"]
            assert sorted(notes) == ["Welcome", "milk"]


def test_every_code_and_every_route_is_documented() -> None:
    page = (DOCS / "api.md").read_text()
    for error in tree(AuthError):
        assert f"`{error.code}`" in page or error.code == AuthError.code, error
    kit = AuthKit(settings(), store=MemoryStore())
    for route in kit.routes:
        assert f"`{route.name}`" in page, route.name


def test_every_page_and_every_event_is_documented() -> None:
    page = (DOCS / "features.md").read_text()
    kit = AuthKit(settings(), store=MemoryStore())
    for path in pages_of(kit):
        assert f"`{path}`" in page, path
    for event in tree(Event) - {Event}:
        if event.__module__ == Event.__module__:  # tests make events of their own
            assert f"| `{event.__name__}` |" in page, event


def pages_of(kit: AuthKit) -> list[str]:
    plugs = (feature.plug(kit.services) for feature in default_features())
    return [page.path for plug in plugs for page in plug.pages]


def tree(root: type[Kind]) -> set[type[Kind]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))
