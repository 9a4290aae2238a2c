"""200 people at once, over connections that they share, as behind a proxy: each is answered in the
own name."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from authkit_asgi import AuthKit
from authkit_asgi.core.tokens import _decode
from authkit_asgi.events import Visitor
from tests.servers.serving import serving
from tests.world import BASE_URL, settings

pytestmark = pytest.mark.servers

PEOPLE = 200
REQUESTS = 100_000
CONNECTIONS = 48
IN_ONE_GO = 25
REFRESHING = 0.02  # of the requests: their access token is gone, and they come back with a new one
SAID = re.compile(rb"(.*?)<(\w+) (\w+) (\d+)>", re.DOTALL)
GIVEN = re.compile(rb"(?i)set-cookie: token=[\w-]+\.([\w-]+)\.")
VISITOR = Visitor(ip="192.0.2.1", user_agent="crowd")


async def people(database: Path, **secret: tuple[str, ...]) -> dict[bytes, str]:
    """The id of each, by the Cookie header."""
    kit = AuthKit(settings(database_url=f"sqlite:///{database}", **secret))
    await kit.start()
    found = {}
    for number in range(PEOPLE):
        user = await kit.services.accounts.create(
            firstname="Ada",
            lastname="Lovelace",
            username=f"ada{number}",
            email=f"ada{number}@example.test",
            password_hash=None,
            now=time.time(),
            is_verified=True,
        )
        _, pair = await kit.services.sessions.open(
            user, methods=("pwd",), remember=False, visitor=VISITOR, now=time.time()
        )
        found[f"token={pair.access}; refreshToken={pair.refresh}".encode()] = user.id
    await kit.close()
    return found


@dataclass
class Crowd:
    port: int
    cookies: dict[bytes, str]
    dice: random.Random
    answered: Counter[str] = field(default_factory=Counter)  # by id
    workers: set[bytes] = field(default_factory=set)
    refreshed: int = 0
    mixed_up: list[tuple[str, ...]] = field(default_factory=list)
    raised: int = 0
    broken_off: int = 0

    def request(self, path: str, cookie: bytes) -> bytes:
        start = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: ".encode()
        return start + cookie + b"\r\n\r\n"

    async def connect(self) -> None:
        """One connection after the other, each until a handler raises or the client leaves."""
        while self.answered.total() < REQUESTS:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            with suppress(ConnectionError):
                for _ in range(self.dice.randint(2, 10)):
                    await self.ask(reader, writer)
                cookie = self.dice.choice([*self.cookies])
                if self.dice.random() < 0.5:
                    writer.write(self.request("/raise", cookie))
                    assert (await reader.read(4096)).startswith(b"HTTP/1.1 500")
                    self.raised += 1
                else:
                    writer.write(self.request("/slow", cookie) * 2)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    self.broken_off += 1
            writer.transport.abort()

    def sent(self, cookie: bytes) -> bytes:
        return cookie.split(b"; ")[1] if self.dice.random() < REFRESHING else cookie

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Many people's requests in one go. The answers come in the same order."""
        asked = self.dice.sample([*self.cookies], IN_ONE_GO)
        writer.write(b"".join(self.request("/", self.sent(cookie)) for cookie in asked))
        received, answers = b"", list[tuple[bytes, bytes, bytes, bytes]]()
        while len(answers) < len(asked):
            chunk = await reader.read(65536)
            if not chunk:
                raise ConnectionResetError
            received += chunk
            answers = SAID.findall(received)
        assert len(answers) == len(asked)
        for cookie, (head, before, after, worker) in zip(asked, answers, strict=True):
            who = self.cookies[cookie]
            names = [before.decode(), after.decode()]
            if (new := GIVEN.search(head)) is not None:
                self.refreshed += 1
                names.append(json.loads(_decode(new[1]))["sub"])
            if {*names} != {who}:
                self.mixed_up.append((who, *names))
            self.answered[who] += 1
            self.workers.add(worker)


def test_a_hundred_thousand_interleaved_requests_are_not_mixed_up(tmp_path: Path) -> None:
    """SECURITY I-04: over 4 workers, with clients that leave, handlers that raise, and tokens that
    are exchanged on the way: nobody gets another's."""
    database = tmp_path / "authkit.db"
    one, other = secrets.token_urlsafe(40), secrets.token_urlsafe(40)
    known = {
        "AUTHKIT_BASE_URL": BASE_URL,
        "AUTHKIT_TOKEN_SECRET": one,
        "AUTHKIT_REFRESH_TOKEN_SECRET": other,
        "AUTHKIT_REFRESH_GRACE": "300",  # nobody here takes the new tokens
    }
    cookies = asyncio.run(people(database, token_secret=(one,), refresh_token_secret=(other,)))
    with serving(database, workers=4, app="tests.matrix.crowd:app", **known) as server:
        crowd = Crowd(server.port, cookies, random.Random(7))

        async def come() -> None:
            async with asyncio.timeout(240), asyncio.TaskGroup() as tasks:
                for _ in range(CONNECTIONS):
                    tasks.create_task(crowd.connect())

        began = time.monotonic()
        asyncio.run(come())
        took = time.monotonic() - began
    print(
        f"{crowd.answered.total()} answers in {took:.0f} s, {crowd.refreshed} with new tokens, "
        f"{crowd.raised} handlers raised, "
        f"{crowd.broken_off} clients left, {len(crowd.mixed_up)} mixed up"
    )
    assert crowd.mixed_up == []
    assert crowd.answered.total() >= REQUESTS
    assert len(crowd.answered) == PEOPLE
    assert len(crowd.workers) == 4
    assert crowd.refreshed > REQUESTS * REFRESHING / 2
    assert crowd.raised > 100
    assert crowd.broken_off > 100
