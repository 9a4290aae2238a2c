"""Who may ask for which path, decided on the path that the routers see and on nothing else.

No URL is rebuilt from headers, nothing is decoded a second time and the method has no say. What no
rule names is protected, so where a router reads a path otherwise than we do, the request is refused
and nothing is opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import Enum
from urllib.parse import unquote

from authkit_asgi.core.demands import NOTHING, Demand, Span, demand_of

MAX_NEXT = 2048

DOT_SEGMENT = r"/\.{1,2}(?:/|\Z)"
CONTROLS = r"\x00-\x1f\x7f-\x9f"

# Each of these is read in two ways by two routers, proxies or file systems: `//` and `..` may be
# folded, and `/ /` and `.. ` with them (Windows drops blanks), `;x` gone, `\` turned over, `%`
# decoded again, a control character ends the line of a pattern. U+FFFD and the surrogates are what
# is left of a path that was not UTF-8.
FOLDED = r"//|/\s+(?:/|\Z)|/\s*\.\s*(?:\.\s*)?(?:/|\Z)"
STRANGE = re.compile(rf"{FOLDED}|[{CONTROLS}\\;#?%\ufffd\ud800-\udfff]")
ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)

PATTERN = re.compile(r"/[^*{}]*")
HOW_TO_WRITE = "write /docs for one path or /docs/* for what lies below it"

LEAVES_THE_SITE = re.compile(rf"//|{DOT_SEGMENT}|[{CONTROLS}\\]")


class Access(Enum):
    """Who may ask for a path. Ordered from the loosest to the strictest."""

    EXCLUDED = "excluded"  # not looked at
    PUBLIC = "public"  # anyone
    AUTH = "auth"  # visitors only: whoever is signed in is sent home
    PROTECTED = "protected"  # whoever is signed in


STRICTNESS = {access: rank for rank, access in enumerate(Access)}


def stricter(one: Access, other: Access) -> Access:
    return max(one, other, key=STRICTNESS.__getitem__)


def is_path(path: str) -> bool:
    """Whether a request target is a path: servers pass on `http://evil/x`, `*` and `@evil` too."""
    return path.startswith("/")


def tells_of_a_separator(raw_path: bytes) -> bool:
    """Whether a slash or backslash is encoded in it, which some routers take for a letter."""
    return b"%" in raw_path and bool(ENCODED_SEPARATOR.search(raw_path.partition(b"?")[0]))


def is_ambiguous(path: str, raw_path: bytes | None = None) -> bool:
    """Whether two routers may read it in two ways, so that no pattern can open it."""
    return bool(STRANGE.search(path)) or bool(raw_path and tells_of_a_separator(raw_path))


class Rule:
    """A pattern among `protected` that demands more than somebody signed in.

        Rule("/billing/*", verified=True)          a confirmed e-mail address
        Rule("/admin", "/admin/*", scope="admin")  a scope, or each of several
        Rule("/settings/*", fresh="10m")           a proof of who it is, not older than that

    `fresh` is in seconds, or a text such as `30s`, `10m`, `12h`, `7d`. Of several rules that cover
    a path each one applies. Raises ValueError for a demand that could not mean what its author
    thinks.
    """

    __slots__ = ("demand", "patterns")

    def __init__(
        self,
        *patterns: str,
        verified: bool = False,
        scope: str | Iterable[str] = (),
        fresh: Span | None = None,
    ) -> None:
        if not patterns:
            raise ValueError("Rule() names no path")
        self.patterns = patterns
        self.demand = demand_of(verified=verified, scope=scope, fresh=fresh)

    def __repr__(self) -> str:
        return f"Rule({', '.join(map(repr, self.patterns))}: {self.demand.told or 'signed in'})"


class PathRules:
    """Which paths are public, for visitors only, protected, or not looked at.

    A pattern is one exact path (`/docs`), or covers what lies below one (`/docs/*`, not `/docs`
    itself). The most specific pattern wins: exact over below, longer over shorter. What none names
    gets the `default`. Among `protected` a `Rule` may demand more; every one that covers a path
    applies, however specific another is, and a path that routers read in two ways has to meet what
    is demanded of either. `login` is where a visitor is sent to sign in, `home` where a sign-in
    leads, `reauthenticate` where somebody is sent who signed in too long ago; without them they are
    the kit's own pages. Raises ValueError for a pattern that could not mean what its author thinks.
    """

    def __init__(
        self,
        *,
        public: Iterable[str] = (),
        auth: Iterable[str] = (),
        protected: Iterable[str | Rule] = (),
        exclude: Iterable[str] = (),
        default: str = "protected",
        login: str | None = None,
        home: str | None = None,
        reauthenticate: str | None = None,
    ) -> None:
        if default not in ("protected", "public"):
            raise ValueError(f"default={default!r}: must be 'protected' or 'public'")
        for target in (login, home, reauthenticate):
            if target is not None and safe_next(target) is None:
                raise ValueError(f"{target!r} is not a path of this site, like /user/login")
        self.default = Access(default)
        self._wanted = (login, home, reauthenticate)
        self.login = login or "/user/login"
        self.home = home or "/user/dashboard"
        self.reauthenticate = reauthenticate or "/user/reauthenticate"
        plain, self.demands = _parted(protected)
        self._free = frozenset((self.reauthenticate,))
        lists = {
            Access.PUBLIC: public,
            Access.AUTH: auth,
            Access.PROTECTED: plain,
            Access.EXCLUDED: exclude,
        }
        self._compile(_gathered(lists))
        self.given: Mapping[str, Access] = self._rules  # without what the kit brings

    def with_own(
        self, own: Mapping[str, Access], *, pages: str = "/user", free: Iterable[str] = ()
    ) -> PathRules:
        """These rules and the kit's own, which win where both name the same pattern.

        `login`, `home` and `reauthenticate` are the kit's, below `pages`, where these rules name
        none. Nothing is demanded on the `free` paths: there one comes by what is.
        """
        login, home, reauthenticate = self._wanted
        rules = PathRules(
            default=self.default.value,
            login=login or f"{pages}/login",
            home=home or f"{pages}/dashboard",
            reauthenticate=reauthenticate or f"{pages}/reauthenticate",
        )
        rules.demands, rules.given = self.demands, self.given
        rules._free = frozenset((rules.reauthenticate, *free))
        rules._compile({**self._rules, **{_checked(pattern): own[pattern] for pattern in own}})
        return rules

    @property
    def patterns(self) -> Mapping[str, Access]:
        """Every pattern, with what it says."""
        return self._rules

    @property
    def has_own_reauthentication(self) -> bool:
        """Whether a page other than the kit's is named for it."""
        return self._wanted[2] is not None

    def match(self, path: str, root_path: str = "", raw_path: bytes | None = None) -> Access:
        """Who may ask for `path`; all three arguments are the ASGI scope's keys of that name.

        `raw_path` never opens anything. It tells of an encoded slash, which a router that goes by
        it takes for a letter: `/public%2Fx` is one segment then, not what lies below `/public`.
        """
        return self.ruling(path, root_path, raw_path)[0]

    def ruling(
        self, path: str, root_path: str = "", raw_path: bytes | None = None
    ) -> tuple[Access, Demand | None]:
        """As `match`, and what is demanded of whoever is signed in; None: nothing more.

        What is demanded is found by the decoded path: whatever a router takes for a letter, the
        patterns that cover its reading cover this one too.
        """
        if raw_path and tells_of_a_separator(raw_path):
            return Access.PROTECTED, self._demanded_of(path, root_path)
        access = self._match(path, root_path)
        demand = self._demanded_of(path, root_path) if access is Access.PROTECTED else None
        return access, demand

    def reasons(
        self, path: str, root_path: str = "", raw_path: bytes | None = None
    ) -> tuple[str | None, list[str]]:
        """What stands behind a `ruling`, for people: the pattern that decides, or None where no
        pattern does; and the patterns of the rules that demand something."""
        reading = readings(path, root_path)[0]
        rule = self._closing_in_another_case(reading) or self._naming(reading)
        if is_ambiguous(path, raw_path):
            rule = None
        return rule, [pattern for pattern, _ in self._demanding(path, root_path)]

    def _compile(self, rules: dict[str, Access]) -> None:
        self._rules = rules
        self._exact = {rule: access for rule, access in rules.items() if rule[-1] != "*"}
        below = [(rule[:-1], access) for rule, access in rules.items() if rule[-1] == "*"]
        self._below = sorted(below, key=lambda pair: len(pair[0]), reverse=True)
        self._closing = [rule for rule, access in rules.items() if access is Access.PROTECTED]
        self._is_folded = all(_folded(rule) == rule for rule in self._closing)

    def _match(self, path: str, root_path: str) -> Access:
        """The stricter of all the ways in which a router may read `path` (SECURITY P-10).

        root_path  path        read as
        ---------  ----------  ----------------------------------------------------------------
        none       any         itself
        /api       /docs       itself: the server had cut the root off
        /api       /api/docs   /docs; a rule may name /api/docs as well, but only to close it
        /api       /apiadmin   itself (Starlette), or /admin (routers that forget the boundary)
        /api       /x/api/y    itself, or /y: Litestar cuts at the first /api, wherever it stands
        """
        if not is_path(path) or STRANGE.search(path):
            return Access.PROTECTED
        first, *more = readings(path, root_path)
        access = self._judge(first)
        if not more:
            return access
        if first is path:
            return stricter(access, self._judge(more[0]))
        return stricter(access, self._named(path) or access)

    def _demanded_of(self, path: str, root_path: str) -> Demand | None:
        """All at once, of every rule that covers `path` as anybody may read it."""
        demand = NOTHING
        for _, one in self._demanding(path, root_path):
            demand |= one
        return None if demand == NOTHING else demand

    def _demanding(self, path: str, root_path: str) -> list[tuple[str, Demand]]:
        if not self.demands:
            return []
        if not is_path(path) or STRANGE.search(path):
            return list(self.demands)  # nobody can tell which of them a router will be led to
        read = readings(path, root_path)
        if read[0] in self._free:
            return []
        return [rule for rule in self.demands if any(_covers(rule[0], one) for one in read)]

    def _judge(self, path: str) -> Access:
        access = self._judge_letters(path)
        return Access.PROTECTED if self._closing_in_another_case(path) else access

    def _closing_in_another_case(self, path: str) -> str | None:
        """Where a router or a file system does not tell upper from lower case, `/x/PRIVATE` is
        `/x/private`. A pattern that closes the one closes the other, unless a pattern more specific
        opens it to the letter (SECURITY P-09)."""
        if path in self._exact or (self._is_folded and _folded(path) == path and ":" not in path):
            return None
        decides = _specificity(self._naming(path) or "*")
        covering = (rule for rule in self._closing if _covers(rule, path))
        return next((rule for rule in covering if _specificity(rule) > decides), None)

    def _judge_letters(self, path: str) -> Access:
        """Some routers serve `/admin` at `/admin/` too, so one is as strict as the other (P-08).

        Only a rule that names a path exactly, slash included, may differ from the default.
        """
        access = self._named(path) or self.default
        if path == "/":
            return access
        if path[-1] != "/" or path in self._exact:
            twin = path[:-1] if path[-1] == "/" else f"{path}/"
            return stricter(access, self._exact.get(twin, access))
        return stricter(access, self._named(path[:-1]) or self.default)

    def _named(self, path: str) -> Access | None:
        if path in self._exact or path == "/":
            return self._exact.get(path)
        return next((access for below, access in self._below if path.startswith(below)), None)

    def _naming(self, path: str) -> str | None:
        """The pattern by which `_named` decides."""
        if path in self._exact or path == "/":
            return path if path in self._exact else None
        return next((f"{below}*" for below, _ in self._below if path.startswith(below)), None)


def readings(path: str, root_path: str) -> list[str]:
    """As what routers may read `path` below a root; what most of them read comes first."""
    if not root_path or root_path not in path:
        return [path]
    before, _, rest = path.partition(root_path)
    if before:
        return [path, f"/{rest.removeprefix('/')}"]
    if rest and rest[0] != "/":
        return [path, f"/{rest}"]
    return [rest or "/", path]


def safe_next(value: object) -> str | None:
    """`value` if it is one path on this site, fit for a redirect after sign-in; otherwise None.

    Browsers take `//evil`, `/\\evil` and `/<tab>/evil` for another site, and a proxy that tidies
    up `/..//evil` or decodes `/%2fevil` makes them do so. It is ASCII, as every Location is.
    Ask again when the value is used.
    """
    if not isinstance(value, str) or not value.startswith("/") or len(value) > MAX_NEXT:
        return None
    if not (value.isascii() and value.isprintable()) or " " in value or "\\" in value:
        return None
    path = re.split("[?#]", value, maxsplit=1)[0]
    if LEAVES_THE_SITE.search(path) or LEAVES_THE_SITE.search(unquote(path)):
        return None
    return value


def _covers(pattern: str, path: str) -> bool:
    """Whether a rule's demand holds for `path`. As wide as any router or file system may read it:
    in upper or lower case, with or without a slash at its end, and by the names that Windows has
    for a file, where `x:y` is a part of the file `x` (SECURITY P-08, P-09)."""
    pattern, path = _folded(pattern), _folded(path)
    readings = [path]
    if ":" in path:
        readings.append(_folded("/".join(part.partition(":")[0] for part in path.split("/"))))
    if pattern[-1] != "*":
        names = (pattern, f"{pattern}/", pattern.removesuffix("/") or "/")
        return any(one in names for one in readings)
    return path != "/" and any(one.startswith(pattern[:-1]) for one in readings)


def _specificity(pattern: str) -> tuple[bool, int]:
    return pattern[-1] != "*", len(pattern)


def _folded(text: str) -> str:
    """As lax file systems read it: in any case, however letters are composed, and without dots and
    blanks at a segment's end."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    if "." in text or " " in text:
        text = "/".join(part.rstrip(". ") for part in text.split("/"))
    return text


def _parted(protected: Iterable[str | Rule]) -> tuple[list[str], list[tuple[str, Demand]]]:
    """The patterns alone, and what is demanded where."""
    if isinstance(protected, str | Rule):
        raise ValueError(f"{protected!r}: give a list of patterns")
    patterns: list[str] = []
    demands: list[tuple[str, Demand]] = []
    for one in protected:
        if isinstance(one, str):
            patterns.append(one)
        else:
            patterns += one.patterns
            demands += ((pattern, one.demand) for pattern in one.patterns)
    return patterns, [rule for rule in demands if rule[1] != NOTHING]


def _gathered(lists: Mapping[Access, Iterable[str]]) -> dict[str, Access]:
    rules: dict[str, Access] = {}
    for access, patterns in lists.items():
        if isinstance(patterns, str):
            raise ValueError(f"{patterns!r}: give a list of patterns")
        for pattern in patterns:
            if isinstance(pattern, Rule):
                raise ValueError(f"{pattern!r}: only protected paths can demand something")
            if rules.setdefault(_checked(pattern), access) is not access:
                raise ValueError(f"{pattern!r} stands in two lists: {rules[pattern].value} too")
    return rules


def _checked(pattern: str) -> str:
    path = pattern[:-1] if pattern.endswith("/*") else pattern
    if not PATTERN.fullmatch(path) or STRANGE.search(path):
        raise ValueError(f"{pattern!r} is not a pattern: {HOW_TO_WRITE}")
    return pattern
