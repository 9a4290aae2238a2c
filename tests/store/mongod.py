"""A MongoDB server for the tests: SecantusDB, in a process of its own that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PATIENCE = 20.0  # seconds for a process that was killed to be gone

# It ends with whoever started it, because then its standard input does.
PROGRAM = """
import sys
from secantus import SecantusDBServer
_, port, home, sweep = sys.argv
server = SecantusDBServer(
    port=int(port), storage_path=home, sync_on_commit=True, ttl_sweep_seconds=float(sweep)
)
server.start()
print("ready", flush=True)
sys.stdin.read()
"""


class Mongod:
    """One server on a port that stays its own, whatever is done to the process."""

    def __init__(self, home: Path, *, sweep: float) -> None:
        self._port = _free_port()
        self._arguments = [str(self._port), str(home / "data"), str(sweep)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it accepts connections."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """As with kill -9, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It holds its connections, and answers nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


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
