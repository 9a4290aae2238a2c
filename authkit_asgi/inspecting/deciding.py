"""What the rules say of each route, what is wrong with the rules, and what becomes of a request."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from authkit_asgi.core.demands import Demand
from authkit_asgi.core.identity import OWN_SCOPES, Credentials, Identity
from authkit_asgi.core.origin import SAFE_METHODS
from authkit_asgi.core.paths import Access, PathRules, is_ambiguous, is_path, safe_next
from authkit_asgi.errors import AuthError, BadPath, NotSignedIn, ReauthenticationRequired
from authkit_asgi.inspecting import ANY, REST, Found
from authkit_asgi.inspecting.walking import Site

HANDSHAKE = "WEBSOCKET"  # in place of a method
NOW = 1e9  # any moment: only the distance to a proof counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`rule` is the pattern that decides; None: no rule names the route. `varies`: patterns that
    say something else of a part of it."""

    route: Found
    access: Access
    demand: str
    rule: str | None
    demanding: tuple[str, ...]
    varies: tuple[str, ...]
    own: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """`code` is `matches_nothing`, `shadowed`, `unclassified` or `unreadable`."""

    code: str
    what: str
    tells: str


def decisions(site: Site) -> list[Decision]:
    return [_decided(route, site) for route in site.routes]


def _decided(route: Found, site: Site) -> Decision:
    rules = site.rules
    access, demand = rules.ruling(route.probe)
    rule, demanding = rules.reasons(route.probe)
    varies = [
        pattern
        for pattern in _patterns(rules)
        if (meeting := _meeting(pattern, route)) is not None
        and rules.ruling(meeting) != (access, demand)
    ]
    return Decision(
        route=route,
        access=access,
        demand=demand.told if demand else "",
        rule=rule,
        demanding=tuple(demanding) if demand else (),
        varies=tuple(varies),
        own=route in site.own,
    )


def faults(site: Site) -> Iterator[Fault]:
    """What one did not mean when writing the rules."""
    for pattern in _patterns(site.rules):
        meetings = [
            meeting for route in site.routes if (meeting := _meeting(pattern, route)) is not None
        ]
        if not meetings:
            yield Fault("matches_nothing", pattern, "no route answers to a path that it covers")
        elif not any(_counts(pattern, meeting, site.rules) for meeting in meetings):
            yield Fault("shadowed", pattern, "other rules decide on every route that it covers")
    for one in decisions(site):
        if one.route.kind == "unreadable":
            yield Fault("unreadable", one.route.path, "nobody can tell what it answers to")
        elif one.rule is None and not one.own:
            default = site.rules.default.value
            yield Fault("unclassified", one.route.path, f"no rule names it: {default} by default")


def _patterns(rules: PathRules) -> list[str]:
    """Those of the app, without what the kit brings."""
    return list(dict.fromkeys((*rules.given, *(pattern for pattern, _ in rules.demands))))


def _counts(pattern: str, path: str, rules: PathRules) -> bool:
    """Whether a pattern has a say on `path`: it decides, or adds to what is demanded."""
    decides, demanding = rules.reasons(path)
    if rules.match(path) is Access.PROTECTED and pattern in demanding:
        return True
    return decides == pattern and rules.patterns[pattern] is rules.given.get(pattern)


def _meeting(pattern: str, route: Found) -> str | None:
    """A path that the pattern covers and the route answers to, as general as can be; or None."""
    below = pattern.endswith("/*")
    wanted = pattern.removesuffix("/*").split("/")[1:] if pattern != "/*" else []
    path: list[str] = []
    segments = list(route.segments)
    for position, segment in enumerate(wanted):
        if position >= len(segments):
            return None
        if segments[position] == REST:
            path += wanted[position:]
            return "/" + "/".join([*path, REST] if below else path)
        if segments[position] not in (ANY, segment):
            return None
        path.append(segment)
    left = segments[len(wanted) :]
    if below:
        # `/docs/*` is what lies below `/docs`, and `/*` does not name `/`.
        return "/" + "/".join([*path, *left]) if left and left != [""] else None
    if left in ([], [REST]):
        return "/" + "/".join(path)
    return None


# --- one request ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a request, sent by a page's visitor and by a program."""

    who: str
    page: str
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    access: Access
    demand: str
    rule: str | None
    ambiguous: bool  # may be read in two ways: protected, whatever the rules say
    demanding: tuple[str, ...]
    own_site: bool  # it must come from a page of our own
    outcomes: tuple[Outcome, ...]


def explanation(rules: PathRules, method: str, target: str) -> Explanation:
    """`target` as it stands in a request: encoded, and with a query."""
    encoded, _, query = target.partition("?")
    raw_path = encoded.encode("utf-8", "surrogateescape")
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    access, demand = rules.ruling(path, "", raw_path)
    rule, demanding = rules.reasons(path, "", raw_path)
    back = ""
    if method in ("GET", "HEAD"):
        wanted = quote(path, errors="replace") + (f"?{query}" if query else "")
        back = "?next=" + quote(wanted, safe="/") if safe_next(wanted) else ""
    visitors = _visitors(demand)
    return Explanation(
        access=access,
        demand=demand.told if demand else "",
        rule=rule,
        ambiguous=is_ambiguous(path, raw_path),
        demanding=tuple(demanding) if demand else (),
        own_site=access is Access.PROTECTED and method not in SAFE_METHODS,
        outcomes=tuple(
            Outcome(who, *_outcome(rules, access, demand, identity, method, path, back))
            for who, identity in visitors
        ),
    )


def _visitors(demand: Demand | None) -> list[tuple[str, Identity | None]]:
    more = sorted((demand.scopes if demand else frozenset()) - OWN_SCOPES)
    admin = ["admin"] if demand and "admin" in demand.scopes else []
    people: list[tuple[str, Identity | None]] = [
        ("anonymous", None),
        ("signed in", _somebody("authenticated", "verified")),
        ("unverified", _somebody("authenticated")),
        ("stale", _somebody("authenticated", "verified", *admin, *more, proved=-math.inf)),
    ]
    if admin or more:
        all_scopes = _somebody("authenticated", "verified", *admin, *more)
        people.append((f"with {' '.join([*admin, *more])}", all_scopes))
    return people


def _somebody(*scopes: str, proved: float = NOW) -> Identity:
    return Identity(
        id="",
        session_id="",
        generation=0,
        epoch=0,
        expires_at=0,
        auth_time=int(max(proved, 0)),
        credentials=Credentials(scopes),
    )


def _outcome(
    rules: PathRules,
    access: Access,
    demand: Demand | None,
    who: Identity | None,
    method: str,
    path: str,
    back: str,
) -> tuple[str, str]:
    passes = "passes, " + ("as nobody" if who is None else "with a name")
    if not is_path(path):
        return _both(_told(BadPath()))
    if access is Access.EXCLUDED:
        return _both("passes, not looked at")
    if access is Access.AUTH and who is not None and method != HANDSHAKE:
        return _both(f"303 {rules.home}")
    if access is not Access.PROTECTED:
        return _both(passes)
    lack: AuthError | None = NotSignedIn()
    if who is not None:
        lack = demand.lacking(who, now=NOW) if demand else None
    if lack is None:
        return _both(passes)
    refused = _told(lack)
    page = rules.login if who is None else rules.reauthenticate
    leads = isinstance(lack, NotSignedIn | ReauthenticationRequired)
    if leads and method in ("GET", "HEAD") and path != page:
        return f"303 {page}{back}", refused
    return refused, refused


def _both(told: str) -> tuple[str, str]:
    return told, told


def _told(error: AuthError) -> str:
    return f"{error.status} {error.code}"
