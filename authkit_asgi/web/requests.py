"""What a request says about itself, out of its raw headers."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TypedDict

from authkit_asgi.events import Visitor
from authkit_asgi.settings import UNIX, Settings
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.visitor import Network, visitor_of

PATIENCE = "authkit.patience"  # in the scope: what the request has left of it for the store


class Site(TypedDict):
    """What tells whose site a request came from (see `core.origin.is_own_site`)."""

    sec_fetch_site: str | None
    origin: str | None
    referer: str | None
    own: str
    trusted: frozenset[str]
    has_cookie: bool
    content_type: str | None
    strict: bool


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


def site_of(scope: Scope, settings: Settings, *, has_cookie: bool) -> Site:
    def text(name: bytes) -> str | None:
        value = header(scope, name)
        return None if value is None else value.decode("latin-1")

    return Site(
        sec_fetch_site=text(b"sec-fetch-site"),
        origin=text(b"origin"),
        referer=text(b"referer"),
        own=settings.origin,
        trusted=frozenset(settings.trusted_origins),
        has_cookie=has_cookie,
        content_type=text(b"content-type"),
        strict=settings.strict_origin,
    )


def visitor_in(scope: Scope, settings: Settings) -> Visitor:
    proxies = settings.trusted_proxies
    return visitor_of(scope, _networks(proxies), unix=UNIX in proxies)


@lru_cache(maxsize=8)
def _networks(written: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in written if network != UNIX)
