"""What a guarded request costs, in process: ratios first, because machines differ and hurry at
times.

    .venv/bin/python benchmarks/guard.py [--rounds 40] [--json]

Contenders take turns of a few milliseconds in random order; ratios are taken within a round and
given as the median and the quartiles over all rounds. Every request brings fresh bytes: shared
objects would flatter caches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import secrets
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

sys.path.insert(0, str(Path(__file__).parents[1]))

from authkit_asgi import AuthKit, AuthMiddleware, PathRules, Settings
from authkit_asgi.core.tokens import ACCESS, Claims

App = Callable[[Any, Any, Any], Awaitable[None]]
TURN = 400  # requests
KEY = secrets.token_bytes(32)
BROWSER = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"http://localhost:8000/members"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-site", b"same-origin"),
    (b"upgrade-insecure-requests", b"1"),
    (b"connection", b"keep-alive"),
    (b"dnt", b"1"),
]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class NoOp:
    """A middleware that does nothing: what any wrapper costs."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        token = conn.cookies.get("token")
        if token is None:
            return None
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            return None
        return AuthCredentials(["authenticated"]), SimpleUser(claims["sub"])


class Naive(BaseHTTPMiddleware):
    """A straight port of the usual tutorial."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            claims = jwt.decode(request.cookies.get("token", ""), KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            return JSONResponse({"error": "not signed in"}, 401)
        request.state.user = claims["sub"]
        return await call_next(request)


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    app: App
    cookie: Callable[[int], bytes]  # the token of the n-th user


def contenders() -> list[Contender]:
    kit = AuthKit(
        Settings(
            base_url="http://localhost:8000",
            token_secret=(secrets.token_urlsafe(40),),
            refresh_token_secret=(secrets.token_urlsafe(40),),
            database_url="memory:",
        )
    )
    now = int(time.time())

    def ours(number: int) -> bytes:
        claims = Claims(
            subject=f"user{number}",
            session_id=f"session{number}",
            generation=0,
            epoch=0,
            issued_at=now,
            expires_at=now + 3600,
            profile={"username": "ada", "email": "ada@example.test", "isVerified": True},
        )
        return kit.guard.tokens.mint(ACCESS, claims).encode()

    def theirs(number: int) -> bytes:
        claims = {"sub": f"user{number}", "username": "ada", "iat": now, "exp": now + 3600}
        return jwt.encode(claims, KEY, algorithm="HS256").encode()

    rules = PathRules(public=["/open"])
    return [
        Contender("no-op wrapper", NoOp(bare), ours),
        Contender("authkit-asgi", AuthMiddleware(bare, kit=kit, rules=rules), ours),
        Contender(
            "AuthenticationMiddleware + PyJWT",
            AuthenticationMiddleware(bare, backend=Backend()),
            theirs,
        ),
        Contender("BaseHTTPMiddleware + PyJWT", Naive(bare), theirs),
    ]


def scope_with(cookie: bytes | None, path: str = "/members") -> dict[str, Any]:
    headers = [(name, value) for name, value in BROWSER]
    if cookie is not None:
        line = b"theme=dark; lang=en; _ga=GA1.1.%d; token=" % random.getrandbits(30)
        headers.append((b"cookie", line + cookie))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


def same(scope: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same request again and again, each time as the server would make it: of fresh bytes."""
    while True:
        headers = [(name, bytes(bytearray(value))) for name, value in scope["headers"]]
        yield {**scope, "headers": headers}


def traffic(kind: str, contender: Contender) -> Iterator[dict[str, Any]]:
    match kind:
        case "valid, seen before":
            yield from same(scope_with(contender.cookie(0)))
        case "valid, never seen":
            number = 1
            while True:
                number += 1
                yield scope_with(contender.cookie(number))
        case "forged signature":
            head = contender.cookie(0).rpartition(b".")[0]
            while True:
                yield scope_with(head + b"." + secrets.token_urlsafe(32).encode())
        case "junk":
            while True:
                yield scope_with(secrets.token_urlsafe(120).encode())
        case "no cookie":
            yield from same(scope_with(None))
        case "public path, no cookie":
            yield from same(scope_with(None, "/open"))


KINDS = (
    "valid, seen before",
    "valid, never seen",
    "forged signature",
    "junk",
    "no cookie",
    "public path, no cookie",
)


async def turn(app: App, requests: list[dict[str, Any]]) -> float:
    """Microseconds a request."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    began = time.perf_counter()
    for scope in requests:
        await app(scope, receive, send)
    return (time.perf_counter() - began) / len(requests) * 1e6


async def measure(kind: str, rounds: int) -> list[dict[str, Any]]:
    rivals = contenders()
    sources = {rival.name: traffic(kind, rival) for rival in rivals}
    times: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for number in range(rounds + 2):
        for rival in random.sample(rivals, len(rivals)):
            requests = [next(sources[rival.name]) for _ in range(TURN)]
            took = await turn(rival.app, requests)
            if number >= 2:  # the first rounds warm up
                times[rival.name].append(took)
    floor = times[rivals[0].name]
    return [
        {
            "traffic": kind,
            "contender": rival.name,
            "microseconds": round(statistics.median(times[rival.name]), 2),
            "ratio": [round(one, 2) for one in quartiles(times[rival.name], floor)],
        }
        for rival in rivals
    ]


def quartiles(times: list[float], floor: list[float]) -> list[float]:
    ratios = [one / other for one, other in zip(times, floor, strict=True)]
    return statistics.quantiles(ratios, n=4)


async def run(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for kind in KINDS:
        print(f"… {kind}", file=sys.stderr)
        rows += await measure(kind, rounds)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}. Ratios to the no-op wrapper.")
    print(f"{'traffic':24} {'contender':34} {'ratio':>8} {'(quartiles)':>16} {'µs':>8}")
    for row in rows:
        low, middle, high = row["ratio"]
        spread = f"({low:g}–{high:g})"
        print(
            f"{row['traffic']:24} {row['contender']:34} {middle:8g} {spread:>16} "
            f"{row['microseconds']:8g}"
        )


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(run(options.rounds))
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
