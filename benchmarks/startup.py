"""What the import costs beyond the dependencies, and what remembered tokens weigh.

.venv/bin/python -m benchmarks.startup [--short] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks.flood import resident
from benchmarks.guard import cookie_with, request, turn
from benchmarks.peers import ours
from benchmarks.rows import Row, as_json, as_table, at_most

DEPENDENCIES = (
    "anyio, bcrypt, email_validator, jinja2, pydantic, pydantic_settings, jwt, starlette.routing"
)
TIMED = """
import time
import {first}
began = time.process_time()
import authkit_asgi
{more}
print((time.process_time() - began) * 1000)
"""
USED = "authkit_asgi.AuthKit, authkit_asgi.AuthMiddleware, authkit_asgi.PathRules"


def import_time(runs: int) -> float:
    """Milliseconds until the README's names are there, when their dependencies already are."""
    program = TIMED.format(first=DEPENDENCIES, more=USED)
    times = []
    with TemporaryDirectory() as compiled:
        # Compiled code is kept, as it is wherever a package is installed.
        kept = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(runs + 1):
            done = subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **kept},
            )
            times.append(float(done.stdout))
    return statistics.median(times[1:])


async def remembered(count: int) -> float:
    """MiB that so many distinct visitors leave in a worker's memory."""
    us = ours()
    numbers = itertools.count()
    await turn(us.app, [request(cookie_with(us, us.token(next(numbers)))) for _ in range(100)])
    before = resident()
    for _ in range(count // 1000):
        await turn(us.app, [request(cookie_with(us, us.token(next(numbers)))) for _ in range(1000)])
    return resident() - before


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--short", action="store_true", help="fewer runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    rows = [
        at_most(
            "import authkit_asgi, beyond its dependencies",
            import_time(5 if options.short else 15),
            60,
            "ms",
        ),
        Row("100,000 visitors, remembered", f"{asyncio.run(remembered(100_000)):.1f} MiB"),
    ]
    print(f"… {time.monotonic() - began:.0f} s", file=sys.stderr)
    title = "What it weighs"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
