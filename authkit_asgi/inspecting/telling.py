"""What was found, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from authkit_asgi.core.paths import Access
from authkit_asgi.inspecting import Found
from authkit_asgi.inspecting.deciding import Decision, Explanation, Fault

WHO = {
    Access.EXCLUDED: "anyone, not looked at",
    Access.PUBLIC: "anyone",
    Access.AUTH: "visitors only",
    Access.PROTECTED: "whoever is signed in",
}
HEAD = ("METHODS", "PATH", "WHO", "RULE")


def routes_told(decisions: Iterable[Decision]) -> Iterator[str]:
    rows = [HEAD, *(_row(one) for one in decisions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(one: Decision) -> tuple[str, str, str, str]:
    route = one.route
    methods = ",".join(name for name in route.methods if name not in ("HEAD", "OPTIONS"))
    rule = one.rule or "(default)"
    if one.own:
        rule += " (kit)"
    more = [pattern for pattern in one.demanding if pattern != one.rule]
    rule = " + ".join([rule, *more])
    if one.varies:
        rule += f"; otherwise at {', '.join(one.varies)}"
    who = f"{one.access.value}: {one.demand}" if one.demand else one.access.value
    return (methods or "any") if route.kind == "http" else route.kind, route.path, who, rule


def routes_data(decisions: Iterable[Decision]) -> list[dict[str, object]]:
    return [
        {
            **_found(one.route),
            "access": one.access.value,
            "demands": one.demand,
            "rule": one.rule,
            "demanding": list(one.demanding),
            "varies": list(one.varies),
            "own": one.own,
        }
        for one in decisions
    ]


def _found(route: Found) -> dict[str, object]:
    return {"path": route.path, "kind": route.kind, "methods": list(route.methods)}


def faults_told(faults: Iterable[Fault]) -> list[str]:
    return [f"{one.code}  {one.what}: {one.tells}" for one in faults]


def faults_data(faults: Iterable[Fault]) -> list[dict[str, str]]:
    return [{"code": one.code, "what": one.what, "tells": one.tells} for one in faults]


def explanation_told(method: str, path: str, one: Explanation) -> Iterator[str]:
    yield f"{method} {path}"
    who = WHO[one.access] + (f", and {one.demand}" if one.demand else "")
    yield f"  who       {who}"
    default = (
        "none can: it may be read in two ways" if one.ambiguous else "none names it: the default"
    )
    yield f"  rule      {one.rule or default}"
    if one.demanding:
        yield f"  demands   {', '.join(one.demanding)}"
    if one.own_site:
        yield "  from      a page of the own site, or 403 cross_site"
    width = max(len(outcome.who) for outcome in one.outcomes)
    for outcome in one.outcomes:
        line = f"  {outcome.who.ljust(width)}  {outcome.page}"
        yield line if outcome.page == outcome.program else f"{line}; a program: {outcome.program}"


def explanation_data(method: str, path: str, one: Explanation) -> dict[str, object]:
    outcomes: Sequence[dict[str, str]] = [
        {"who": each.who, "page": each.page, "program": each.program} for each in one.outcomes
    ]
    return {
        "method": method,
        "path": path,
        "access": one.access.value,
        "demands": one.demand,
        "rule": one.rule,
        "ambiguous": one.ambiguous,
        "demanding": list(one.demanding),
        "ownSite": one.own_site,
        "outcomes": outcomes,
    }
