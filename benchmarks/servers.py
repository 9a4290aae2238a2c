"""Requests a second and p99 over real servers, with and without a guard.

    .venv/bin/python -m benchmarks.servers [--rounds 20] [--seconds 2] [--short] [--json]

wrk asks uvicorn, granian and hypercorn, each with two workers, for one page that needs a session.
The contenders of one server run side by side and are asked in turn, in random order; ratios are
taken within a round. Load and servers share this machine's cores, and with all else that runs here:
what the servers' processes themselves needed is told besides, as requests by their processor time.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import ROOT, go_there
from benchmarks.rows import Row, as_json, as_table, at_least
from benchmarks.served import NAMES, SECRET, token_of
from tests.servers.serving import free_port, wait_for

WORKERS = "2"
COMMANDS = {
    "uvicorn": "uvicorn --factory --workers {workers} --host 127.0.0.1 --port {port}"
    " --log-level warning --no-access-log {app}",
    "granian": "granian --interface asgi --factory --workers {workers} --host 127.0.0.1"
    " --port {port} --log-level warning {app}",
    "hypercorn": "hypercorn --workers {workers} --bind 127.0.0.1:{port} --log-level warning"
    " --worker-class uvloop {app}()",
}
TARGETS = {
    "no_op": 0.95,
    "fastapi_users": 15,
    "authentication_middleware": 3,
}
PROMISED = ("uvicorn", "granian")
BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.9",
    "accept-encoding": "gzip, deflate, br, zstd",
    "sec-fetch-site": "same-origin",
}
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Turn:
    """Requests a second, p99 in milliseconds, and requests by second of the servers' processor
    time, where the system tells that."""

    rate: float
    tail: float
    by_processor: float | None


Figures = dict[str, list[Turn]]  # of each contender


@contextmanager
def served(server: str, maker: str) -> Iterator[tuple[int, int]]:
    """Its port, and its group of processes."""
    port = free_port()
    words = COMMANDS[server].format(workers=WORKERS, port=port, app=f"benchmarks.served:{maker}")
    process = subprocess.Popen(
        [sys.executable, "-m", *words.split()], cwd=ROOT, start_new_session=True
    )
    try:
        wait_for(port, process)
        _wait_for_answer(port, maker)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):  # whatever is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_answer(port: int, maker: str) -> None:
    """Raises unless whoever has a session is let in, and whoever has none is not."""
    path = f"http://127.0.0.1:{port}/members"
    asked = urllib.request.Request(path, headers={"cookie": f"token={token_of(maker)}"})
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                assert answer.status == 200
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def processor_time(group: int) -> float | None:
    """Seconds that the living processes of a group have used. None: this is not Linux."""
    used = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                used.append(int(fields[11]) + int(fields[12]))
    return sum(used) / TICKS if used else None


def wrk(place: tuple[int, int], token: str, seconds: float) -> Turn:
    """Raises where not every answer was 200."""
    port, group = place
    headers = {**BROWSER, "cookie": f"theme=dark; lang=en; token={token}"}
    words = ["wrk", "-t1", "-c32", f"-d{seconds:g}s", "--latency"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    began = processor_time(group)
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{port}/members"], capture_output=True, text=True, check=True
    )
    ended = processor_time(group)
    told = done.stdout
    if "Non-2xx" in told:
        raise RuntimeError(told)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", told)
    count = re.search(r"(\d+) requests in", told)
    if rate is None or tail is None or count is None:
        raise RuntimeError(told)
    used = (ended or 0) - (began or 0)
    return Turn(
        float(rate[1]),
        float(tail[1]) * UNITS[tail[2]],
        int(count[1]) / used if used > 0 else None,
    )


def measured(server: str, rounds: int, seconds: float) -> Figures:
    tokens = {maker: token_of(maker) for maker in NAMES}
    figures: Figures = {maker: [] for maker in NAMES}
    with ExitStack() as running:
        places = {maker: running.enter_context(served(server, maker)) for maker in NAMES}
        for maker in NAMES:  # warms up
            wrk(places[maker], tokens[maker], 1)
        for _ in range(rounds):
            for maker in random.sample(list(NAMES), len(NAMES)):
                figures[maker].append(wrk(places[maker], tokens[maker], seconds))
    return figures


def judged(server: str, figures: Figures) -> list[Row]:
    rows = []
    for maker, found in figures.items():
        rate = statistics.median(turn.rate for turn in found)
        tail = statistics.median(turn.tail for turn in found)
        rows.append(Row(f"{server}: {NAMES[maker]}", f"{rate:,.0f}/s, p99 {tail:.1f} ms"))
    for maker, target in TARGETS.items():
        both = list(zip(figures["ours"], figures[maker], strict=True))
        times = [ours.rate / theirs.rate for ours, theirs in both]
        own = [
            ours.by_processor / theirs.by_processor
            for ours, theirs in both
            if ours.by_processor and theirs.by_processor
        ]
        for what, ratios in (("requests/s", times), ("requests by processor time", own)):
            if ratios:
                told = f"{server}: {what}, to {NAMES[maker]}"
                row = at_least(told, statistics.median(ratios), target)
                rows.append(row if server in PROMISED else Row(told, row.figure))
    return rows


def had_wrk() -> str:
    """Installs wrk where that is possible; else why not, as a sentence."""
    if shutil.which("wrk") is None:
        script = Path(ROOT, "scripts", "apt.sh")
        done = subprocess.run([script, "wrk"], capture_output=True, text=True, check=False)
        if done.returncode or shutil.which("wrk") is None:
            return f"wrk cannot be had: {done.stderr.strip() or 'it is not on the path'}"
    return ""


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contender's turn")
    parser.add_argument("--server", choices=list(COMMANDS), action="append", help="only this one")
    parser.add_argument("--short", action="store_true", help="a few rounds of a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    go_there("benchmarks.servers")
    os.environ.setdefault(SECRET, secrets.token_urlsafe(40))
    rounds, seconds = (4, 1.0) if options.short else (options.rounds, options.seconds)
    rows: list[Row] = []
    if lacking := had_wrk():
        rows.append(Row("requests a second over servers", lacking))
    else:
        for server in options.server or list(COMMANDS):
            print(f"… {server}", file=sys.stderr)
            rows += judged(server, measured(server, rounds, seconds))
    title = f"Over servers with {WORKERS} workers"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
