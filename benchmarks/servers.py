"""Requests a second and p99 over real servers, with and without a guard.

    .venv/bin/python -m benchmarks.servers [--rounds 20] [--seconds 2] [--short] [--json]

wrk asks uvicorn, granian and hypercorn, each with two workers, for one page that needs a session,
as the browser of `guard.py` does: the same headers, and as many bytes of cookies. The contenders of
one server run side by side and are asked in turn, in random order. Ratios are taken within a round;
the quartiles beside them say what can be told apart here. Load and servers share this machine's
cores, and with all else that runs here: what the servers' processes themselves needed is told
besides, as requests by their processor time.

Two more say how near to the no-op wrapper anybody could come: its own ratio to the peers, and a
wrapper that only marks answers as private, with the two headers that ours have to bear as well.

Before the rounds wrk looks at every answer for its status and body, and each contender has to
refuse a spoiled token where it refuses at all; during them, when that would slow wrk down, it
counts answers above 399, and one more answer is looked at after each turn. How much of a core wrk
itself needs is told: near all of one, it is wrk that was measured.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.environment import ROOT, go_there
from benchmarks.guard import BROWSER, cookie_with, spoiled
from benchmarks.peers import Contender, bare
from benchmarks.rows import Row, as_json, as_table, at_least
from benchmarks.served import BODY, NAMES, SECRET, token_of
from tests.servers.serving import free_port, wait_for

WORKERS = "2"
CONNECTIONS = 64  # so many that each worker has its share of them, whichever accepts which
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
# Those that leave it to the app whom to refuse.
OPEN = ("no_op", "marked", "authentication_middleware")
CEILINGS = (
    ("marked", "no_op"),
    ("no_op", "fastapi_users"),
    ("no_op", "authentication_middleware"),
)
# Says, as its last line, how many answers were not what all of them should be.
LOOK = """
local all, wrong = {}, 0
function setup(thread) table.insert(all, thread) end
function init() bad = 0 end
function response(status, headers, body)
  if status ~= 200 or body ~= "%s" then bad = bad + 1 end
end
function done()
  for _, thread in ipairs(all) do wrong = wrong + thread:get("bad") end
  io.write("Wrong: " .. wrong .. "\\n")
end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Turn:
    """Requests a second, p99 in milliseconds, requests by second of the servers' processor time,
    where the system tells that, and how much of a core wrk needed."""

    rate: float
    tail: float
    by_processor: float | None
    wrk: float


Figures = dict[str, list[Turn]]  # of each contender


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender is served: its port, and its group of processes."""

    maker: str
    port: int
    group: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/members"

    def headers(self, token: bytes) -> dict[str, str]:
        cookie = cookie_with(Contender(self.maker, bare), token)
        sent = [*BROWSER[1:], (b"cookie", cookie)]  # the first is Host
        return {name.decode(): value.decode() for name, value in sent}

    def status(self, token: bytes) -> int:
        """Raises unless whoever is let in gets what everybody gets."""
        asked = urllib.request.Request(self.url, headers=self.headers(token))
        try:
            with STRAIGHT.open(asked, timeout=5) as answer:
                if answer.status == 200 and answer.read() != BODY:
                    raise RuntimeError(f"{self.maker} answers with another body")
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *about: object) -> None:
        return None


STRAIGHT = urllib.request.build_opener(_Stays)


@contextmanager
def served(server: str, maker: str) -> Iterator[Place]:
    port = free_port()
    words = COMMANDS[server].format(workers=WORKERS, port=port, app=f"benchmarks.served:{maker}")
    process = subprocess.Popen(
        [sys.executable, "-m", *words.split()], cwd=ROOT, start_new_session=True
    )
    try:
        wait_for(port, process)
        place = Place(maker, port, process.pid)
        _wait_for_answer(place)
        yield place
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):  # whatever is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_answer(place: Place) -> None:
    """Raises unless whoever has a session is let in, and whoever has none is not."""
    until = time.monotonic() + 20
    token = token_of(place.maker)
    while True:
        try:
            good, bad = place.status(token), place.status(spoiled(token))
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
            continue
        if good != 200 or (bad == 200) is not (place.maker in OPEN):
            raise RuntimeError(f"{place.maker} answers {good} to a good token, {bad} to a bad one")
        return


def processor_time(group: int) -> float | None:
    """Seconds that the living processes of a group have used. None: this is not Linux."""
    used = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                used.append(int(fields[11]) + int(fields[12]))
    return sum(used) / TICKS if used else None


def wrk(place: Place, token: bytes, seconds: float, *more: str) -> tuple[Turn, str]:
    """And what it printed. Raises where an answer was a refusal, or none came."""
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", *more]
    for name, value in place.headers(token).items():
        words += ["-H", f"{name}: {value}"]
    began, own = processor_time(place.group), _children()
    done = subprocess.run([*words, place.url], capture_output=True, text=True, check=True)
    ended, own = processor_time(place.group), _children() - own
    told = done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", told)
    count = re.search(r"(\d+) requests in ([\d.]+)s", told)
    if rate is None or tail is None or count is None or "Non-2xx" in told or "Socket" in told:
        raise RuntimeError(told)
    used = (ended or 0) - (began or 0)
    turn = Turn(
        float(rate[1]),
        float(tail[1]) * UNITS[tail[2]],
        int(count[1]) / used if used > 0 else None,
        own / float(count[2]),
    )
    return turn, told


def _children() -> float:
    """Processor seconds of the programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def look_at_all(place: Place, token: bytes) -> None:
    """Warms up, too. Raises unless each answer is 200, with the one body."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LOOK % BODY.decode())
        script.flush()
        _, told = wrk(place, token, 1, "-s", script.name)
    if told.splitlines()[-1] != "Wrong: 0":
        raise RuntimeError(told)


def measured(
    server: str, rounds: int, seconds: float, makers: Sequence[str] = tuple(NAMES)
) -> Figures:
    tokens = {maker: token_of(maker) for maker in makers}
    figures: Figures = {maker: [] for maker in makers}
    with ExitStack() as running:
        places = {maker: running.enter_context(served(server, maker)) for maker in makers}
        for maker in makers:
            look_at_all(places[maker], tokens[maker])
        for _ in range(rounds):
            for maker in random.sample(list(makers), len(makers)):
                turn, _told = wrk(places[maker], tokens[maker], seconds)
                if places[maker].status(tokens[maker]) != 200:
                    raise RuntimeError(f"{maker} refuses a good token by now")
                figures[maker].append(turn)
    return figures


def judged(server: str, figures: Figures) -> list[Row]:
    rows = []
    for maker, found in figures.items():
        rate, tail, own = (
            statistics.median(getattr(turn, name) for turn in found)
            for name in ("rate", "tail", "wrk")
        )
        told = f"{rate:,.0f}/s, p99 {tail:.1f} ms; wrk {own:.2f} cores"
        rows.append(Row(f"{server}: {NAMES[maker]}", told))
    for maker, target in TARGETS.items():
        promised = target if server in PROMISED else None
        rows += compared(server, figures, "ours", maker, promised)
    for one, other in CEILINGS:
        rows += compared(server, figures, one, other, None)
    return rows


def compared(
    server: str, figures: Figures, one: str, other: str, target: float | None
) -> Iterator[Row]:
    both = list(zip(figures[one], figures[other], strict=True))
    times = [a.rate / b.rate for a, b in both]
    own = [a.by_processor / b.by_processor for a, b in both if a.by_processor and b.by_processor]
    whose = "" if one == "ours" else f" of the {NAMES[one]}"
    for what, ratios in (("requests/s", times), ("requests by processor time", own)):
        if ratios:
            low, middle, high = statistics.quantiles(ratios * 2, n=4)  # of one round, too
            told = f"{server}: {what}{whose}, to {NAMES[other]}"
            row = Row(told, "") if target is None else at_least(told, middle, target)
            yield replace(row, figure=f"{middle:.3g} × ({low:.3g}–{high:.3g})")


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
    parser.add_argument("--short", action="store_true", help="of a second; a few of hypercorn")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    go_there("benchmarks.servers")
    os.environ.setdefault(SECRET, secrets.token_urlsafe(40))
    seconds = 1.0 if options.short else options.seconds
    rows: list[Row] = []
    if lacking := had_wrk():
        rows.append(Row("requests a second over servers", lacking))
    else:
        for server in options.server or list(COMMANDS):
            print(f"… {server}", file=sys.stderr)
            few = options.short and server not in PROMISED
            rounds = min(4, options.rounds) if few else options.rounds
            rows += judged(server, measured(server, rounds, seconds))
    title = f"Over servers with {WORKERS} workers"
    print(as_json(title, rows) if options.json else as_table(title, rows))


if __name__ == "__main__":
    main()
