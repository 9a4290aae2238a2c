"""The sample app: in this process, and as `uvicorn sample_app.main:app` with `AUTHKIT_*` alone."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from authkit_asgi import AuthKit, AuthMiddleware, SettingsError
from authkit_asgi.inspecting.deciding import faults
from authkit_asgi.inspecting.walking import site_of
from authkit_asgi.mail import Mail, Mailer
from authkit_asgi.mail.console import ConsoleMailer
from authkit_asgi.mail.file import FileMailer
from authkit_asgi.testing import quick_settings
from sample_app.site import guarded

BASE = "http://localhost:8000"
PAGE = {"accept": "text/html"}
ADA = {
    "firstname": "Ada",
    "lastname": "Lovelace",
    "username": "ada",
    "email": "ada@example.com",
    "password": "correct horse battery 9",
}
ADA_SIGNS_IN = {"email": ADA["email"], "password": ADA["password"]}
MAIL = Mail(
    to="ada@example.com",
    subject="Confirm <b>this</b>",
    text=f"Follow {BASE}/user/verify-token?token=abc&type=email or http://evil.example/x",
    html="<p>Hello</p><script>alert(1)</script>",
    key="one",
)


def app_of(*, mailer: Mailer | None = None, **changes: object) -> AuthMiddleware:
    settings = quick_settings(**{"base_url": BASE, "dev_mode": True, **changes})
    return guarded(AuthKit(settings, mailer=mailer))


def client_of(app: AuthMiddleware) -> TestClient:
    return TestClient(app, base_url=BASE, follow_redirects=False)


@pytest.fixture
def stranger() -> Iterator[TestClient]:
    with client_of(app_of()) as client:
        yield client


@pytest.fixture
def ada() -> Iterator[TestClient]:
    with client_of(app_of(require_verified_email=False)) as client:
        assert client.post("/api/users/register", json=ADA).status_code == 201
        assert client.post("/api/users/login", json=ADA_SIGNS_IN).status_code == 200
        yield client


# --- who may see what -----------------------------------------------------------------------


def test_the_landing_page_is_for_everybody_and_says_who_is_signed_in(
    stranger: TestClient, ada: TestClient
) -> None:
    assert "Nobody is signed in" in stranger.get("/").text
    assert "Signed in as <b>ada</b>" in ada.get("/").text


def test_a_page_runs_no_inline_script(stranger: TestClient) -> None:
    answer = stranger.get("/")
    assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
    assert not re.search(r"<script>|\sstyle=|\son\w+=", answer.text)


def test_a_stranger_is_led_to_the_sign_in_and_back(stranger: TestClient) -> None:
    answer = stranger.get("/members", headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/user/login?next=/members"


def test_a_stranger_gets_nothing_of_the_api(stranger: TestClient) -> None:
    assert stranger.get("/api/hello").status_code == 401


def test_a_stranger_opens_no_socket(stranger: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/ws"):
        pass


def test_a_member_is_greeted_by_name(ada: TestClient) -> None:
    assert "Welcome, ada" in ada.get("/members").text
    assert ada.get("/api/hello").json() == {"message": "Hello, ada!"}


def test_a_member_talks_to_the_socket(ada: TestClient) -> None:
    url = BASE.replace("http", "ws") + "/ws"
    with ada.websocket_connect(url, headers={"origin": BASE}) as talk:
        talk.send_text("hello")
        assert talk.receive_text() == "ada: hello"


# --- the mailbox ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dev/mailbox", "/dev/mailbox/x", "/dev/mailbox/x/html"])
def test_without_dev_mode_there_is_no_mailbox(path: str) -> None:
    with client_of(app_of(dev_mode=False)) as client:
        assert client.get(path).status_code == 404
        assert "mailbox" not in client.get("/").text


def test_dev_mode_is_refused_for_a_public_site() -> None:
    """SECURITY B-05."""
    with pytest.raises(SettingsError, match="AUTHKIT_DEV_MODE"):
        app_of(base_url="https://app.example.com")


def test_the_mailbox_answers_to_no_other_name() -> None:
    with client_of(app_of()) as client:
        headers = {"host": "rebound.example"}
        assert client.get("/dev/mailbox", headers=headers).status_code == 404


@pytest.mark.parametrize("kind", ["console", "file"])
async def test_a_sent_mail_can_be_read_and_its_link_followed(kind: str, tmp_path: Path) -> None:
    mailer = ConsoleMailer() if kind == "console" else FileMailer(tmp_path)
    await mailer.send(MAIL)
    transport = httpx2.ASGITransport(app_of(mailer=mailer))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        listed = (await client.get("/dev/mailbox")).text
        assert "Confirm &lt;b&gt;this&lt;/b&gt;" in listed
        mail = re.search(r'href="(/dev/mailbox/[^"]+)"', listed)
        assert mail
        shown = (await client.get(mail[1])).text
        assert f'<a href="{BASE}/user/verify-token?token=abc&amp;type=email">' in shown
        assert 'href="http://evil' not in shown
        frame = await client.get(f"{mail[1]}/html")
        assert "alert(1)" in frame.text
        assert frame.headers["content-security-policy"].startswith("sandbox allow-popups ")
        assert "script-src" not in frame.headers["content-security-policy"]
        assert (await client.get("/dev/mailbox/nothing")).status_code == 404


# --- as a server ----------------------------------------------------------------------------


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**authkit: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    return {**kept, **{f"AUTHKIT_{name}": value for name, value in authkit.items()}}


def uvicorn(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "sample_app.main:app", *arguments]


@contextmanager
def serving(port: int, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = uvicorn("--port", str(port))
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            heard = []
            for line in server.stderr:  # ends when the process does
                heard.append(line)
                if "Uvicorn running" in line:
                    break
            assert server.poll() is None, "".join(heard)
            yield server
        finally:
            server.terminate()


@pytest.mark.servers
def test_uvicorn_serves_it_with_nothing_but_settings_in_the_environment(tmp_path: Path) -> None:
    port = free_port()
    env = environment(
        BASE_URL=f"http://localhost:{port}",
        TOKEN_SECRET=secrets.token_urlsafe(32),
        REFRESH_TOKEN_SECRET=secrets.token_urlsafe(32),
        DATABASE_URL=f"sqlite:///{tmp_path}/authkit.db",
        MAIL_URL=f"file://{tmp_path}/mail",
        DEV_MODE="true",
    )
    with serving(port, env), httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert "Nobody is signed in" in client.get("/").text
        assert client.get("/members", headers=PAGE).headers["location"].startswith("/user/login")
        assert client.post("/api/users/register", json=ADA).status_code == 201


@pytest.mark.servers
def test_wrong_settings_stop_the_start_and_are_all_told() -> None:
    """SECURITY B-05, T-14."""
    command = uvicorn("--port", str(free_port()))
    env = environment(BASE_URL="http://app.example.com", TOKEN_SECRET="changeme" * 5)
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode != 0
    told = re.findall(r"^  - (AUTHKIT_\w+): ", ended.stderr, re.MULTILINE)
    assert {"AUTHKIT_BASE_URL", "AUTHKIT_TOKEN_SECRET", "AUTHKIT_REFRESH_TOKEN_SECRET"} <= set(told)
    assert "changeme" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_its_rules_name_every_route_and_nothing_else() -> None:
    """What `authkit-asgi routes --check sample_app.main:app` looks for."""
    site = site_of(guarded(AuthKit(quick_settings(dev_mode=True))))
    assert list(faults(site)) == []
