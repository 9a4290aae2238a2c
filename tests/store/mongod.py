"""A MongoDB server for the tests: SecantusDB, in a process of its own that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PATIENCE = 20.0  # seconds for a server to come up on a busy machine

CONFIG = """
[server]
host = "127.0.0.1"
port = {port}
storage_path = "{home}/data"
log_level = "ERROR"
[storage]
cache_size = "64M"
sync_on_commit = true
ttl_sweep_seconds = {sweep}
"""


class Mongod:
    """One server on a port that stays its own, whatever is done to the process."""

    def __init__(self, home: Path, *, sweep: float) -> None:
        self._port = _free_port()
        self._config = home / "secantusd.toml"
        self._config.write_text(CONFIG.format(port=self._port, home=home, sweep=sweep))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it accepts connections."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "secantus", "--config", str(self._config)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._accepts():
            assert self._process.poll() is None, "the server ended by itself"
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.02)

    def kill(self) -> None:
        """As with kill -9, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It holds its connections, and answers nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _accepts(self) -> bool:
        with socket.socket() as knocking:
            return knocking.connect_ex(("127.0.0.1", self._port)) == 0


@contextmanager
def running(home: Path, *, sweep: float = 0) -> Iterator[Mongod]:
    """`sweep`: seconds between two rounds of the TTL indexes; 0 is never."""
    if find_spec("secantus") is None:
        _do_without("no MongoDB server: secantusdb, of the group `test`, is not installed")
    server = Mongod(home, sweep=sweep)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _do_without(reason: str) -> None:
    """On a developer's machine a service may be missing; where the tests decide it may not."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        port: int = asking.getsockname()[1]
        return port
