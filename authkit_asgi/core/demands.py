"""What a rule may demand of whoever is signed in: a confirmed address, scopes, a recent proof."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from authkit_asgi.core.identity import Identity
from authkit_asgi.errors import (
    AuthError,
    EmailNotVerified,
    MissingScope,
    ReauthenticationRequired,
)

Span: TypeAlias = str | float  # seconds, or a text such as `10m`

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SPAN = re.compile(r"([0-9]{1,6})([smhd])")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # a scope-token, RFC 6749 section 3.3


@dataclass(frozen=True, slots=True)
class Demand:
    """`fresh`: at most so many seconds ago the holder proved who it is; infinite: ever."""

    verified: bool = False
    scopes: frozenset[str] = frozenset()
    fresh: float = math.inf

    def __or__(self, other: Demand) -> Demand:
        """Both at once: the shorter time, and all scopes."""
        return Demand(
            self.verified or other.verified,
            self.scopes | other.scopes,
            min(self.fresh, other.fresh),
        )

    def lacking(self, who: Identity, *, now: float) -> AuthError | None:
        """What `who` lacks. What a password cannot cure comes first: nobody is asked for one in
        vain."""
        scopes = who.credentials.scopes
        if self.verified and "verified" not in scopes:
            return EmailNotVerified()
        if not self.scopes.issubset(scopes):
            return MissingScope(sorted(self.scopes))
        # A proof of another worker, whose clock is ahead, may lie in the future.
        if now - who.auth_time > self.fresh:
            return ReauthenticationRequired(self.fresh)
        return None

    @property
    def told(self) -> str:
        """In words, for people; empty, where nothing is demanded."""
        wanted = ["verified"] if self.verified else []
        wanted += [f"scope {scope}" for scope in sorted(self.scopes)]
        if self.fresh != math.inf:
            wanted.append(f"fresh {self.fresh:g}s")
        return ", ".join(wanted)


NOTHING = Demand()


def demand_of(*, verified: bool, scope: str | Iterable[str], fresh: Span | None) -> Demand:
    """Raises ValueError for what could not mean what its author thinks."""
    scopes = frozenset(scope.split() if isinstance(scope, str) else scope)
    for one in scopes:
        if not SCOPE.fullmatch(one):
            raise ValueError(f"scope={one!r} is no scope: write one word, or a list of words")
    return Demand(verified, scopes, math.inf if fresh is None else seconds_of(fresh))


def seconds_of(span: Span) -> float:
    """`"10m"` and `600` are ten minutes. Raises ValueError."""
    if isinstance(span, str) and (found := SPAN.fullmatch(span)):
        span = int(found[1]) * UNITS[found[2]]
    if isinstance(span, (str, bool)) or not 1 <= span < math.inf:
        raise ValueError(f"fresh={span!r}: write seconds, or a text like 30s, 10m, 12h or 7d")
    return float(span)
