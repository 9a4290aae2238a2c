"""What an answer to somebody says to the caches on its way."""

from __future__ import annotations

from authkit_asgi.web.asgi import Message

RawHeaders = list[tuple[bytes, bytes]]

# What an answer with a fresh token in it must not say to any cache (SECURITY K-01).
CACHE_HEADERS = frozenset(
    (
        b"cache-control",
        b"surrogate-control",
        b"edge-control",
        b"x-accel-expires",
        b"expires",
        b"etag",
        b"last-modified",
        b"pragma",
    )
)

PRIVATE = (b"cache-control", b"private")
VARY_COOKIE = (b"vary", b"Cookie")


def is_for_caches(name: bytes) -> bool:
    # RFC 9213: each CDN may have a CDN-Cache-Control of its own name.
    return name in CACHE_HEADERS or name.endswith(b"cdn-cache-control")


def as_private(start: Message) -> Message:
    """The start of an answer to somebody, which is nobody else's: `private` where the app says
    nothing (SECURITY K-02)."""
    headers = list(start.get("headers", ()))
    says_nothing, varies = True, False
    for name, _ in headers:
        name = name.lower()
        if name == b"cache-control":
            says_nothing = False
        elif name == b"vary":
            varies = True
    if says_nothing:
        headers.append(PRIVATE)
    if varies:
        headers = varied(headers)
    else:
        headers.append(VARY_COOKIE)
    return {**start, "headers": headers}


def varied(headers: RawHeaders) -> RawHeaders:
    told = b",".join([value for name, value in headers if name.lower() == b"vary"]).lower()
    if not {b"cookie", b"*"} & {name.strip() for name in told.split(b",")}:
        headers.append(VARY_COOKIE)
    return headers
