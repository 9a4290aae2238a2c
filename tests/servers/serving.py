"""Real server processes on free loopback ports, started and ended by a test."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(port: int, database: Path, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    return {
        **clean,
        "AUTHKIT_BASE_URL": f"http://localhost:{port}",
        "AUTHKIT_TOKEN_SECRET": secrets.token_urlsafe(40),
        "AUTHKIT_REFRESH_TOKEN_SECRET": secrets.token_urlsafe(40),
        "AUTHKIT_DATABASE_URL": f"sqlite:///{database}",
        "AUTHKIT_BCRYPT_ROUNDS": "4",
        **settings,
    }


@contextmanager
def serving(database: Path, *, workers: int, app: str, **settings: str) -> Iterator[Server]:
    port = free_port()
    variables = environment(port, database, **settings)
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(command, cwd=ROOT, env=variables)
    try:
        wait_for(port, process)
        yield Server(port, process, variables)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(place: int | Path, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens: on a port, or on a Unix socket."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            if isinstance(place, int):
                socket.create_connection(("127.0.0.1", place), 1).close()
            else:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(place))
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")
