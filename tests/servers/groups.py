"""Four workers over one database, and people who ask them from raw sockets.

Each worker is a uvicorn of its own on a port of its own, with the secrets that all share: what
`--workers 4` is, but that a test can choose whom it asks. So every round of requests reaches every
worker, by design and not by the luck of who accepts a connection first.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from authkit_asgi import AuthKit, Settings
from authkit_asgi.accounts import User
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.core.rotation import Session
from authkit_asgi.events import NOBODY
from authkit_asgi.sessions import SESSIONS
from tests.servers.serving import ROOT, environment, free_port, wait_for
from tests.world import PASSWORD

WORKERS = 4
AT_ONCE = 8
HOUR = 3600.0
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--log-level", "warning", "--no-access-log"]
# Long enough that no connection of ours is closed between two rounds.
UVICORN += ["--timeout-keep-alive", "120", "--timeout-graceful-shutdown", "1"]

END = b"\r\n\r\n"  # of a head
Cookies = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as it is written on the wire."""

    method: str
    target: str
    cookies: Cookies
    body: object = None

    def raw(self) -> bytes:
        sent = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            "Host: localhost",
            "Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        ]
        if self.body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
        return "\r\n".join((*lines, "", "")).encode() + sent


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def cookies(self) -> dict[str, str]:
        pairs = [value.split(";")[0] for name, value in self.headers if name == "set-cookie"]
        return dict(pair.partition("=")[::2] for pair in pairs)

    def json(self) -> Any:
        return json.loads(self.body)


def visit(cookies: Cookies) -> Ask:
    return Ask("GET", "/members", cookies)


def refresh(cookies: Cookies) -> Ask:
    return Ask("POST", "/api/users/token", cookies, {})


def claims_in(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * 3))
    return claims


def read_head(head: bytes) -> tuple[int, list[tuple[str, str]], int]:
    """Status, headers, and the size of what follows."""
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(": ")[::2] for line in lines if line]
    headers = [(name.lower(), value) for name, value in fields]
    return int(status.split()[1]), headers, int(dict(headers).get("content-length", "0"))


async def parsed(reader: asyncio.StreamReader) -> Answer:
    status, headers, size = read_head(await reader.readuntil(END))
    return Answer(status, headers, await reader.readexactly(size))


class Line:
    """One connection to one worker, held open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def answer(self) -> Answer:
        while (end := self._received.find(END)) < 0:
            self._receive()
        status, headers, size = read_head(self._received[:end])
        length = end + len(END) + size
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[length - size : length], self._received[length:]
        return Answer(status, headers, body)

    def ask(self, ask: Ask) -> Answer:
        self.send(ask.raw())
        return self.answer()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        received = self._socket.recv(65536)
        assert received, "the worker hung up"
        self._received += received


class Crowd:
    """As many connections, the workers in turn."""

    def __init__(self, ports: Sequence[int], size: int) -> None:
        self._lines = [Line(ports[number % len(ports)]) for number in range(size)]

    def ask(self, asks: Sequence[Ask]) -> list[Answer]:
        """All of them at once: everything is written before anything is read."""
        assert len(asks) <= len(self._lines)
        pairs = list(zip(self._lines, [ask.raw() for ask in asks], strict=False))
        for line, raw in pairs:
            line.send(raw)
        return [line.answer() for line, _ in pairs]

    def ask_all(self, asks: Sequence[Ask], *, at_once: int | None = None) -> list[Answer]:
        """However many: one lot after the other."""
        size = at_once or len(self._lines)
        lots = (asks[start : start + size] for start in range(0, len(asks), size))
        return [answer for lot in lots for answer in self.ask(lot)]

    def close(self) -> None:
        for line in self._lines:
            line.close()


class Group:
    """`kit` is one of the test's own over the same rows: it makes people and sessions, and looks
    rows up behind the workers' backs. What it does it tells nobody."""

    def __init__(self, ports: Sequence[int], kit: AuthKit, portal: BlockingPortal) -> None:
        self.ports = ports
        self.kit = kit
        self._portal = portal
        self._hash = Passwords(rounds=4, min_length=8).hash(PASSWORD)
        self._lines = [Line(port) for port in ports]

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        return self._portal.call(work)

    def line(self, worker: int) -> Line:
        return self._lines[worker]

    def ask(self, worker: int, ask: Ask) -> Answer:
        return self._lines[worker].ask(ask)

    def told(self) -> Counter[str]:
        """What all workers together were told so far."""
        every = (self.ask(worker, Ask("GET", "/told", {})) for worker in range(len(self.ports)))
        return sum((Counter(answer.json()) for answer in every), Counter())

    async def person(self) -> User:
        name = f"p{secrets.token_hex(6)}"
        return await self.kit.services.accounts.create(
            firstname="Ada",
            lastname="Lovelace",
            username=name,
            email=f"{name}@example.test",
            password_hash=self._hash,
            now=time.time(),
            is_verified=True,
        )

    async def opened(self, user: User, *, hours_ago: float = 0) -> tuple[Session, dict[str, str]]:
        """A session, and the cookies of a browser that got them so long ago."""
        now = time.time() - hours_ago * HOUR
        session, pair = await self.kit.services.sessions.open(
            user, methods=("pwd",), remember=False, visitor=NOBODY, now=now
        )
        return session, {"token": pair.access, "refreshToken": pair.refresh}

    async def many(self, count: int, make: Callable[[], Awaitable[T]]) -> list[T]:
        """What `make` makes, some at a time: a database is quicker so."""
        made: list[T] = []

        async def some() -> None:
            while len(made) + AT_ONCE <= count:
                made.append(await make())

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(some)
        while len(made) < count:
            made.append(await make())
        return made

    async def row(self, session: Session) -> Session:
        row = await self.kit.store.get(SESSIONS, session.id)
        assert row is not None
        return row

    async def living(self, user: User) -> list[Session]:
        """The sessions that the rows say are alive."""
        now = await self.kit.services.accounts.require(user.id)
        return await self.kit.services.sessions.listing(now, now=time.time())

    def close(self) -> None:
        for line in self._lines:
            line.close()


@contextmanager
def group(database_url: str, *, workers: int = WORKERS, **more: str) -> Iterator[Group]:
    ports = [free_port() for _ in range(workers)]
    variables = environment(ports[0], Path("unused"), AUTHKIT_DATABASE_URL=database_url, **more)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for port in ports:
            command = [sys.executable, *UVICORN, "--port", str(port), "tests.servers.watched:app"]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=variables))
        for port, process in zip(ports, processes, strict=True):
            wait_for(port, process)
        with _own_kit(variables) as (kit, portal):
            together = Group(ports, kit, portal)
            yield together
            together.close()
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _own_kit(variables: Mapping[str, str]) -> Iterator[tuple[AuthKit, BlockingPortal]]:
    mine = {
        name.removeprefix("AUTHKIT_").lower(): value
        for name, value in variables.items()
        if name.startswith("AUTHKIT_") and name != "AUTHKIT_REDIS_URL"
    }
    with start_blocking_portal("asyncio") as portal:
        kit = portal.call(_started, Settings(**mine))
        try:
            yield kit, portal
        finally:
            portal.call(kit.close)


async def _started(settings: Settings) -> AuthKit:
    kit = AuthKit(settings)
    await kit.start()
    return kit
