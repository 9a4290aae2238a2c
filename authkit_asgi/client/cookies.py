"""The auth cookies of one origin, kept apart from the client's own jar.

A cookie jar knows hosts but no ports: what it holds for `https://app.example` it also sends to
`https://app.example:8443`, to whoever listens there. Auth cookies therefore never enter it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress

PREFIXES = ("__Host-", "__Secure-")


class AuthCookies:
    """The auth cookies held, by name as the server wrote it."""

    def __init__(self, names: Iterable[str], held: Mapping[str, str]) -> None:
        self._names = frozenset(names)
        self._held = dict(held)
        self._lock = threading.Lock()

    def held(self) -> dict[str, str]:
        return dict(self._held)

    def knows(self, name: str) -> bool:
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        return name in self._names

    def onto(self, header: str, held: Mapping[str, str]) -> str:
        """The Cookie header with the cookies of `held`, and those of `header` that are others.

        A server on another port of the same host may have put a `token` of its own into the
        client's jar: sent along, it could sign us in as somebody else.
        """
        pairs = (pair.strip() for pair in header.split(";"))
        kept = [pair for pair in pairs if pair and not self.knows(pair.partition("=")[0].strip())]
        return "; ".join(kept + [f"{name}={value}" for name, value in held.items()])

    def learn(self, headers: Iterable[str], *, sent: Mapping[str, str]) -> None:
        """Hold what the Set-Cookie headers of an answer say about auth cookies.

        `sent`: the cookies that the question carried. A late answer that deletes speaks of those:
        who has signed in again meanwhile stays signed in.
        """
        said = dict(pair for pair in map(parse, headers) if self.knows(pair[0]))
        with self._lock:
            if self._held != sent:
                said = {name: value for name, value in said.items() if value}
            known = self._held | said
            self._held = {name: value for name, value in known.items() if value}

    def forget(self, *, sent: Mapping[str, str]) -> None:
        with self._lock:
            if self._held == sent:
                self._held = {}


def parse(header: str) -> tuple[str, str]:
    """Name and value of a Set-Cookie header; no value when the header deletes the cookie.

    Servers delete by Max-Age (RFC 6265 section 5.2.2). Nothing else about a cookie's age is read:
    the client asks no clock, the server says when a token has run out.
    """
    pair, *attributes = header.split(";")
    name, _, value = pair.partition("=")
    return name.strip(), "" if any(map(_deletes, attributes)) else value.strip()


def _deletes(attribute: str) -> bool:
    name, _, value = attribute.partition("=")
    if name.strip().lower() == "max-age":
        with suppress(ValueError):
            return int(value) <= 0
    return False
