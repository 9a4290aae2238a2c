"""Answers, as plain ASGI: JSON of one shape, refusals, redirects. Each is an ASGI app of its
own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from authkit_asgi.errors import AuthError
from authkit_asgi.web.asgi import Receive, Scope, Send
from authkit_asgi.web.routes import Reply

# Nothing we say is for a cache, and none of it is anything but what it says it is.
COMMON = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Cookie, Origin, Sec-Fetch-Site"),
    (b"x-content-type-options", b"nosniff"),
)

RESPONSE = "http.response.start", "http.response.body"
DENIAL = "websocket.http.response.start", "websocket.http.response.body"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer. `cookies` are whole Set-Cookie values. May be given many times."""

    status: int
    body: bytes = b""
    headers: Iterable[tuple[str, str]] = ()
    cookies: Iterable[str] = field(default=(), repr=False)

    @cached_property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        named = (
            ("Content-Length", str(len(self.body))),
            *self.headers,
            *(("Set-Cookie", cookie) for cookie in self.cookies),
        )
        return (*COMMON, *map(_raw, named))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an http request, or deny a WebSocket's handshake with the same answer."""
        start, end = DENIAL if scope["type"] == "websocket" else RESPONSE
        body = b"" if scope.get("method") == "HEAD" else self.body
        await send({"type": start, "status": self.status, "headers": list(self.raw_headers)})
        await send({"type": end, "body": body})


def _raw(header: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = header
    return name.lower().encode("latin-1"), value.encode("latin-1")


def json_answer(
    payload: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    cookies: Iterable[str] = (),
) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(payload, ensure_ascii=False).encode(),
        headers=(("Content-Type", "application/json; charset=utf-8"), *headers),
        cookies=cookies,
    )


def good(reply: Reply) -> Answer:
    if reply.document is not None:
        return json_answer(reply.document, status=reply.status)
    payload: dict[str, Any] = {"success": True, "message": reply.message}
    if reply.data is not None:
        payload["data"] = reply.data
    return json_answer(payload, status=reply.status, cookies=reply.cookies)


def refusal(
    error: AuthError, *, cookies: Iterable[str] = (), headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    payload = {"success": False, "error": str(error), "code": error.code, **error.details}
    return json_answer(
        payload,
        status=error.status,
        headers=(*error.headers.items(), *headers),
        cookies=cookies,
    )


def fault(reference: str) -> Answer:
    """A fault of ours: what happened stands in the log under `reference`, never in the answer."""
    message = "Something went wrong on our side. It has been noted."
    payload = {"success": False, "error": message, "code": "internal", "reference": reference}
    return json_answer(payload, status=500)


def redirect(location: str, *, cookies: Iterable[str] = ()) -> Answer:
    """See Other: the browser goes on with GET and never sends a form twice (RFC 9700 section
    4.12)."""
    return Answer(status=303, headers=(("Location", location),), cookies=cookies)
