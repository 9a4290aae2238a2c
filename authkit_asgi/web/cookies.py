"""Cookies, read and written as bytes without any second guess (RFC 6265bis).

What other parsers are kind to is how strangers smuggle a cookie in: quotes and percent signs are
not decoded, no white space but SP and HTAB is trimmed, names are exact and nameless ones ignored.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping

from authkit_asgi.sessions import TokenPair
from authkit_asgi.settings import DAY, Settings
from authkit_asgi.web.asgi import Headers

MAX_HEADER_BYTES = 16 * 1024
MAX_PAIRS = 100
MAX_COOKIE_BYTES = 4096  # RFC 6265bis section 5.6: browsers drop a larger one without a word
MAX_AGE = int(400 * DAY)  # RFC 6265bis section 5.5

BLANKS = b" \t"
SEMICOLON = b";"[0]
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")  # RFC 6265bis: cookie-octet
PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")

logger = logging.getLogger("authkit_asgi.cookies")


def read_cookie(headers: Headers, name: bytes) -> bytes | None:
    return read_cookies(headers, (name,))[0]


def read_cookies(headers: Headers, names: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
    """The values of these cookies, None for one that was not sent. As `values_in` reads them."""
    return values_in(_joined(headers), names)


def values_in(header: bytes, names: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
    """The values of these cookies in a Cookie header, None for one that is not there.

    All of them are None when one comes twice with different values: somebody on a sister domain may
    have planted the other, and neither the first nor the last is more to be believed. So they are
    when the header is larger than any honest one.
    """
    nothing: tuple[None, ...] = (None,) * len(names)
    if len(header) > MAX_HEADER_BYTES or header.count(b";") >= MAX_PAIRS:
        return nothing
    values: list[bytes | None] = []
    for name in names:
        found: bytes | None = None
        # Nothing is split: most of the header belongs to others.
        at = header.find(name)
        while at >= 0:
            equals = at + len(name)
            if header[equals : equals + 1] != b"=":
                equals = _past_blanks(header, equals)
            if header[equals : equals + 1] == b"=" and (
                header[at - 2 : at] == b"; " or _begins_a_pair(header, at)
            ):
                end = header.find(b";", equals)
                value = header[equals + 1 : end if end >= 0 else None].strip(BLANKS)
                if found is not None and found != value:
                    logger.warning(
                        "Cookie %s came twice with different values", name.decode("latin-1")
                    )
                    return nothing
                found = value
            at = header.find(name, at + 1)
        values.append(found)
    return tuple(values)


def _past_blanks(header: bytes, at: int) -> int:
    while at < len(header) and header[at] in BLANKS:
        at += 1
    return at


def _begins_a_pair(header: bytes, at: int) -> bool:
    while at and header[at - 1] in BLANKS:
        at -= 1
    return at == 0 or header[at - 1] == SEMICOLON


def rewrite_cookie_header(
    headers: Headers, new: Mapping[bytes, bytes]
) -> list[tuple[bytes, bytes]]:
    """The request's headers with these cookies instead of the ones of their names.

    An empty value takes the cookie away. All other cookies stay byte for byte as they were.
    """
    headers = list(headers)
    kept = [pair for name, _, pair in _pairs(_joined(headers)) if name not in new]
    added = [name + b"=" + value for name, value in new.items() if value]
    rewritten = [(name, value) for name, value in headers if name != b"cookie"]
    if kept or added:
        rewritten.append((b"cookie", b"; ".join(kept + added)))
    return rewritten


class CookieJar:
    """Writes the Set-Cookie headers of both auth cookies, and of the pages' small ones."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.prefix
        self.access_name = self.prefixed(settings.access_cookie)
        self.refresh_name = self.prefixed(settings.refresh_cookie)
        # Access, refresh, and perhaps the domain that they were for.
        self.former_names = settings.old_cookies[:2]
        former = f"; Domain={settings.old_cookies[2]}" if settings.old_cookies[2:] else ""
        self._domain = f"; Domain={settings.cookie_domain}" if settings.cookie_domain else ""
        secure = "; Secure" if settings.https else ""
        self._flags = f"; HttpOnly; SameSite={settings.cookie_samesite.capitalize()}{secure}"
        gone = f"=; Max-Age=0; Path=/{former}{self._flags}"
        self._former_gone = [name + gone for name in self.former_names]

    def prefixed(self, name: str) -> str:
        """The name under which a browser lets no sister domain and no plain http write."""
        return self._prefix + name

    def set_access(self, token: str, max_age: float) -> str:
        return self._auth_cookie(self.access_name, token, max_age)

    def set_refresh(self, token: str, max_age: float) -> str:
        return self._auth_cookie(self.refresh_name, token, max_age)

    def set_pair(self, pair: TokenPair, *, now: float) -> list[str]:
        """Both cookies, each for as long as its token, and those of former names away."""
        return [
            self.set_access(pair.access, pair.access_expires_at - now),
            self.set_refresh(pair.refresh, pair.refresh_expires_at - now),
            *self._former_gone,
        ]

    def clear(self) -> list[str]:
        """Both cookies, over. A browser drops one only if name, path, domain and flags agree."""
        names = (self.access_name, self.refresh_name)
        return [*(self._auth_cookie(name, "", 0) for name in names), *self._former_gone]

    def plain_cookie(self, name: str, value: str, *, max_age: float, path: str = "/") -> str:
        """Any other cookie, for this host only; without a value and with `max_age=0` it goes."""
        if not NAME.fullmatch(name) or not PATH.fullmatch(path):
            raise ValueError(f"{name!r} at {path!r} is not a cookie's name and path")
        if name.startswith("__Host-") and path != "/":
            raise ValueError(f"{name}: browsers drop it unless its path is /")
        return f"{_pair(name, value)}{_age(max_age)}; Path={path}{self._flags}"

    def _auth_cookie(self, name: str, token: str, max_age: float) -> str:
        return f"{_pair(name, token)}{_age(max_age)}; Path=/{self._domain}{self._flags}"


def _joined(headers: Headers) -> bytes:
    # HTTP/2 splits the header as it likes, and the servers leave it split.
    return b"; ".join([value for name, value in headers if name == b"cookie"])


def _pairs(header: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, value and the whole of each pair. One without a name is `=x` or `x`, and named b""."""
    for part in header.split(b";"):
        pair = part.strip(BLANKS)
        name, equals, value = pair.partition(b"=")
        if pair:
            yield (name.rstrip(BLANKS) if equals else b""), value.lstrip(BLANKS), pair


def _pair(name: str, value: str) -> str:
    # The value is a secret: no message shows it.
    if not VALUE.fullmatch(value):
        raise ValueError(f"The value of the cookie {name} holds characters that no cookie may hold")
    if len(name) + len(value) > MAX_COOKIE_BYTES:
        raise ValueError(
            f"The cookie {name} is over {MAX_COOKIE_BYTES} bytes, which browsers drop silently: "
            "put less into its token"
        )
    return f"{name}={value}"


def _age(seconds: float) -> str:
    # Whole seconds, rounded down: the cookie must not outlive what it stands for.
    return f"; Max-Age={max(0, int(min(seconds, MAX_AGE)))}"
