"""`/.well-known/jwks.json`: the public keys of access tokens, for whoever verifies them (RFC 7517
section 5).

With secrets (HS256) there is nothing to publish, and the list is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from authkit_asgi.web.asgi import Receive, Scope, Send

JWKS_PATH = "/.well-known/jwks.json"  # RFC 8615
MAX_AGE = 60  # seconds: so much longer may a retired key be believed behind a cache

HEADERS = [
    (b"content-type", b"application/jwk-set+json"),  # RFC 7517 section 8.5.2
    (b"cache-control", b"public, max-age=%d" % MAX_AGE),
    (b"access-control-allow-origin", b"*"),  # anybody may read what everybody knows
    (b"x-content-type-options", b"nosniff"),
]


class PublicKeys:
    """The document, as an ASGI app. Not a function: Starlette's `Route` would take that for an
    endpoint."""

    def __init__(self, keys: Iterable[Mapping[str, str]]) -> None:
        self._body = json.dumps({"keys": list(keys)}).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = 200, HEADERS, self._body
        if scope["method"] not in ("GET", "HEAD"):
            status, headers, body = 405, [(b"allow", b"GET, HEAD")], b""
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})
