"""One cell of the matrix: a server, a framework, and all that is asked of them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import takewhile

from tests.matrix import http2
from tests.matrix.marks import ANYBODY, LOGGED, MEMBERS, SEEN
from tests.matrix.targets import (
    HTTP2_KNOCKS,
    JUNK,
    KNOCKS,
    LURED_KNOCKS,
    SOCKET_KNOCKS,
    Knock,
)
from tests.servers.launching import SERVERS, Launched, launched
from tests.world import PASSWORD, registration

FRAMEWORKS = ("starlette", "fastapi", "litestar", "quart", "django", "bare")
CELLS = [(server, framework) for server in SERVERS for framework in FRAMEWORKS]
ORIGIN = "http://localhost:8000"
AT_ONCE = 16
PATIENCE = 5.0  # seconds that a server may leave a request without an answer
ODD = 0.5  # seconds without a word, once it has begun to answer an odd one

# What cannot be, whoever guards it, and what the server prints of it when it is tried.
NOT_POSSIBLE = {
    ("hypercorn-trio", "django"): "some other framework like asyncio",
    ("hypercorn-trio", "quart"): "no running event loop",
}
SPEAK_HTTP2 = ("hypercorn-asyncio", "hypercorn-trio", "granian")
# Granian breaks off a body that it cannot read, Django then says nothing, and Granian says 500.
SAID_FOR_THE_APP = {
    ("granian", "django"): ("a chunk of a negative size", "a chunk's extension with a line feed"),
}
WRITES_ON = ("HTTP/1.0, pipelined", "HTTP/1.0, chunked")  # behind what should be the end
SOCKETS_NOT_POSSIBLE = {
    ("daphne", "quart"): "KeyError: 'scheme'",  # Daphne tells of none, Quart asks for it
    **{(server, "django"): "" for server in SERVERS},  # has none
}

SAID = (MEMBERS.encode(), ANYBODY.encode())
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass(slots=True)
class Counted:
    """What became of the requests of one kind of visitor."""

    knocks: Sequence[Knock]
    cookies: Sequence[bytes]
    by_server: int = 0  # refused by the server itself, or left without an answer
    by_guard: int = 0
    reached: list[Knock] = field(default_factory=list)
    crashed: list[Knock] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, knock: Knock, answer: bytes) -> None:
        found = [int(status) for status in STATUS.findall(answer)]
        self.statuses.update(found)
        # A handshake that the app closes is answered by the server, with no header of ours.
        from_app = SEEN in answer.lower() or (knock.is_socket and found[:1] in ([101], [403]))
        if MEMBERS.encode() in answer:
            self.reached.append(knock)
        elif not from_app:
            self.by_server += 1
        elif found[0] in (303, 400, 401, 403):
            self.by_guard += 1
        if any(status >= 500 and status not in (501, 505) for status in found):
            self.crashed.append(knock)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`strangers` have no cookie, or junk; `members` are signed in; the `lured` are so, too, and
    look at a page of another site."""

    cell: tuple[str, str]
    strangers: Counted
    with_junk: Counted
    members: Counted
    sockets: Counted
    sockets_of_members: Counted
    http2: Counted  # handshakes, too; none of them where the server does not speak it
    http2_of_members: Counted
    lured: Counted
    log: str

    @property
    def reached_by_strangers(self) -> Sequence[str]:
        """By what the clients saw, and by what the handlers wrote."""
        seen = (self.strangers, self.with_junk, self.sockets, self.http2)
        written = [line for line in self.log.splitlines() if f"{LOGGED}: NOBODY" in line]
        return [*(knock.told for one in seen for knock in one.reached), *written]

    @property
    def holds(self) -> bool:
        return not (self.reached_by_strangers or self.lured.reached or self.crashed)

    @property
    def closed_to_members(self) -> Sequence[str]:
        """Plain protected paths that did not answer to someone who is signed in."""
        groups = [self.members, self.http2_of_members]
        if self.cell not in SOCKETS_NOT_POSSIBLE:
            groups.append(self.sockets_of_members)
        return [
            knock.told
            for one in groups
            for knock in one.knocks
            if knock.reaches and knock not in one.reached
        ]

    @property
    def crashed(self) -> Sequence[str]:
        """Answers of 500 and above, and tracebacks that end in code of ours."""
        groups = [self.strangers, self.with_junk, self.members, self.lured]
        groups += [self.http2, self.http2_of_members]
        if self.cell not in SOCKETS_NOT_POSSIBLE:
            groups += [self.sockets, self.sockets_of_members]
        expected = SAID_FOR_THE_APP.get(self.cell, ())
        told = [knock.told for one in groups for knock in one.crashed]
        answered = [one for one in told if one not in expected]
        return [*answered, *(end for end in tracebacks(self.log) if "/authkit_asgi/" in end)]


def tracebacks(log: str) -> Iterator[str]:
    """The last line of code of each."""
    for block in log.split("Traceback (most recent call last)")[1:]:
        lines = takewhile(lambda line: line[:1] in " |+", block.splitlines()[1:])
        yield [line for line in lines if "File " in line][-1]


def run(server: str, framework: str) -> Outcome:
    knocks = [one for one in KNOCKS if not ends(server, one)]
    in_http2 = [one for one in HTTP2_KNOCKS if server in SPEAK_HTTP2 and not ends(server, one)]
    has_sockets = (server, framework) not in SOCKETS_NOT_POSSIBLE
    with started(server, framework) as running:
        cookie = sign_in(running)
        groups = (
            Counted(knocks, [b""]),
            Counted(knocks, JUNK),
            Counted(knocks, [cookie]),
            Counted(SOCKET_KNOCKS, [b"", *JUNK]),
            Counted(SOCKET_KNOCKS, [cookie]),
            Counted(in_http2, [b"", *JUNK]),
            Counted([one for one in in_http2 if has_sockets or not one.is_socket], [cookie]),
            Counted(LURED_KNOCKS, [cookie]),
        )
        asyncio.run(_ask(running.port, groups))
        return Outcome((server, framework), *groups, running.said())


def ends(server: str, knock: Knock) -> bool:
    """Whether the server dies of it, with every connection, whatever app it serves: what Hypercorn
    stumbles over ends one connection under asyncio, but the whole worker under trio."""
    told = dict(knock.fields)
    path, method = told.get(b":path"), told.get(b":method", b"")
    return server == "hypercorn-trio" and (
        not method.isascii()
        or (method == b"CONNECT" if path is None else not path.isascii())
        or knock.name in WRITES_ON
    )


def run_in_vain(server: str, framework: str) -> tuple[Counted, str]:
    """What strangers reach where nothing can be reached, and what the server printed of it."""
    with started(server, framework) as running:
        strangers = Counted([knock for knock in KNOCKS if knock.reaches], [b"", *JUNK])
        asyncio.run(_ask(running.port, [strangers]))
        anybody = Counted([Knock(b"/open/page")], [b""])
        with suppress(OSError):
            asyncio.run(_ask(running.port, [anybody]))
        until = time.monotonic() + PATIENCE
        while "Traceback" not in running.said() and time.monotonic() < until:
            time.sleep(0.05)
        return strangers, running.said()


@contextmanager
def started(server: str, framework: str) -> Iterator[Launched]:
    app = f"tests.matrix.sites.{framework}:app"
    more = {"AUTHKIT_BASE_URL": ORIGIN, "AUTHKIT_REQUIRE_VERIFIED_EMAIL": "false"}
    with launched(server, app, PYTHONUNBUFFERED="1", **more) as running:
        yield running


def sign_in(server: Launched) -> bytes:
    """A new account's Cookie header."""
    _post(server, "register", registration())
    pairs = _post(server, "login", {"email": "ada@example.test", "password": PASSWORD})
    assert len(pairs) == 2
    return "; ".join(pairs).encode()


def _post(server: Launched, path: str, body: object) -> list[str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Origin": ORIGIN, "Content-Type": "application/json", "Connection": "close"}
    connection.request("POST", f"/api/users/{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status in (200, 201), answer.read()
    cookies = answer.headers.get_all("set-cookie") or []
    connection.close()
    return [cookie.split(";")[0] for cookie in cookies]


async def _ask(port: int, groups: Sequence[Counted]) -> None:
    """All of them, mixed, each with one of its group's cookies in turn."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(group: Counted, number: int, knock: Knock) -> None:
        async with limit:
            data = knock.sent(group.cookies[number % len(group.cookies)])
            is_odd = bool(knock.whole or knock.is_socket or knock.fields)
            answer = await _answer(port, data, is_odd=is_odd)
            group.add(knock, http2.as_http1(answer) if knock.fields else answer)

    async with asyncio.TaskGroup() as tasks:
        for number in range(max(len(group.knocks) for group in groups)):
            for group in groups:
                for knock in group.knocks[number : number + 1]:
                    tasks.create_task(ask(group, number, knock))


def _is_said(received: bytes) -> bool:
    """Whether all is told where the connection stays open: who does not answer waits for long."""
    if received.startswith(b"HTTP"):
        return b" 101 " in received[:16] and any(one in received for one in SAID)
    return http2.is_over(received)


async def _answer(port: int, data: bytes, *, is_odd: bool) -> bytes:
    """All that comes back, until the server hangs up or says no more.

    After an odd one the server may wait for ever: for the rest, for frames, for the next request.
    """
    received = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError, TimeoutError):
        writer.write(data)
        while not _is_said(received):
            patience = ODD if is_odd and received else PATIENCE
            async with asyncio.timeout(patience):
                chunk = await reader.read(65536)
            if not chunk:
                break
            received += chunk
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return received
