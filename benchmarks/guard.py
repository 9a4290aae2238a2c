"""What a guarded request costs, in process: ratios first, because machines differ and hurry at
times.

    .venv/bin/python -m benchmarks.guard [--rounds 60] [--short] [--json] [--no-peers]

Contenders take turns of a few milliseconds in random order; ratios are taken within a round and
given as the median and the quartiles over all rounds. Every request has a Cookie header of its own
bytes, as a server makes it: a shared object would flatter caches. Peers run in an environment of
their own, made when it is missing.

A request is that of a browser: 13 headers, and a Cookie header of 656 bytes that is as long for
everybody, because whoever reads cookies reads all of them. In it are what analytics and consent
leave in an ordinary browser, and last, as the youngest, the contender's own. Only the RS256 tokens
of supertokens-python do not fit, and make theirs longer. Our visitors' browsers send a refresh
token too: that is measured besides, with 1,072 bytes for everybody. Before anything is measured,
each contender has to let a good token in and to know that a spoiled one is none.

"Expired" is not the same to all: with the refresh token each such request is exchanged by us for
new tokens, and answered; the others refuse.

How often the store is asked is counted, not timed, and without what a worker reads of ended
sessions, once in a poll interval and however many ask.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import random
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from authkit_asgi.store.urls import store_from_url
from benchmarks.environment import go_there
from benchmarks.peers import NOW, App, Contender, contenders, direct_check, ours
from benchmarks.rows import Row, as_json, as_table, at_least, at_most
from tests.world import CountingStore

TURN = 200  # requests
FULL = 20_000  # requests of as many visitors, after which what a contender remembers is full
COOKIE_BYTES = 656
BOTH_BYTES = 1072  # with a refresh token too
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
    (b"sec-fetch-user", b"?1"),
    (b"upgrade-insecure-requests", b"1"),
    (b"connection", b"keep-alive"),
    (b"dnt", b"1"),
]
API = [pair for pair in BROWSER if not pair[0].startswith(b"sec-")] + [
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-dest", b"empty"),
]
Request = dict[str, Any]


def request(
    cookie: bytes | None, path: str = "/members", kind: str = "http", headers: Any = BROWSER
) -> Request:
    sent = list(headers)
    if kind == "websocket":
        sent.append((b"origin", b"http://localhost:8000"))
    if cookie is not None:
        sent.append((b"cookie", cookie))
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        **({"method": "GET"} if kind == "http" else {"subprotocols": []}),
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": sent,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }


def fresh(one: Request) -> Iterator[Request]:
    """The same request again and again, each time as the server would make it: of fresh bytes."""
    while True:
        headers = [(name, bytes(bytearray(value))) for name, value in one["headers"]]
        yield {**one, "headers": headers}


def cookie_with(rival: Contender, token: bytes, number: int = 0, size: int = COOKIE_BYTES) -> bytes:
    """The Cookie header of the n-th user's browser, `token` last."""
    others = b"_ga=GA1.1.%d.1763800000; _gid=GA1.1.%d.1763900000; lang=en; " % (
        1_000_000_000 + number,
        2_000_000_000 + number,
    )
    own = rival.cookie + b"=" + token
    consent = b"C" * max(1, size - len(others) - len(own) - len(b"euconsent-v2=; "))
    return b"%seuconsent-v2=%s; %s" % (others, consent, own)


def spoiled(token: bytes) -> bytes:
    head, dot, _ = token.strip(b'"').rpartition(b".")
    return head + dot + secrets.token_urlsafe(32).encode()


def of_many(rival: Contender, numbers: Iterator[int]) -> Iterator[Request]:
    for number in numbers:
        yield request(cookie_with(rival, rival.token(number), number))


async def traffic(kind: str, rival: Contender) -> AsyncIterator[Request]:
    if kind == "expired":
        for number in itertools.count(1):
            yield request(cookie_with(rival, await rival.expired(number), number, BOTH_BYTES))
    for one in signed_in_or_not(kind, rival):
        yield one


def signed_in_or_not(kind: str, rival: Contender) -> Iterator[Request]:
    match kind:
        case "seen":
            yield from fresh(request(cookie_with(rival, rival.token(0))))
        case "seen, with a refresh token":
            token = rival.token(0) + rival.beside
            yield from fresh(request(cookie_with(rival, token, size=BOTH_BYTES)))
        case "first seen":
            yield from of_many(rival, itertools.count(1))
        case "forged":
            token = rival.token(0)
            for number in itertools.count():
                yield request(cookie_with(rival, spoiled(token), number), headers=API)
        case "junk":
            for number in itertools.count():
                junk = secrets.token_urlsafe(120).encode()
                yield request(cookie_with(rival, junk, number), headers=API)
        case "none":
            yield from fresh(request(None, headers=API))
        case "none, a page":
            yield from fresh(request(None))
        case "public":
            yield from fresh(request(None, "/open"))
        case "100,000 users":
            yield from of_many(rival, (random.randrange(100_000) for _ in itertools.count()))
        case "1,000,000 users":
            yield from of_many(rival, (random.randrange(1_000_000) for _ in itertools.count()))
        case "websocket":
            yield from fresh(request(cookie_with(rival, rival.token(0)), kind="websocket"))


# Who is compared at what. None: everybody.
NEAR = ("no-op wrapper", "direct check", "authkit-asgi", "AuthenticationMiddleware + PyJWT")
KINDS: dict[str, tuple[str, ...] | None] = {
    "seen": None,
    "seen, with a refresh token": NEAR,
    "first seen": (*NEAR, "BaseHTTPMiddleware + PyJWT"),
    "expired": NEAR,
    "forged": NEAR,
    "junk": NEAR,
    "none": NEAR,
    "none, a page": NEAR,
    "public": NEAR,
    "100,000 users": NEAR,
    "1,000,000 users": NEAR,
    "websocket": NEAR,
}
MANY = ("first seen", "100,000 users", "1,000,000 users")


async def turn(app: App, requests: list[Request]) -> float:
    """Microseconds of processor time a request: others on this machine cost us none of it."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    began = time.process_time()
    for scope in requests:
        await app(scope, receive, send)
    return (time.process_time() - began) / len(requests) * 1e6


async def refused(rival: Contender, cookie: bytes) -> bool:
    """Also by whoever leaves it to the app, and only says who asks."""
    scope = request(cookie)
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        seen.append(message.get("status", 0))

    await rival.app(scope, receive, send)
    told = (scope.get("user"), scope.get("auth"))
    known = all(getattr(one, "is_authenticated", True) for one in told)
    return seen[0] != 200 or not known or scope.get("session") == {}


async def check(rivals: list[Contender]) -> None:
    """Raises unless each contender that asks who it is can tell a good token from a spoiled one."""
    for rival in rivals:
        if rival.base:
            token = rival.token(0)
            good, bad = (cookie_with(rival, one) for one in (token, spoiled(token)))
            if await refused(rival, good) or not await refused(rival, bad):
                raise RuntimeError(f"{rival.name} does not know a good token from a spoiled one")


class Measured:
    """Microseconds of each contender, by round."""

    def __init__(self, times: dict[str, list[float]]) -> None:
        self.times = times

    def ratio(self, one: str, other: str) -> tuple[float, float, float]:
        pairs = zip(self.times[one], self.times[other], strict=True)
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
        return low, middle, high

    def overhead(self, rival: Contender) -> list[float]:
        pairs = zip(self.times[rival.name], self.times[rival.base], strict=True)
        return [a - b for a, b in pairs]


async def measure(kind: str, rivals: list[Contender], rounds: int) -> Measured:
    sources = {rival.name: traffic(kind, rival) for rival in rivals}
    times: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for rival in rivals:
        if rival.remembers and kind in MANY:
            for _ in range(FULL // TURN):
                await turn(rival.app, [await anext(sources[rival.name]) for _ in range(TURN)])
    for number in range(rounds + 2):
        for rival in random.sample(rivals, len(rivals)):
            requests = [await anext(sources[rival.name]) for _ in range(TURN)]
            gc.collect(0)
            took = await turn(rival.app, requests)
            if number >= 2:  # the first rounds warm up
                times[rival.name].append(took)
    return Measured(times)


OVERHEADS = {
    "Starlette SessionMiddleware": 15,
    "AuthenticationMiddleware + PyJWT": 50,
    "BaseHTTPMiddleware + PyJWT": 200,
    "fastapi-users": 300,
}
TO_NO_OP = {
    "seen": ("a token seen before", 3.0),
    "public": ("a public path", 1.3),
    "none": ("a protected path without cookie", 2.5),
    "forged": ("a forged signature", 10),
    "junk": ("junk in the cookie", 5),
    "websocket": ("a WebSocket's handshake", 3.0),
}


def promised(found: dict[str, Measured], rivals: list[Contender]) -> list[Row]:
    us, no_op, direct = "authkit-asgi", "no-op wrapper", "direct check"
    by_name = {rival.name: rival for rival in rivals}
    rows = [
        at_most(f"{what}, to the no-op wrapper", found[kind].ratio(us, no_op)[1], target)
        for kind, (what, target) in TO_NO_OP.items()
        if kind in found
    ]
    if "first seen" in found:
        peer = found["first seen"].ratio(us, "AuthenticationMiddleware + PyJWT")[1]
        checked = found["first seen"].ratio(us, direct)[1]
        rows.append(at_most("a token never seen, to AuthenticationMiddleware + PyJWT", peer, 0.2))
        rows.append(at_most("a token never seen, to a check without a map", checked, 1.6))
    for kind in ("100,000 users", "1,000,000 users"):
        if kind in found:
            evenly = found[kind].ratio(us, direct)[1]
            row = at_most(f"{kind} evenly, to a check without a map", evenly, 2.0)
            rows.append(row if kind == "1,000,000 users" else Row(row.what, row.figure))
    if "seen, with a refresh token" in found:
        both = found["seen, with a refresh token"].ratio(us, no_op)[1]
        what = f"a token seen before, with its refresh token in {BOTH_BYTES:,} bytes of cookies"
        rows.append(Row(f"{what}, to the no-op wrapper", f"{both:.3g} ×"))
    if "expired" in found:
        times = found["expired"].ratio(us, "AuthenticationMiddleware + PyJWT")[1]
        what = "an expired token, exchanged, to its refusal by AuthenticationMiddleware + PyJWT"
        rows.append(Row(what, f"{times:.3g} ×"))
    if "seen" in found:
        ours = found["seen"].overhead(by_name[us])
        for name, target in OVERHEADS.items():
            if name in by_name:
                theirs = found["seen"].overhead(by_name[name])
                times = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
                rows.append(at_least(f"overhead of {name}, to ours", times, target))
    return rows


COUNTED = {
    "forged": "a forged signature",
    "junk": "junk in the cookie",
    "1,000,000 users": "1,000,000 users evenly",
}


async def asked_of_the_store(kind: str, count: int) -> int:
    """Calls, once this worker knows which sessions ended, and no time goes by."""
    store = CountingStore(store_from_url("memory:"))
    us = ours(store, clock=lambda: NOW + 1.0)
    await turn(us.app, [request(cookie_with(us, us.token(0)))])
    store.calls.clear()
    source = traffic(kind, us)
    await turn(us.app, [await anext(source) for _ in range(count)])
    return len(store.calls)


def store_calls(kinds: dict[str, Measured], count: int) -> list[Row]:
    rows = []
    for kind, what in COUNTED.items():
        if kind in kinds:
            calls = asyncio.run(asked_of_the_store(kind, count))
            told = f"{what}: calls of the store in {count:,} requests"
            rows.append(Row(told, f"{calls}", "exactly 0", calls == 0))
    return rows


def details(found: dict[str, Measured], rivals: list[Contender]) -> list[dict[str, Any]]:
    rows = []
    for kind, measured in found.items():
        for name, times in measured.times.items():
            low, middle, high = measured.ratio(name, "no-op wrapper")
            rows.append(
                {
                    "traffic": kind,
                    "contender": name,
                    "ratio": [round(one, 2) for one in (low, middle, high)],
                    "microseconds": round(statistics.median(times), 2),
                }
            )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print("Times the no-op wrapper's whole request, (quartiles), and microseconds:")
    for row in rows:
        low, middle, high = row["ratio"]
        spread = f"({low:g}–{high:g})"
        print(
            f"  {row['traffic']:26} {row['contender']:34} {middle:8g} {spread:>17} "
            f"{row['microseconds']:9g}"
        )


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--short", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--only", choices=KINDS, help="one sort of traffic")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-peers", action="store_true", help="without peers to be installed")
    options = parser.parse_args()
    if not options.no_peers:
        go_there("benchmarks.guard")
    rivals, absent = contenders()
    rivals.append(direct_check())
    asyncio.run(check(rivals))
    rounds = options.rounds // 4 if options.short else options.rounds
    found: dict[str, Measured] = {}
    for kind, names in KINDS.items():
        if options.only in (None, kind):
            print(f"… {kind}", file=sys.stderr)
            chosen = [rival for rival in rivals if names is None or rival.name in names]
            found[kind] = asyncio.run(measure(kind, chosen, rounds))
    rows = promised(found, rivals) + store_calls(found, FULL)
    title = "What a guarded request costs"
    if options.json:
        print(as_json(title, rows, details=details(found, rivals), absent=absent))
        return
    show(details(found, rivals))
    for name, reason in absent.items():
        print(f"  not run: {name}: {reason}")
    print(as_table(title, rows))


if __name__ == "__main__":
    main()
