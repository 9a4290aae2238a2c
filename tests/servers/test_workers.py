"""Several worker processes on one SQLite file: one rotation, no false sign-out, one bound."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.servers.serving import ROOT, Server, serving

pytestmark = pytest.mark.servers

PASSWORD = "correct horse battery"
LIFETIME = 2  # seconds that an access token lives here, so that a test can see one run out
TOGETHER = 50


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def cookies(self) -> dict[str, str]:
        pairs = [value.split(";")[0] for name, value in self.headers if name == "set-cookie"]
        return dict(pair.partition("=")[::2] for pair in pairs)

    def json(self) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(self.body)
        return loaded


def request(
    port: int,
    target: str,
    cookies: dict[str, str],
    *,
    body: object = None,
    gate: threading.Barrier | None = None,
) -> Answer:
    """One request over a socket of its own; with a gate, all are written at the same moment."""
    sent = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.1",
        f"Host: localhost:{port}",
        "Connection: close",
        "Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()),
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
    raw = "\r\n".join((*lines, "", "")).encode() + sent
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        if gate is not None:
            gate.wait(20)
        connection.sendall(raw)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value) for name, _, value in (f.partition(": ") for f in fields)]
    return Answer(int(status.split()[1]), headers, rest)


def together(port: int, target: str, cookies: dict[str, str], times: int) -> list[Answer]:
    gate = threading.Barrier(times)
    with ThreadPoolExecutor(times) as pool:
        asked = [
            pool.submit(request, port, target, cookies, gate=gate, body=body_of(target))
            for _ in range(times)
        ]
        return [one.result() for one in asked]


def body_of(target: str) -> object:
    return {} if target.endswith("/token") else None


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers") / "authkit.db"


@pytest.fixture(scope="module")
def server(database: Path) -> Iterator[Server]:
    lifetime = {"AUTHKIT_ACCESS_TOKEN_LIFETIME": str(LIFETIME)}
    with serving(database, workers=2, app="tests.servers.app:app", **lifetime) as running:
        make_user(running)
        yield running


def make_user(server: Server) -> None:
    command = [sys.executable, "-m", "authkit_asgi", "create-user", "--verified"]
    command += ["--email", "ada@example.test", "--username", "ada", "--password-stdin"]
    command += ["--firstname", "Ada", "--lastname", "Lovelace"]
    subprocess.run(
        command, input=PASSWORD.encode(), cwd=ROOT, env=dict(server.environment), check=True
    )


def sign_in(server: Server) -> dict[str, str]:
    body = {"email": "ada@example.test", "password": PASSWORD}
    answer = request(server.port, "/api/users/login", {}, body=body)
    assert answer.status == 200, answer.body
    return answer.cookies()


def row_of(database: Path, cookies: dict[str, str]) -> dict[str, object]:
    """The newest session's row, read behind the server's back."""
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT * FROM sessions ORDER BY created_at DESC LIMIT 1"
        return dict(connection.execute(query).fetchone())


def workers_seen(answers: list[Answer]) -> set[object]:
    return {answer.json().get("worker") for answer in answers}


def test_two_workers_share_the_requests(server: Server) -> None:
    cookies = sign_in(server)
    answers = together(server.port, "/members", cookies, TOGETHER)
    assert {answer.status for answer in answers} == {200}
    assert len(workers_seen(answers)) == 2


@pytest.mark.parametrize("round_", range(3))
def test_fifty_requests_with_one_expired_token_make_one_rotation(
    server: Server, database: Path, round_: int
) -> None:
    """SECURITY S-02: exactly one rotation, 50 signed-in answers, 0 sign-outs."""
    cookies = sign_in(server)
    time.sleep(LIFETIME + 0.5)

    answers = together(server.port, "/members", cookies, TOGETHER)

    assert [answer.status for answer in answers] == [200] * TOGETHER
    assert len(workers_seen(answers)) == 2
    assert row_of(database, cookies)["generation"] == 1
    fresh = [answer.cookies() for answer in answers]
    assert all(one.keys() == {"token", "refreshToken"} for one in fresh)
    # Any of them will do, whichever answer a browser happens to keep.
    for one in (fresh[0], fresh[-1]):
        assert request(server.port, "/members", one).status == 200


def test_fifty_requests_to_the_token_route_make_one_rotation(
    server: Server, database: Path
) -> None:
    """SECURITY S-02, by the explicit refresh."""
    cookies = sign_in(server)
    answers = together(server.port, "/api/users/token", cookies, TOGETHER)
    assert [answer.status for answer in answers] == [200] * TOGETHER
    assert row_of(database, cookies)["generation"] == 1


def test_a_token_two_generations_old_closes_the_session_on_both_workers(
    server: Server, database: Path
) -> None:
    """SECURITY S-04, S-06, S-10."""
    stolen = sign_in(server)
    first = request(server.port, "/api/users/token", stolen, body={}).cookies()
    second = request(server.port, "/api/users/token", first, body={}).cookies()
    assert request(server.port, "/members", second).status == 200

    replayed = request(server.port, "/api/users/token", stolen, body={})

    assert replayed.status == 401
    assert replayed.cookies() == {"token": "", "refreshToken": ""}
    assert row_of(database, stolen)["close_reason"] == "reused"
    time.sleep(1.2)  # the bound: one poll interval
    answers = together(server.port, "/members", second, 20)
    assert {answer.status for answer in answers} == {401}


def test_a_logout_counts_on_both_workers_within_the_bound(server: Server) -> None:
    """SECURITY S-10."""
    cookies = sign_in(server)
    together(server.port, "/members", cookies, 10)  # both workers remember the token
    assert request(server.port, "/api/users/logout", cookies, body={}).status == 200
    time.sleep(1.2)
    answers = together(server.port, "/members", cookies, 20)
    assert {answer.status for answer in answers} == {401}


def a_socket(server: Server, cookies: dict[str, str]) -> AbstractContextManager[ClientConnection]:
    pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
    url = f"ws://localhost:{server.port}/echo"
    headers = {"Cookie": pairs}
    return connect(url, additional_headers=headers, origin=Origin(server.url), proxy=None)


def test_live_sockets_close_with_their_session_on_both_workers(server: Server) -> None:
    """DESIGN 7: within the bound and a second, and a rotation closes none."""
    cookies = sign_in(server)
    with ExitStack() as stack:
        sockets = [stack.enter_context(a_socket(server, cookies)) for _ in range(6)]
        time.sleep(LIFETIME + 0.5)
        cookies = request(server.port, "/api/users/token", cookies, body={}).cookies()
        for number, one in enumerate(sockets):
            one.send(f"still here {number}")
            assert one.recv(5) == f"ada: still here {number}"
        assert request(server.port, "/api/users/logout", cookies, body={}).status == 200
        began = time.monotonic()
        for one in sockets:
            with pytest.raises(ConnectionClosed) as over:
                one.recv(5)
            assert over.value.rcvd is not None
            assert over.value.rcvd.code == 4401
        assert time.monotonic() - began < 2.5
