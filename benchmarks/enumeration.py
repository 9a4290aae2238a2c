"""Can the time of an answer tell whether an account exists? (SECURITY E-05)

    .venv/bin/python -m benchmarks.enumeration [--samples 2000] [--bcrypt-rounds 10] [--json]

Real answers over SQLite, in process, the classes in random order, without the limits. Asked for:
medians less than 5 ms or 5 % apart, and a threshold on one sample that is right in less than 55 %
of the cases. Fewer bcrypt rounds than are allowed in public hide less than any real site does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from authkit_asgi.kit import default_features
from authkit_asgi.store.sqlite import SqliteStore
from benchmarks.rows import Row, as_json, as_table
from tests.world import PASSWORD, Browser, registration, world

Sample = tuple[str, str, dict[str, Any]]  # class, path, body


def cases(number: int) -> dict[str, list[Sample]]:
    """For each route, one sample of each class."""
    wrong = "not the password"
    return {
        "login": [
            ("known", "/login", {"email": "ada@example.test", "password": wrong}),
            ("unknown", "/login", {"email": f"nobody{number}@example.test", "password": wrong}),
        ],
        "forgot-password": [
            ("known", "/forgot-password/sent", {"email": "ada@example.test"}),
            ("unknown", "/forgot-password/sent", {"email": f"nobody{number}@example.test"}),
        ],
        "register": [
            ("known", "/register", registration(f"k{number}", email="ada@example.test")),
            ("unknown", "/register", registration(f"u{number}")),
        ],
    }


async def measure(
    samples: int, rounds: int, routes: list[str]
) -> dict[str, dict[str, list[float]]]:
    features = [one for one in default_features() if one.name != "limits"]
    times: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "rows.db")
        async with world(store=store, features=features, bcrypt_rounds=rounds) as w:
            await w.person()
            async with w.browser() as browser:
                await browser.sign_in(password=PASSWORD)
                browser.cookies.clear()
                for number in range(samples):
                    two = {route: cases(number)[route] for route in routes}
                    rows = [(route, one) for route, pair in two.items() for one in pair]
                    for route, (kind, path, body) in random.sample(rows, len(rows)):
                        took = await timed(browser, path, body)
                        times.setdefault(route, {}).setdefault(kind, []).append(took)
    return times


async def timed(browser: Browser, path: str, body: dict[str, Any]) -> float:
    """Milliseconds of one answer."""
    began = time.perf_counter()
    await browser.api("POST", path, body)
    return (time.perf_counter() - began) * 1e3


def judged(known: list[float], unknown: list[float]) -> dict[str, Any]:
    medians = statistics.median(known), statistics.median(unknown)
    apart = abs(medians[0] - medians[1])
    right = best_threshold(known, unknown)
    met = (apart < 5 or apart < 0.05 * max(medians)) and right < 0.55
    return {
        "known_ms": round(medians[0], 2),
        "unknown_ms": round(medians[1], 2),
        "right": round(right, 3),
        "met": met,
    }


def best_threshold(known: list[float], unknown: list[float]) -> float:
    """How often the best single threshold is right: chosen on one half, judged on the other."""
    half = len(known) // 2
    above, below = sorted(known[:half]), sorted(unknown[:half])
    candidates = statistics.quantiles(above + below, n=100)

    def share(limit: float, one: list[float], other: list[float]) -> float:
        return (sum(t > limit for t in one) + sum(t <= limit for t in other)) / (
            len(one) + len(other)
        )

    limit = max(candidates, key=lambda limit: abs(share(limit, above, below) - 0.5))
    return 0.5 + abs(share(limit, known[half:], unknown[half:]) - 0.5)


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--bcrypt-rounds", type=int, default=10)
    parser.add_argument("--routes", nargs="+", choices=list(cases(0)), default=list(cases(0)))
    parser.add_argument("--short", action="store_true", help="600 samples, at 8 rounds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.samples, options.bcrypt_rounds = 600, 8
    times = asyncio.run(measure(options.samples, options.bcrypt_rounds, options.routes))
    rows = []
    for route, found in times.items():
        told = judged(found["known"], found["unknown"])
        figure = f"{told['known_ms']:.2f}, {told['unknown_ms']:.2f} ms; {told['right']:.1%} right"
        rows.append(Row(f"{route}: known, unknown", figure, "alike; under 55 %", told["met"]))
    title = "Whether the time of an answer tells who has an account"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
