"""What the documentation says is so: each setting, and the example that everybody copies."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from authkit_asgi import AuthKit, Settings
from authkit_asgi.middleware import AuthMiddleware

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
SETTING = re.compile(r"\bAUTHKIT_[A-Z_]*[A-Z]\b")
ROW = re.compile(r"^\| `(AUTHKIT_\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    """The settings that the page explains, with what it says is their default."""
    rows = ROW.findall((ROOT / "docs/settings.md").read_text())
    assert len(rows) == len({name for name, _, _ in rows}), "a setting is explained twice"
    return {name: default.strip("`") for name, default, _ in rows}


def written(default: object) -> str:
    """A default as one writes it in the environment."""
    match default:
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}" if default < 1e5 else str(int(default))
        case tuple():
            return ", ".join(default) or "empty"
        case _ if default is PydanticUndefined:
            return "required"
        case _:
            return str(default) or "empty"


def test_every_setting_is_explained_with_its_default() -> None:
    """SECURITY B-07."""
    actual = {
        f"AUTHKIT_{name.upper()}": written(field.default)
        for name, field in Settings.model_fields.items()
    }
    actual["AUTHKIT_MAIL_FROM"] = "no-reply@localhost"  # what the empty one becomes
    assert documented() == actual


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_speaks_of_a_setting_that_is_not_there(page: Path) -> None:
    assert set(SETTING.findall(page.read_text())) <= documented().keys()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHKIT_BASE_URL", "http://localhost:8000")
    monkeypatch.setenv("AUTHKIT_DATABASE_URL", "memory:")
    for name in ("AUTHKIT_TOKEN_SECRET", "AUTHKIT_REFRESH_TOKEN_SECRET"):
        monkeypatch.setenv(name, secrets.token_urlsafe(32))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("page", ["docs/index.md", "README.md"])
def test_the_first_example_does_what_is_said_of_it(page: str) -> None:
    example = re.search(r"```python\n(.+?)```", (ROOT / page).read_text(), re.DOTALL)
    assert example
    names: dict[str, object] = {}
    exec(compile(example[1], page, "exec"), names)
    app = names["app"]
    assert isinstance(app, AuthMiddleware)
    client = TestClient(app, base_url="http://localhost:8000", follow_redirects=False)
    with client:
        assert client.get("/members").status_code == 401
        answer = client.get("/members", headers={"accept": "text/html"})
        assert answer.headers["location"] == "/user/login?next=/members"
        assert client.get("/user/register").status_code == 200


@pytest.mark.usefixtures("environment")
def test_a_framework_may_run_the_lifespan_of_mounted_parts() -> None:
    kit = AuthKit()
    app = Starlette(routes=[Mount("/api/users", kit.api)], lifespan=kit.lifespan)
    with TestClient(app, base_url="http://localhost:8000") as client:
        assert client.get("/api/users/openapi.json").status_code == 200


def test_the_policy_for_reports_names_a_way_and_dates() -> None:
    """SECURITY B-03."""
    policy = (ROOT / "SECURITY.md").read_text()
    for promised in ("Report a vulnerability", "3 working days", "14 days", "30 days", "CVE"):
        assert promised in policy
    assert "## Supported versions" in policy
