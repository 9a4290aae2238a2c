"""Runs every benchmark in its short form, and writes down what they found.

    make bench

One after the other, each a program of its own that prints its rows as JSON (`rows.py`). The rows
are printed here, and written with the machine, versions, date and charts to docs/benchmarks.md. A
row that missed its target is written with a profile of that work (`profiles.py`).
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, as_table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
PROGRAMS = (
    "guard",
    "flood",
    "storm",
    "refresh",
    "servers",
    "scale",
    "startup",
    "rotation",
    "enumeration",
)
PATIENCE = 420  # seconds for the short form of one program
UNPINNED = ("bcrypt", "pyjwt", "starlette")

# Which kind of work `profiles.py` is asked about when a row missed its target, by the words that
# the row begins with, or that follow its store, server or flood.
PROFILED = {
    "a token seen before": "seen",
    "overhead of": "seen",
    "an honest visitor": "seen",
    "a public path": "public",
    "a protected path without cookie": "none",
    "a forged signature": "forged",
    "junk in the cookie": "junk",
    "a WebSocket's handshake": "websocket",
    "a token never seen": "first seen",
    "1,000,000 users": "1,000,000 users",
    "requests/s": "seen",
    "requests by processor time": "seen",
    "a whole refresh": "a whole refresh",
    "rotation": "a rotation",
    "minting": "minting a pair",
    "checking": "checking an access token",
    "guarded p99": "a sign-in",
    "sign-ins a second": "a sign-in",
    "import authkit_asgi": "an import",
}
# What no profile of ours can say.
REMARKS = {
    "overhead of": "Ours is the divisor.",
    "memory: a whole refresh": "A dictionary's statements cost next to nothing, so that all else"
    " counts. Memory is for tests.",
    "rotation": "Both change threads, and by default wait for the disk, which takes as long for"
    " both.",
    "guarded p99": "Where other programs keep all cores busy, a thread of lowest priority may be"
    " stopped while it holds the interpreter.",
    "sign-ins a second": "The guarded requests come from the same cores.",
    "requests/s": "wrk and both workers share the cores, which brings contenders nearer to each"
    " other; what the no-op wrapper reaches is the most that anybody could.",
    "requests by processor time": "The server's own work, which is the same for all, is counted"
    " too; what the no-op wrapper reaches is the most that anybody could.",
}
Profiles = dict[str, list[dict[str, Any]]]  # shares of functions, by the kind of work


def run(program: str, *, short: bool) -> dict[str, Any]:
    began = time.monotonic()
    words = [sys.executable, "-m", f"benchmarks.{program}", "--json"]
    try:
        done = subprocess.run(
            [*words, *(["--short"] if short else [])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE if short else None,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        told = _not_run(program, f"it was not done within {PATIENCE} s")
    except json.JSONDecodeError:
        told = _not_run(program, (done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    told["seconds"] = time.monotonic() - began
    told["rows"] = [Row(**row) for row in told["rows"]]
    return told


def _not_run(program: str, reason: str) -> dict[str, Any]:
    return {"title": program, "rows": [{"what": program, "figure": f"did not run: {reason}"}]}


def profiles(found: dict[str, dict[str, Any]]) -> Profiles:
    """Of each kind of work that has a part in a missed row. Empty, where they cannot be made."""
    missed = [row.what for told in found.values() for row in told["rows"] if row.met is False]
    kinds = sorted({kind for what in missed if (kind := looked_up(PROFILED, what))})
    if not kinds:
        return {}
    print("… profiles", file=sys.stderr, flush=True)
    words = [sys.executable, "-m", "benchmarks.profiles", "--json"]
    for kind in kinds:
        words += ["--only", kind]
    try:
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return {}
    made: Profiles = json.loads(done.stdout)
    return made


def looked_up(table: dict[str, str], what: str) -> str | None:
    for text in (what, what.partition(": ")[2]):
        for begin, told in table.items():
            if text.startswith(begin):
                return told
    return None


def machine() -> dict[str, str]:
    """What the figures depend on. Not the host's name: it is nobody's business."""
    model = platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "Processor": f"{model}, {os.cpu_count()} cores",
        "System": platform.system(),
        "Python": platform.python_version(),
        "Load before the run": f"{load} (waiting or running programs, mean of a minute)",
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def versions() -> dict[str, str]:
    """Of the peers, and of what they and we share."""
    pinned = (ROOT / "benchmarks" / "peers.txt").read_text()
    found = dict(re.findall(r"^([\w-]+)(?:\[.*\])?==([\w.]+)", pinned, re.MULTILINE))
    found |= {name: importlib.metadata.version(name) for name in UNPINNED}
    return dict(sorted(found.items()))


# --- the page -------------------------------------------------------------------------------------


def page(found: dict[str, dict[str, Any]], about: dict[str, str], profiled: Profiles) -> str:
    rows = [row for told in found.values() for row in told["rows"]]
    judged = [row for row in rows if row.met is not None]
    met = sum(row.met is True for row in judged)
    lines = [
        "# Benchmarks",
        "",
        "What the kit costs, side by side with what else there is. `make bench` runs all of this"
        " on your machine, in five to ten minutes, and writes this page anew; each part is one"
        " command of its own, and its longer form, without `--short`, says more:",
        "",
        "```bash",
        "make bench",
        ".venv/bin/python -m benchmarks.guard",
        ".venv/bin/python -m benchmarks.storm --bcrypt-rounds 12",
        "```",
        "",
        "Read ratios, not microseconds: contenders take turns in one run, but machines differ, and"
        " hurry at times. Targets were set before anything was measured. A missed one says so, and"
        " where its time goes.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        f"**{met} of {len(judged)} targets are met.**",
        "",
    ]
    for program, told in found.items():
        lines += [f"## {told['title']}", "", *about_program(program)]
        chart = IMAGES / f"bench-{program}.svg"
        if chart.exists():
            lines += [f"![{told['title']}](images/{chart.name})", ""]
        lines += ["| what | found | target | |", "|---|---|---|---|", *map(_line, told["rows"]), ""]
        lines += _side_by_side(told.get("details", []))
        lines += _absent(told)
        lines += _missed(told["rows"], profiled)
        if lines[-1]:
            lines.append("")
    lines += _where_the_time_goes(profiled)
    return "\n".join(lines).rstrip() + "\n"


def about_program(program: str, how: str = "--short") -> list[str]:
    """Its command, and what it says of itself, but for how to call it."""
    text = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{program}.py").read_text())) or ""
    call = f"benchmarks.{program} "
    said = [" ".join(part.split()) for part in text.split("\n\n") if call not in part]
    command = f"`.venv/bin/python -m {call}{how}` (`--json` for programs)"
    return [command, "", *(line for part in said for line in (part, ""))]


def _side_by_side(details: list[dict[str, Any]]) -> list[str]:
    """Everybody at the traffic that all were measured at, then each traffic with whoever was."""
    if not details:
        return []
    lines = ["| a token seen before | times the no-op wrapper | µs |", "|---|---|---|"]
    others: dict[str, dict[str, str]] = {}
    for one in details:
        low, middle, high = one["ratio"]
        name, traffic = one["contender"], one["traffic"]
        if traffic == "seen":
            lines.append(f"| {name} | {middle:g} ({low:g}–{high:g}) | {one['microseconds']:g} |")
        elif name != "no-op wrapper":
            others.setdefault(traffic, {})[name] = f"{middle:g}"
    names = list(dict.fromkeys(name for told in others.values() for name in told))
    lines += [
        "",
        f"| times the no-op wrapper | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for traffic, told in others.items():
        lines.append(f"| {traffic} | {' | '.join(told.get(name, '') for name in names)} |")
    return [*lines, ""]


def _line(row: Row) -> str:
    met = {True: "met", False: "**MISSED**", None: ""}[row.met]
    cells = (row.what, row.figure, row.target, met)
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |".replace("  ", " ")


def _absent(told: dict[str, Any]) -> list[str]:
    named = told.get("absent", {})
    lines = [f"- Not run: {name}: {reason}." for name, reason in named.items()]
    return [*lines, ""] if lines else []


def _missed(rows: list[Row], profiled: Profiles) -> list[str]:
    """One line for all rows that have one reason: what was measured of it, and what cannot be."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.met is False:
            by_reason.setdefault(_reason(row.what, profiled), []).append(f"*{row.what}*")
    return [f"- Missed: {'; '.join(whats)}. {why}".rstrip() for why, whats in by_reason.items()]


def _reason(what: str, profiled: Profiles) -> str:
    said = [looked_up(REMARKS, what)]
    kind = looked_up(PROFILED, what)
    if kind in profiled:
        said.append(f"Where the time goes: [{kind}](#{_anchor(kind)}).")
    return " ".join(one for one in said if one)


def _anchor(kind: str) -> str:
    return f"where-the-time-goes-{re.sub('[^a-z0-9]+', '-', kind)}"


def _where_the_time_goes(profiled: Profiles) -> list[str]:
    if not profiled:
        return []
    words = " ".join(f'--only "{kind}"' for kind in profiled)
    lines = ["## Where the time goes", "", *about_program("profiles", words)]
    for kind, shares in profiled.items():
        lines += [
            f"### Where the time goes: {kind}",
            "",
            "| function | file | share |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{one['function']}` | {one['file']} | {one['percent']:.0f} % |" for one in shares
        ]
        lines.append("")
    return lines


# --- charts ---------------------------------------------------------------------------------------


def charts(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """SVG by the name of its program: bars, the longest to the right edge, on a logarithm where
    they differ by more than a hundred times."""
    drawn = {}
    guard = [one for one in found.get("guard", {}).get("details", []) if one["traffic"] == "seen"]
    if guard:
        bars = [(one["contender"], one["ratio"][1]) for one in guard]
        bars.sort(key=lambda bar: bar[1])
        drawn["guard"] = bar_chart("A guarded request, to a no-op wrapper's", bars, "×")
    for program, told in (
        ("servers", "Requests a second"),
        ("storm", "p99 of a request while people sign in"),
    ):
        bars = [
            bar
            for row in found.get(program, {}).get("rows", [])
            if row.met is None and (bar := _bar_of(program, row))
        ]
        if bars:
            drawn[program] = bar_chart(told, bars, "/s" if program == "servers" else "ms")
    return drawn


def _bar_of(program: str, row: Row) -> tuple[str, float] | None:
    try:
        if program == "servers":
            return row.what, float(row.figure.partition("/s")[0].replace(",", ""))
        told = row.figure.partition(" ms")[0].split(",")
        return row.what.partition(":")[0], float(told[1])
    except (IndexError, ValueError):
        return None


# As wide as a phone, so that it is never shrunk to what nobody can read: names stand above their
# bars. It has a ground of its own: a page may be dark by a switch that no picture hears of.
WIDE, ROW = 400, 40
STYLE = """
svg { --ground: #fff; --ink: #1b1f24; --bar: #aab2bf; --ours: #2563eb }
@media (prefers-color-scheme: dark) {
  svg { --ground: #1b1f24; --ink: #e6e9ee; --bar: #6b7482; --ours: #6d9dff }
}
.ground { fill: var(--ground) } text { fill: var(--ink) }
.bar { fill: var(--bar) } .ours { fill: var(--ours) }
"""


def bar_chart(title: str, bars: list[tuple[str, float]], unit: str) -> str:
    most, least = max(value for _, value in bars), max(min(value for _, value in bars), 1e-9)
    is_log = most / least > 100
    longest = WIDE - 112  # beside it stands its figure

    def length(value: float) -> float:
        if is_log:
            share = math.log(max(value, least) / least) / math.log(most / least)
            return 12 + (longest - 12) * share
        return longest * value / most

    high = 48 + ROW * len(bars) + (12 if is_log else 0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{high}"'
        f' viewBox="0 0 {WIDE} {high}" role="img" aria-label="{escape(title)}"'
        ' font-family="system-ui, sans-serif" font-size="14">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDE}" height="{high}" rx="6"/>',
        f'<text x="12" y="26" font-weight="600">{escape(title)}</text>',
    ]
    if is_log:
        lines.append(f'<text x="12" y="{high - 4}" font-size="11">On a logarithmic scale</text>')
    for number, (name, value) in enumerate(bars):
        y = 52 + ROW * number
        kind = "ours" if "authkit" in name or name == "ours" else "bar"
        told = f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
        lines += [
            f'<text x="12" y="{y}">{escape(name)}</text>',
            f'<rect class="{kind}" x="12" y="{y + 5}" width="{length(value):.1f}" height="13"/>',
            f'<text x="{18 + length(value):.1f}" y="{y + 17}">{told} {unit}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--long", action="store_true", help="the long forms: most of an hour")
    parser.add_argument("--only", choices=PROGRAMS, action="append", help="print; write nothing")
    options = parser.parse_args()
    about = machine()
    found = {}
    began = time.monotonic()
    for program in options.only or PROGRAMS:
        print(f"… {program}", file=sys.stderr, flush=True)
        found[program] = told = run(program, short=not options.long)
        print(as_table(told["title"], told["rows"]))
        print(f"  ({told['seconds']:.0f} s)\n", flush=True)
    judged = [row for told in found.values() for row in told["rows"] if row.met is not None]
    met = sum(row.met is True for row in judged)
    print(f"{met} of {len(judged)} targets met, in {time.monotonic() - began:.0f} s")
    if options.only:
        return
    profiled = profiles(found)
    for program, svg in charts(found).items():
        (IMAGES / f"bench-{program}.svg").write_text(svg)
    PAGE.write_text(page(found, about, profiled))
    print(f"Written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
