"""`authkit-asgi check --url` at a real nginx that is set up well, and in each wrong way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.proxies.nginx import CACHE, behind_nginx
from tests.servers.serving import free_port

pytestmark = pytest.mark.servers
IGNORING = f"{CACHE} proxy_ignore_headers Cache-Control Set-Cookie Vary; proxy_cache_methods GET;"


@pytest.mark.parametrize(
    ("directives", "settings", "problems"),
    [
        pytest.param("", {}, set(), id="well"),
        pytest.param(CACHE, {}, set(), id="with a cache that obeys"),
        pytest.param(
            'proxy_set_header Origin "";',
            {},
            {
                "Origin",
            },
            id="Origin is stripped",
        ),
        pytest.param(
            'proxy_set_header Sec-Fetch-Site "";', {}, {"Sec-Fetch-Site"}, id="Fetch Metadata too"
        ),
        pytest.param("proxy_hide_header Set-Cookie;", {}, {"cookies"}, id="no cookies"),
        pytest.param(
            'proxy_cookie_path / "/app";', {}, {"cookie flags"}, id="cookies of another path"
        ),
        pytest.param(IGNORING, {}, {"caches"}, id="a cache that does not obey"),
        pytest.param(
            "", {"AUTHKIT_BASE_URL": "https://app.example.test"}, {"base URL"}, id="another scheme"
        ),
        pytest.param("return 404;", {}, {"reached"}, id="nothing is passed on"),
        pytest.param(
            "proxy_redirect / https://elsewhere.example/;", {}, {"redirects"}, id="another host"
        ),
    ],
)
def test_each_wrong_setting_is_found(
    directives: str, settings: dict[str, Any], problems: set[str], tmp_path: Path
) -> None:
    if settings:
        settings = {**settings, "AUTHKIT_BCRYPT_ROUNDS": "10"}
    with behind_nginx(tmp_path, directives, **settings) as site:
        command = [sys.executable, "-m", "authkit_asgi", "check", "--json", "--url", site.url]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    checks = json.loads(told.stdout)["checks"]
    assert {one["name"] for one in checks if one["advice"]} == problems, checks
    assert told.returncode == bool(problems)


def test_nobody_there_is_a_problem_of_its_own() -> None:
    url = f"http://localhost:{free_port()}"
    command = [sys.executable, "-m", "authkit_asgi", "check", "--url", url]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 1
    assert "cannot be looked at" in told.stderr
