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
# What most answers are made of, and no cache asks for leave.
HARMLESS = frozenset(
    (
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"date",
        b"server",
        b"location",
        b"set-cookie",
        b"x-content-type-options",
    )
)


def is_for_caches(name: bytes) -> bool:
    # RFC 9213: each CDN may have a CDN-Cache-Control of its own name.
    return name in CACHE_HEADERS or name.endswith(b"cdn-cache-control")


def as_private(start: Message) -> Message:
    """The start of an answer to somebody, which is nobody else's (SECURITY K-02).

    the app says              it goes out with
    ------------------------  --------------------------------------------------------------------
    nothing                   `private`
    `private` or `no-store`   what it says
    anything else             `private` before it, and without `public` and `s-maxage`
    to one kind of cache      nothing of it: such a header would overrule `private`
    """
    headers = start.get("headers", ())
    for name, _ in headers:
        if name not in HARMLESS:
            return {**start, "headers": _kept_from_caches(list(headers))}
    told = dict(start)
    told["headers"] = [*headers, PRIVATE, VARY_COOKIE]
    return told


def _kept_from_caches(headers: RawHeaders) -> RawHeaders:
    said: list[bytes] = []
    varies = overruled = False
    for name, value in headers:
        name = name.lower()
        if name == b"cache-control":
            said.append(value)
        elif name == b"vary":
            varies = True
        elif name[-7:] == b"control" or name == b"x-accel-expires":
            overruled = overruled or is_for_caches(name)
    if overruled:
        headers = [one for one in headers if not _is_for_some(one[0].lower())]
    if not said:
        headers.append(PRIVATE)
    elif (told := _unshared(said)) is not None:
        headers = [one for one in headers if one[0].lower() != b"cache-control"]
        headers.append((b"cache-control", told))
    if varies:
        return varied(headers)
    headers.append(VARY_COOKIE)
    return headers


def _is_for_some(name: bytes) -> bool:
    """Whether it is read by one kind of cache alone, in place of Cache-Control."""
    return (
        is_for_caches(name)
        and (name == b"x-accel-expires" or name[-8:] == b"-control")
        and (name != b"cache-control")
    )


def _unshared(said: list[bytes]) -> bytes | None:
    """What the app says of caching, for the visitor's own cache alone. None: it is already."""
    directives = [one.strip() for one in b",".join(said).split(b",") if one.strip()]
    names = [one.partition(b"=")[0].strip().lower() for one in directives]
    # With a list of fields `private="set-cookie"` lets the rest of the answer be shared.
    if any(one.lower() in (b"private", b"no-store") for one in directives):
        return None
    kept = [
        one
        for one, name in zip(directives, names, strict=True)
        if name not in (b"public", b"private", b"s-maxage")
    ]
    return b", ".join([b"private", *kept])


def varied(headers: RawHeaders) -> RawHeaders:
    told = b",".join([value for name, value in headers if name.lower() == b"vary"]).lower()
    if not {b"cookie", b"*"} & {name.strip() for name in told.split(b",")}:
        headers.append(VARY_COOKIE)
    return headers
