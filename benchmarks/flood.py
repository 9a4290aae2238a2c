"""What a flood of distinct requests costs, and leaves behind: junk, forged tokens, paths, other
cookies beside one good token, and ever new good tokens.

    .venv/bin/python -m benchmarks.flood [--n 1000000] [--short] [--json]

Each flood has a process of its own. Memory is what the system has given it (RSS), after the flood
and before it: what all floods leave behind is the sum. An honest visitor is measured before and
after.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.guard import API, cookie_with, fresh, request, signed_in_or_not, turn
from benchmarks.peers import Contender, ours
from benchmarks.rows import Row, as_json, as_table, at_most

MEBI = 2**20
TURN = 1000


def junk(us: Contender) -> Iterator[dict[str, Any]]:
    return signed_in_or_not("junk", us)


def forged(us: Contender) -> Iterator[dict[str, Any]]:
    return signed_in_or_not("forged", us)


def paths(us: Contender) -> Iterator[dict[str, Any]]:
    while True:
        yield request(None, f"/{secrets.token_urlsafe(30)}", headers=API)


def other_cookies(us: Contender) -> Iterator[dict[str, Any]]:
    """One good token beside ever new others."""
    token = us.token(0)
    for number in itertools.count():
        yield request(cookie_with(us, token, number))


def good_tokens(us: Contender) -> Iterator[dict[str, Any]]:
    return signed_in_or_not("first seen", us)


# Each with the MiB that it may leave behind; None: only all of them together are bounded.
FLOODS: dict[str, tuple[Callable[[Contender], Iterator[dict[str, Any]]], float | None]] = {
    "junk": (junk, 1.0),
    "forged tokens": (forged, 1.0),
    "new paths": (paths, 1.0),
    "one token, ever other cookies": (other_cookies, None),
    "ever new good tokens": (good_tokens, None),
}
ALL_OF_THEM = 40.0  # MiB


def resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MEBI


async def honest(us: Contender, source: Iterator[dict[str, Any]]) -> float:
    turns = [await turn(us.app, list(itertools.islice(source, TURN))) for _ in range(15)]
    return sorted(turns)[3]


async def flood(name: str, count: int) -> dict[str, float]:
    us = ours()
    source = FLOODS[name][0](us)
    visitor = fresh(request(cookie_with(us, us.token(0))))
    for _ in range(5):  # what is set up once is no part of the flood
        await turn(us.app, list(itertools.islice(source, TURN)))
    before = await honest(us, visitor)
    gc.collect()
    at_rest, cost = resident(), 0.0
    told = time.monotonic()
    for number in range(count // TURN):
        cost += await turn(us.app, list(itertools.islice(source, TURN)))
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"… {name}: {number * TURN:,} of {count:,}", file=sys.stderr)
    gc.collect()
    grown = resident() - at_rest
    after = await honest(us, visitor)
    return {"cost": cost / (count // TURN), "grown": grown, "honest": after / before}


def in_a_process(name: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.flood", "--flood", name, "--n", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--n", type=int, default=1_000_000, help="requests a flood")
    parser.add_argument(
        "--short", action="store_true", help="the same: a million is what is promised"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        print(json.dumps(asyncio.run(flood(options.flood, options.n))))
        return
    count = options.n
    rows: list[Row] = []
    whole = 0.0
    for name, (_, most) in FLOODS.items():
        found = in_a_process(name, count)
        grown = found["grown"]
        whole += grown
        what = f"{count:,} × {name}"
        rows.append(Row(f"{what}: cost", f"{found['cost']:.1f} µs"))
        told = f"{what}: memory"
        rows.append(
            Row(told, f"{grown:.3g} MiB") if most is None else at_most(told, grown, most, "MiB")
        )
        rows.append(at_most(f"{what}: an honest visitor, after to before", found["honest"], 1.1))
    rows.append(at_most("all floods: memory", whole, ALL_OF_THEM, "MiB"))
    title = "What floods cost, and leave behind"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
