"""`authkit-asgi check --url` at a real nginx that is set up well, and in each wrong way."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from authkit_asgi.deployment import findings
from tests.proxies.certificates import Issuer
from tests.proxies.nginx import CACHE, behind_nginx
from tests.servers.launching import launched
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
            {"Origin"},
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
        told = looked_at(site.url)
    checks = json.loads(told.stdout)["checks"]
    assert {one["name"] for one in checks if one["advice"]} == problems, checks
    assert told.returncode == bool(problems)


@pytest.mark.parametrize(
    ("directives", "websockets", "advice"),
    [
        pytest.param("", False, "arrives as a request for a page", id="as nginx is by itself"),
        pytest.param(CACHE, False, "arrives as a request for a page", id="and a cache"),
        pytest.param("if ($http_upgrade) { return 426; }", True, "answered with 426", id="refused"),
        pytest.param("if ($http_upgrade) { return 444; }", True, "no answer", id="hung up on"),
    ],
)
def test_a_proxy_without_websockets_is_warned_of(
    directives: str, websockets: bool, advice: str, tmp_path: Path
) -> None:
    """An app may do without them, so that it is no problem by itself."""
    with behind_nginx(tmp_path, directives, websockets=websockets) as site:
        told = looked_at(site.url)
    assert told.returncode == 0, told.stdout
    (warned,) = [one for one in json.loads(told.stdout)["checks"] if one["advice"]]
    assert (warned["name"], warned["warning"]) == ("WebSockets", True)
    assert advice in warned["advice"]


@pytest.mark.parametrize("server", ["granian", "daphne"])
def test_other_servers_than_uvicorn_are_seen_to_know_websockets(server: str) -> None:
    with launched(server, "sample_app.main:app") as running:
        told = looked_at(running.url)
    checks = {one["name"]: one["advice"] for one in json.loads(told.stdout)["checks"]}
    assert checks["WebSockets"] == ""


def test_a_handshake_that_is_led_around_the_guard_is_a_problem(tmp_path: Path) -> None:
    around = "if ($http_upgrade) { proxy_pass http://127.0.0.1:%d; }"
    with (
        launched("uvicorn-httptools", "tests.proxies.app:unguarded") as other,
        behind_nginx(tmp_path, around % other.port) as site,
    ):
        found = {one.name: one for one in findings(site.url)}
    assert "around the guard" in found["WebSockets"].advice
    assert not found["WebSockets"].warns


def test_https_with_a_good_certificate_is_well(tmp_path: Path) -> None:
    issuer = Issuer()
    with behind_nginx(tmp_path, certificate=issuer.written(tmp_path / "tls.pem")) as site:
        told = looked_at(site.url, issuer.trusted(tmp_path))
    checks = json.loads(told.stdout)["checks"]
    assert checks[0] == {"name": "certificate", "advice": "", "warning": False}
    assert not [one for one in checks if one["advice"]], checks


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        pytest.param({"days": (-20, -1)}, "it has expired", id="expired"),
        pytest.param({"days": (2, 20)}, "it begins later", id="not yet"),
        pytest.param({"name": "other.example"}, "it names other hosts", id="another host's"),
        pytest.param({"own": True}, "it is signed by itself", id="signed by itself"),
        pytest.param({"between": True}, "its chain is not complete", id="no intermediate"),
        pytest.param({"days": (-80, 3)}, "it expires in 3 days", id="soon"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(
    wrong: dict[str, Any], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = Issuer()
    for name, value in issuer.trusted(tmp_path).items():
        monkeypatch.setenv(name, value)
    with sealed(issuer.written(tmp_path / "tls.pem", **wrong)) as url:
        found, *more = findings(url)
    assert found.name == "certificate"
    assert advice in found.advice
    assert found.warns == bool(more), "only what browsers refuse ends the look"


def test_no_tls_where_https_is_meant_is_said() -> None:
    with sealed(None) as url:
        (found,) = findings(url)
    assert "there is no TLS" in found.advice
    assert not found.warns


def test_nobody_there_is_a_problem_of_its_own() -> None:
    for scheme in ("http", "https"):
        told = looked_at(f"{scheme}://localhost:{free_port()}")
        assert told.returncode == 1
        assert "cannot be looked at" in told.stderr


@contextmanager
def sealed(certificate: Path | None) -> Iterator[str]:
    """An https site that knows no path, or one that is http in truth."""
    server = HTTPServer(("127.0.0.1", 0), Nothing)
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


class Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None: ...


def looked_at(url: str, variables: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "authkit_asgi", "check", "--json", "--url", url],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
