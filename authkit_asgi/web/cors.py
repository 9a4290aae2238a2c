"""Leave for pages of trusted origins to ask and to read the answer (Fetch, "CORS protocol").

An origin gets leave by its name in the settings: never `*`, never an echo of what nobody listed,
never `null` (SECURITY X-08).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from authkit_asgi.web.asgi import Message, Scope, Send
from authkit_asgi.web.replies import Answer
from authkit_asgi.web.requests import header

REMEMBERED = "600"  # seconds that a browser asks no second time
TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}"  # RFC 9110 section 5.6.2
METHOD = re.compile(TOKEN)
NAMES = re.compile(rf"{TOKEN}(?:[ \t]*,[ \t]*{TOKEN}){{0,63}}")


class Cors:
    """What pages of these origins may do, with the cookies of whoever is signed in."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = frozenset(origin.encode() for origin in trusted)

    def __bool__(self) -> bool:
        return bool(self._trusted)

    def preflight(self, scope: Scope) -> Answer | None:
        """The answer to a preflight of theirs, for which no app is asked (SECURITY P-12). None: it
        is something else, or not theirs."""
        origin = self._origin(scope)
        wanted = _text(scope, b"access-control-request-method")
        if scope["method"] != "OPTIONS" or origin is None or not METHOD.fullmatch(wanted):
            return None
        headers = [
            ("Access-Control-Allow-Origin", origin.decode("ascii")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Allow-Methods", wanted),
            ("Access-Control-Max-Age", REMEMBERED),
        ]
        names = _text(scope, b"access-control-request-headers")
        if NAMES.fullmatch(names):
            headers.append(("Access-Control-Allow-Headers", names))
        return Answer(status=200, headers=headers)

    def adding(self, scope: Scope, send: Send) -> Send:
        """`send`, with leave to read the answer. What the app itself says of that holds."""
        origin = self._origin(scope)

        async def allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _allowed(message.get("headers", ()), origin)}
            await send(message)

        return allowing

    def _origin(self, scope: Scope) -> bytes | None:
        sent = [value for name, value in scope["headers"] if name == b"origin"]
        return sent[0] if len(sent) == 1 and sent[0] in self._trusted else None


def _allowed(
    sent: Iterable[tuple[bytes, bytes]], origin: bytes | None
) -> list[tuple[bytes, bytes]]:
    headers = list(sent)
    names = {name.lower() for name, _ in headers}
    if origin is not None and b"access-control-allow-origin" not in names:
        headers.append((b"access-control-allow-origin", origin))
        headers.append((b"access-control-allow-credentials", b"true"))
    told = b",".join(value for name, value in headers if name.lower() == b"vary").lower()
    if not {b"origin", b"*"} & {name.strip() for name in told.split(b",")}:
        headers.append((b"vary", b"Origin"))
    return headers


def _text(scope: Scope, name: bytes) -> str:
    return (header(scope, name) or b"").decode("latin-1")
