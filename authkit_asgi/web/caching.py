"""What an answer to somebody says to the caches on its way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from authkit_asgi.web.asgi import Message, Send

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


def is_for_caches(name: bytes) -> bool:
    # RFC 9213: each CDN may have a CDN-Cache-Control of its own name.
    return name in CACHE_HEADERS or name.endswith(b"cdn-cache-control")


def private(send: Send, begin: Callable[[Send], Send]) -> Send:
    """Answers to somebody are nobody else's: `private` where the app says nothing (SECURITY
    K-02). One of no known length is sent as `begin` says."""

    def wrapped(message: Message) -> Awaitable[None]:
        nonlocal send
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            named = {name.lower() for name, _ in headers}
            if b"cache-control" not in named:
                headers.append((b"cache-control", b"private"))
            if b"vary" not in named:
                headers.append((b"vary", b"Cookie"))
            else:
                headers = varied(headers)
            message = {**message, "headers": headers}
            if b"content-length" not in named:
                send = begin(send)
        return send(message)

    return wrapped


def varied(headers: RawHeaders) -> RawHeaders:
    told = b",".join([value for name, value in headers if name.lower() == b"vary"]).lower()
    if not {b"cookie", b"*"} & {name.strip() for name in told.split(b",")}:
        headers.append((b"vary", b"Cookie"))
    return headers
