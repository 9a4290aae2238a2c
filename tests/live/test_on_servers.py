"""Live connections on every server: real processes, a WebSocket client, and raw sockets."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.servers.launching import ON_TRIO, SERVERS, Launched, launched
from tests.world import PASSWORD, registration

pytestmark = pytest.mark.servers

ORIGIN = "http://localhost:8000"  # of all servers: they are the workers of one site
POLL = 0.5
BOUND = POLL + 1  # seconds: the revocation bound and one more
Cookies = dict[str, str]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Launched]]:
    """One of each, on one database where they can share one."""
    database = tmp_path_factory.mktemp("live") / "authkit.db"
    common = {
        "AUTHKIT_BASE_URL": ORIGIN,
        "AUTHKIT_TOKEN_SECRET": secrets.token_urlsafe(40),
        "AUTHKIT_REFRESH_TOKEN_SECRET": secrets.token_urlsafe(40),
        "AUTHKIT_REQUIRE_VERIFIED_EMAIL": "false",
        "AUTHKIT_REVOCATION_POLL": str(POLL),
    }
    with ExitStack() as stack:

        def start(name: str) -> Launched:
            url = "memory:" if name in ON_TRIO else f"sqlite:///{database}"
            one = launched(name, "tests.live.app:app", database_url=url, **common)
            return stack.enter_context(one)

        with ThreadPoolExecutor(3) as pool:
            running = dict(zip(SERVERS, pool.map(start, SERVERS), strict=True))
        for name in ("granian", *ON_TRIO):
            answer = call(running[name], "POST", "/api/users/register", body=registration())
            assert answer.status == 201, answer.body
        yield running


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, servers: Mapping[str, Launched]) -> Launched:
    return servers[request.param]


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, server: Launched, servers: Mapping[str, Launched]
) -> Launched:
    """Another worker of the same site; none shares the memory of the one on trio."""
    names = [name for name in SERVERS if name not in ON_TRIO]
    here = next(name for name, one in servers.items() if one is server)
    return server if here in ON_TRIO else servers[names[names.index(here) - 1]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    cookies: Cookies
    body: Any


def call(
    server: Launched, method: str, path: str, cookies: Cookies | None = None, body: object = None
) -> Answer:
    headers = {"Host": "localhost:8000", "Origin": ORIGIN, "Content-Type": "application/json"}
    headers["Cookie"] = written(cookies or {})
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, json.dumps(body or {}), headers)
        answer = connection.getresponse()
        set_cookies = answer.headers.get_all("set-cookie") or []
        pairs = [one.split(";")[0].partition("=") for one in set_cookies]
        taken = {name: value for name, _, value in pairs}
        return Answer(answer.status, taken, json.loads(answer.read()))
    finally:
        connection.close()


def sign_in(server: Launched) -> Cookies:
    body = {"email": "ada@example.test", "password": PASSWORD}
    answer = call(server, "POST", "/api/users/login", body=body)
    assert answer.status == 200, answer.body
    return answer.cookies


def written(cookies: Cookies) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def state(server: Launched) -> dict[str, Any]:
    found: dict[str, Any] = call(server, "GET", "/state").body
    return found


def a_socket(server: Launched, path: str, cookies: Cookies) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}{path}",
        additional_headers={"Cookie": written(cookies)},
        origin=Origin(ORIGIN),
        proxy=None,
    )


class Raw:
    """A connection to the byte."""

    def __init__(self, server: Launched, path: str, headers: Mapping[str, str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self.received = b""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost:8000"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join((*lines, "", "")).encode("latin-1"))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_until(self, end: bytes, seconds: float = 10) -> bool:
        """Whether `end` came; what came stays in `received`."""
        until = time.monotonic() + seconds
        while end not in self.received and (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                return False
            if not data:
                return end in self.received
            self.received += data
        return end in self.received

    def close(self) -> None:
        self._socket.close()

    def break_(self) -> None:
        """Gone without a word: a reset instead of an end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def a_stream(server: Launched, path: str, cookies: Cookies) -> Raw:
    return Raw(server, path, {"Cookie": written(cookies)})


def a_handshake(server: Launched, path: str, headers: Mapping[str, str]) -> Raw:
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    return Raw(server, path, {**upgrade, "Sec-WebSocket-Key": key, **headers})


def frame(text: str) -> bytes:
    """A masked text frame (RFC 6455 section 5.2); a mask of zeros leaves it readable."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text.encode()


CLOSE_4401 = bytes((0x11, 0x31))  # 4401 in network byte order


def test_whatever_is_open_ends_with_its_session_and_not_before(
    server: Launched, elsewhere: Launched
) -> None:
    """SECURITY S-10: within the bound and a second, although another worker ended it; and the app's
    part ends, too. A rotation disturbs nothing."""
    cookies = sign_in(server)
    with ExitStack() as stack:
        echo = stack.enter_context(a_socket(server, "/echo", cookies))
        talk = stack.enter_context(a_socket(server, "/talk", cookies))
        quiet, lines, poll = (
            stack.enter_context(a_stream(server, path, cookies))
            for path in ("/quiet", "/lines", "/poll")
        )
        assert quiet.read_until(b"data: hello")
        assert lines.read_until(b"tick")
        cookies = call(elsewhere, "POST", "/api/users/token", cookies).cookies
        time.sleep(2 * POLL)
        lines.received = b""
        assert lines.read_until(b"tick")
        assert not quiet.read_until(b"0\r\n\r\n", 0.1)
        echo.send("still here")
        assert echo.recv(5) == "still here"
        assert talk.recv(5) == "tick"
        assert state(server)["live"] == 5

        assert call(elsewhere, "POST", "/api/users/logout", cookies).status == 200
        began = time.monotonic()
        took = {}
        for name, stream in (("quiet", quiet), ("lines", lines)):
            assert stream.read_until(b"\r\n0\r\n\r\n")
            took[name] = time.monotonic() - began
        assert poll.read_until(b'{"ended":true}')
        took["poll"] = time.monotonic() - began
        for name, one in (("echo", echo), ("talk", talk)):
            assert close_code(one) == 4401
            took[name] = time.monotonic() - began
        print({name: round(seconds, 2) for name, seconds in took.items()})
        assert max(took.values()) < BOUND
        left = once(server, is_quiet)
        assert (left["live"], left["running"]) == (0, 0)


def close_code(one: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            one.recv(5)
    return one.close_code


def test_a_session_that_runs_out_ends_what_is_open() -> None:
    """Nobody closes it, and nobody asks anything meanwhile."""
    lifetimes = {"AUTHKIT_ACCESS_TOKEN_LIFETIME": "1", "AUTHKIT_REFRESH_TOKEN_LIFETIME": "3"}
    more = {**lifetimes, "AUTHKIT_BASE_URL": ORIGIN, "AUTHKIT_REQUIRE_VERIFIED_EMAIL": "false"}
    more["AUTHKIT_REVOCATION_POLL"] = str(POLL)
    with launched("uvicorn-httptools", "tests.live.app:app", **more) as server:
        call(server, "POST", "/api/users/register", body=registration())
        cookies = sign_in(server)
        began = time.monotonic()
        with a_socket(server, "/echo", cookies) as echo, a_stream(server, "/quiet", cookies) as one:
            assert one.read_until(b"data: hello")
            assert one.read_until(b"\r\n0\r\n\r\n")
            assert close_code(echo) == 4401
        # Tokens name whole seconds.
        assert 2 < time.monotonic() - began < 3 + BOUND


def once(
    server: Launched, wanted: Callable[[dict[str, Any]], bool], every: float = 0.1
) -> dict[str, Any]:
    """The state, once it is as wanted, or after ten seconds."""
    until = time.monotonic() + 10
    while not wanted(found := state(server)) and time.monotonic() < until:
        time.sleep(every)
    return found


def is_quiet(found: dict[str, Any]) -> bool:
    return not found["live"] and not found["running"]


def test_whoever_goes_on_talking_after_the_close_is_not_heard(server: Launched) -> None:
    """A thief's socket: Hypercorn hands out what comes after its own close."""
    cookies = sign_in(server)
    word = secrets.token_hex(8)
    with a_handshake(server, "/echo", {"Cookie": written(cookies), "Origin": ORIGIN}) as raw:
        assert raw.read_until(b"\r\n\r\n")
        raw.send(frame(f"{word} before"))
        assert raw.read_until(f"{word} before".encode())
        assert call(server, "POST", "/api/users/logout", cookies).status == 200
        assert raw.read_until(CLOSE_4401)
        with suppress(OSError):  # the server may hang up
            for _ in range(10):
                raw.send(frame(f"{word} after"))
                time.sleep(0.05)
        found = once(server, is_quiet)
    assert f"{word} before" in found["heard"]
    assert f"{word} after" not in found["heard"]
    assert (found["live"], found["running"]) == (0, 0)


def test_hundreds_that_break_leave_nothing_behind(server: Launched) -> None:
    """SECURITY D-04: sockets and streams, closed and broken off."""
    before = state(server)
    cookies = sign_in(server)
    own = {"Cookie": written(cookies), "Origin": ORIGIN}
    for _ in range(2):
        sockets = [a_handshake(server, "/echo", own) for _ in range(40)]
        streams = [a_stream(server, "/lines", cookies) for _ in range(40)]
        assert all(one.read_until(b"\r\n\r\n") for one in (*sockets, *streams))
        assert all(one.received.startswith(b"HTTP/1.1 101") for one in sockets)
        assert all(one.read_until(b"tick") for one in streams)
        assert state(server)["live"] == 80
        for one in (*sockets[::2], *streams[::2]):
            one.break_()
        for one in (*sockets[1::2], *streams[1::2]):
            one.close()
    # Hypercorn keeps the tasks of each of our looks for some seconds.
    most = before["tasks"] + 20
    left = once(server, lambda found: is_quiet(found) and found["tasks"] <= most, every=1)
    assert (left["live"], left["running"]) == (0, 0)
    assert left["tasks"] <= most


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no Origin"),
        pytest.param({"Origin": "https://evil.example"}, id="another site"),
        pytest.param({"Origin": "http://localhost:8000.evil.example"}, id="looks like ours"),
        pytest.param({"Origin": "http://LOCALHOST:8000"}, id="another spelling"),
        pytest.param({"Origin": "https://localhost:8000"}, id="another scheme"),
        pytest.param({"Origin": "http://localhost:8001"}, id="another port"),
        pytest.param({"Origin": "null"}, id="a sandboxed frame"),
        pytest.param({"Origin": "http://evil.example", "origin": ORIGIN}, id="twice"),
        pytest.param(
            {"Origin": "https://evil.example", "Sec-WebSocket-Origin": ORIGIN}, id="old header"
        ),
        pytest.param(
            {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}, id="forwarded"
        ),
    ],
)
def test_a_foreign_page_opens_no_socket(server: Launched, headers: Mapping[str, str]) -> None:
    """SECURITY P-14, on the wire: the browser sends our cookies along."""
    sent = {"Cookie": written(signed_in_at(server)), **headers}
    with a_handshake(server, "/echo", sent) as raw:
        raw.read_until(b"\r\n")
        assert raw.received.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400")), raw.received
    assert state(server)["running"] == 0


ALREADY: dict[int, Cookies] = {}


def signed_in_at(server: Launched) -> Cookies:
    if server.port not in ALREADY:
        ALREADY[server.port] = sign_in(server)
    return ALREADY[server.port]


def test_nobody_opens_no_socket(server: Launched) -> None:
    """SECURITY P-13."""
    with a_handshake(server, "/echo", {"Origin": ORIGIN, "Cookie": "token=junk"}) as raw:
        raw.read_until(b"\r\n")
        # Daphne knows no answer but 403.
        assert raw.received.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403")), raw.received


def test_a_refresh_token_opens_a_socket_and_is_not_exchanged(server: Launched) -> None:
    """SECURITY S-23."""
    cookies = sign_in(server)
    only = {"Cookie": f"refreshToken={cookies['refreshToken']}", "Origin": ORIGIN}
    with a_handshake(server, "/echo", only) as raw:
        assert raw.read_until(b"\r\n\r\n")
        assert raw.received.startswith(b"HTTP/1.1 101")
        assert b"set-cookie" not in raw.received.lower()
        raw.send(frame("hello"))
        assert raw.read_until(b"hello")
    assert call(server, "GET", "/session", cookies).body == {"generation": 0}
