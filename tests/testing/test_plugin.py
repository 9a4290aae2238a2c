"""The pytest plugin, as a project of its own meets it: nothing is configured, pytest just runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from authkit_asgi.testing import plugin

SITE = (Path(__file__).parent / "site.py").read_text()

TESTS = """
from starlette.testclient import TestClient

from authkit_asgi.testing import link_in, replay, steal_refresh, token_in
from site_of_mine import build

ADA = "ada@example.test"


def test_signed_in(authkit, authkit_login):
    client = TestClient(build(authkit))
    assert client.get("/members").status_code == 401
    authkit_login(client, ADA)
    assert client.get("/members").status_code == 200


def test_theft(authkit, authkit_login, authkit_clock, authkit_events):
    client = TestClient(build(authkit))
    authkit_login(client, ADA)
    stolen = steal_refresh(client)
    for _ in range(2):
        authkit_clock.pass_(hours=2)
        client.get("/members")
    assert replay(client, stolen).status_code == 401
    assert type(authkit_events[-1]).__name__ == "SessionReused"


def test_reset(authkit, authkit_user, authkit_mailbox):
    user = authkit_user(ADA, is_admin=True)
    client = TestClient(build(authkit))
    client.post("/api/users/forgot-password/sent", json={"email": user.email})
    mail = authkit_mailbox.wait(to=ADA)
    assert token_in(mail) in link_in(mail, "/user/reset-password/verify")


def test_one_kit_a_test(authkit, authkit_user):
    assert authkit_user(ADA).email == ADA
    assert authkit.settings.app_name == "Acme"
"""

CONFTEST = """
import pytest


@pytest.fixture
def authkit_settings():
    return {"app_name": "Acme"}
"""

LAZY = """
import sys


def test_nothing_was_loaded(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("authkit")
    loaded = {name.partition(".")[0] for name in sys.modules}
    heavy = {"starlette", "pydantic", "jwt", "bcrypt", "jinja2", "httpx", "httpx2"}
    assert not heavy & loaded
    ours = {name for name in sys.modules if name.startswith("authkit_asgi")}
    assert ours == {"authkit_asgi", "authkit_asgi.testing", "authkit_asgi.testing.plugin"}
"""


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=project, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_project_just_uses_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "site_of_mine.py").write_text(SITE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(TESTS)
    ended = run_pytest(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout


def test_a_project_without_a_use_for_it_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(LAZY)
    ended = run_pytest(tmp_path, "-p", "no:hypothesispytest")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_fixture_is_named_after_the_library_and_explained(tmp_path: Path) -> None:
    listed = run_pytest(tmp_path, "--fixtures").stdout
    names = [name for name in vars(plugin) if name.startswith("authkit")]
    assert len(names) >= 8
    page = (Path(__file__).parents[2] / "docs/testing.md").read_text()
    for name in names:
        assert f"{name} -- " in listed
        assert f"| `{name}` |" in page
