"""How each ASGI server is started on a port of its own: one table, for every test that asks whether
something holds on all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers.serving import ROOT, Server, environment, free_port, wait_for

Command = Callable[[str, int], list[str]]

HOST = "127.0.0.1"
UVICORN = ["uvicorn", "{app}", "--host", HOST, "--port", "{port}", "--log-level", "warning"]
UVICORN += ["--no-access-log", "--timeout-graceful-shutdown", "1"]
HYPERCORN = ["hypercorn", "{app}", "--bind", f"{HOST}:{{port}}", "--graceful-timeout", "1"]
HYPERCORN += ["--worker-class"]


def module(*words: str) -> Command:
    """The command that runs a server as a module of this Python, with `app` and `port` put in."""

    def command(app: str, port: int) -> list[str]:
        return [sys.executable, "-m", *(word.format(app=app, port=port) for word in words)]

    return command


# A WebSocket library beside each HTTP parser of uvicorn, so that both of each are seen.
SERVERS: Mapping[str, Command] = {
    "uvicorn-h11": module(*UVICORN, "--http", "h11", "--ws", "wsproto"),
    "uvicorn-httptools": module(*UVICORN, "--http", "httptools", "--ws", "websockets-sansio"),
    "hypercorn-asyncio": module(*HYPERCORN, "asyncio"),
    "hypercorn-trio": module(*HYPERCORN, "trio"),
    "granian": module(
        *("granian", "--interface", "asgi", "--host", HOST, "--port", "{port}"),
        *("--log-level", "warning", "--workers-kill-timeout", "1", "{app}"),
    ),
    "daphne": module("daphne", "--bind", HOST, "--port", "{port}", "--verbosity", "0", "{app}"),
}

# What runs on trio needs a store that does: the one in memory.
ON_TRIO = frozenset({"hypercorn-trio"})


@dataclass(frozen=True, slots=True)
class Launched(Server):
    log: Path

    def said(self) -> str:
        """All that the server has written so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def launched(
    server: str, app: str, *, database_url: str = "memory:", **settings: str
) -> Iterator[Launched]:
    """A server of the table with one worker, ended with all its processes when the block is left.

    What it wrote is shown when the block fails.
    """
    port = free_port()
    variables = environment(port, Path("unused"), AUTHKIT_DATABASE_URL=database_url, **settings)
    with tempfile.NamedTemporaryFile(prefix=f"authkit-{server}-") as log:
        process = subprocess.Popen(
            SERVERS[server](app, port),
            cwd=ROOT,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,  # some keep their worker in a process of its own
        )
        running = Launched(port, process, variables, Path(log.name))
        try:
            wait_for(port, process)
            yield running
        except BaseException:
            sys.stderr.write(running.said())
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    finally:
        with suppress(ProcessLookupError):  # whatever is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
