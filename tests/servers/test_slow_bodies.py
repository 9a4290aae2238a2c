"""Bodies that trickle in hold nobody up (SECURITY D-03)."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from authkit_asgi.web.bodies import MAX_SECONDS
from tests.servers.serving import serving
from tests.world import PASSWORD

pytestmark = pytest.mark.servers

CLIENTS = 1000
HEAD = (
    b"POST /api/users/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Sec-Fetch-Site: same-origin\r\nContent-Length: 60000\r\n\r\n{"
)


def create(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "authkit_asgi", "create-user", "--verified"]
    command += ["--password-stdin", "--email", "ada@example.test", "--username", "ada"]
    command += ["--firstname", "Ada", "--lastname", "Lovelace"]
    subprocess.run(command, env=environment, input=PASSWORD, text=True, check=True, timeout=30)


def test_a_thousand_slow_clients_stop_nobody(tmp_path: Path) -> None:
    """D-03: one worker; guarded requests keep their time, and each slow client is given up."""
    with (
        serving(tmp_path / "rows.db", workers=1, app="tests.servers.app:app") as server,
        httpx2.Client(base_url=server.url, headers={"sec-fetch-site": "same-origin"}) as ada,
    ):
        create(server.environment)
        body = {"email": "ada@example.test", "password": PASSWORD}
        assert ada.post("/api/users/login", json=body).status_code == 200
        began = time.monotonic()
        with selectors.DefaultSelector() as waiting:
            for _ in range(CLIENTS):
                slow = socket.create_connection(("127.0.0.1", server.port), 10)
                slow.sendall(HEAD)
                slow.setblocking(False)
                waiting.register(slow, selectors.EVENT_READ)
            answers, times, given_up = [], [], 0.0
            while waiting.get_map() and time.monotonic() - began < 6 * MAX_SECONDS:
                asked = time.monotonic()
                answers.append(ada.get("/members").status_code)
                times.append(time.monotonic() - asked)
                for key, _ in waiting.select(0.02):
                    assert isinstance(key.fileobj, socket.socket)
                    first = key.fileobj.recv(4096)
                    assert first.startswith(b"HTTP/1.1 400 "), first
                    given_up = time.monotonic() - began
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()
                for key in islice(waiting.get_map().values(), len(answers) % 10, None, 10):
                    assert isinstance(key.fileobj, socket.socket)
                    with suppress(OSError):  # it may just have been given up
                        key.fileobj.send(b" ")
            assert not waiting.get_map(), "some were never answered"
    assert set(answers) == {200}
    assert MAX_SECONDS - 1 < given_up < 4 * MAX_SECONDS
    times.sort()
    assert times[int(len(times) * 0.99)] < 1, times[-5:]
