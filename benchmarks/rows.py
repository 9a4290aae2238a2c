"""How a benchmark tells what it found: rows for people, or JSON for `make bench`.

With `--json` each script prints `{"title": …, "rows": [{"what", "figure", "target", "met"}, …]}`:
`figure` and `target` are text, `met` is true, false, or null where nothing was promised.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    figure: str
    target: str = ""
    met: bool | None = None


def at_most(what: str, figure: float, target: float, unit: str = "×") -> Row:
    return Row(what, f"{figure:.3g} {unit}", f"at most {target:.3g} {unit}", figure <= target)


def at_least(what: str, figure: float, target: float, unit: str = "×") -> Row:
    return Row(what, f"{figure:.3g} {unit}", f"at least {target:.3g} {unit}", figure >= target)


def as_json(title: str, rows: list[Row], **more: Any) -> str:
    return json.dumps({"title": title, "rows": [asdict(row) for row in rows], **more}, indent=2)


def as_table(title: str, rows: list[Row]) -> str:
    wide = max((len(row.what) for row in rows), default=0)
    lines = [f"{title} (Python {platform.python_version()}, {platform.machine()})"]
    for row in rows:
        met = {True: "met", False: "MISSED", None: ""}[row.met]
        lines.append(f"  {row.what:{wide}}  {row.figure:>12}  {row.target:18} {met}".rstrip())
    return "\n".join(lines)
