"""What a guarded request costs, in process: ratios first, because machines differ and hurry at
times.

    .venv/bin/python -m benchmarks.guard [--rounds 60] [--short] [--json] [--profile] [--no-peers]

Contenders take turns of a few milliseconds in random order; ratios are taken within a round and
given as the median and the quartiles over all rounds. Every request brings fresh bytes: shared
objects would flatter caches. Peers run in an environment of their own, made when it is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import itertools
import pstats
import random
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.environment import go_there
from benchmarks.peers import App, Contender, contenders, direct_check
from benchmarks.rows import Row, as_json, as_table, at_least, at_most

TURN = 200  # requests
USERS = 1_000_000
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


def cookie_with(rival: Contender, token: bytes) -> bytes:
    line = b"theme=dark; lang=en; _ga=GA1.1.%d; " % random.getrandbits(30)
    return line + rival.cookie + b"=" + token


def spoiled(token: bytes) -> bytes:
    head, dot, _ = token.strip(b'"').rpartition(b".")
    return head + dot + secrets.token_urlsafe(32).encode()


def traffic(kind: str, rival: Contender) -> Iterator[Request]:
    match kind:
        case "seen":
            yield from fresh(request(cookie_with(rival, rival.token(0))))
        case "first seen":
            for number in itertools.count(1):
                yield request(cookie_with(rival, rival.token(number)))
        case "expired":
            yield from fresh(request(cookie_with(rival, rival.expired(0))))
        case "forged":
            token = rival.token(0)
            while True:
                yield request(cookie_with(rival, spoiled(token)), headers=API)
        case "junk":
            while True:
                junk = secrets.token_urlsafe(120).encode()
                yield request(cookie_with(rival, junk), headers=API)
        case "none":
            yield from fresh(request(None, headers=API))
        case "none, a page":
            yield from fresh(request(None))
        case "public":
            yield from fresh(request(None, "/open"))
        case "1,000,000 users":
            while True:
                yield request(cookie_with(rival, rival.token(random.randrange(USERS))))
        case "websocket":
            yield from fresh(request(cookie_with(rival, rival.token(0)), kind="websocket"))


# Who is compared at what. None: everybody.
NEAR = ("no-op wrapper", "direct check", "authkit-asgi", "AuthenticationMiddleware + PyJWT")
KINDS: dict[str, tuple[str, ...] | None] = {
    "seen": None,
    "first seen": (*NEAR, "BaseHTTPMiddleware + PyJWT"),
    "expired": NEAR,
    "forged": NEAR,
    "junk": NEAR,
    "none": NEAR,
    "none, a page": NEAR,
    "public": NEAR,
    "1,000,000 users": NEAR,
    "websocket": NEAR,
}


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
    for number in range(rounds + 2):
        for rival in random.sample(rivals, len(rivals)):
            requests = [next(sources[rival.name]) for _ in range(TURN)]
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
    if "1,000,000 users" in found:
        evenly = found["1,000,000 users"].ratio(us, direct)[1]
        rows.append(at_most("1,000,000 users evenly, to a check without a map", evenly, 2.0))
    if "seen" in found:
        ours = found["seen"].overhead(by_name[us])
        for name, target in OVERHEADS.items():
            if name in by_name:
                theirs = found["seen"].overhead(by_name[name])
                times = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
                rows.append(at_least(f"overhead of {name}, to ours", times, target))
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
            f"  {row['traffic']:14} {row['contender']:34} {middle:8g} {spread:>17} "
            f"{row['microseconds']:9g}"
        )


async def profile(rivals: list[Contender]) -> None:
    """Where the time goes in ours, for each sort of traffic."""
    us = next(rival for rival in rivals if rival.name == "authkit-asgi")
    for kind in KINDS:
        source = traffic(kind, us)
        requests = [next(source) for _ in range(5000)]
        profiler = cProfile.Profile()
        profiler.enable()
        await turn(us.app, requests)
        profiler.disable()
        print(f"\n== {kind}")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(8)


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--short", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--only", help="one sort of traffic")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="show where our time goes")
    parser.add_argument("--no-peers", action="store_true", help="without peers to be installed")
    options = parser.parse_args()
    if not options.no_peers:
        go_there("benchmarks.guard")
    rivals, absent = contenders()
    rivals.append(direct_check())
    if options.profile:
        asyncio.run(profile(rivals))
        return
    rounds = options.rounds // 4 if options.short else options.rounds
    found: dict[str, Measured] = {}
    for kind, names in KINDS.items():
        if options.only in (None, kind):
            print(f"… {kind}", file=sys.stderr)
            chosen = [rival for rival in rivals if names is None or rival.name in names]
            found[kind] = asyncio.run(measure(kind, chosen, rounds))
    rows = promised(found, rivals)
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
