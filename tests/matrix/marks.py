"""What the sites of the matrix have in common: the rules, the guard, and marks of what was reached.

Each handler says that it was reached, to the client and in the server's log. So it is seen even
where the server sends no answer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send

FILES = Path(__file__).parent / "files"
MEMBERS = "MEMBERS-ONLY"  # stands in closed/secret.txt, too
ANYBODY = "FOR-ANYBODY"
SEEN = b"x-guarded"  # on all that comes out of the app: what lacks it, the server said itself
ROOT = b"x-matrix-root"
LOGGED = "reached for members"

REACHED: list[str] = []  # the same, for whoever runs a site in the own process

RULES = PathRules(public=["/", "/open", "/open/*", "/pub/*", "/static/*"])


def guarded(site: ASGIApp) -> ASGIApp:
    return _seen(_rooted(AuthKit().wrap(site, RULES)))


def members(scope: Mapping[str, object]) -> str:
    """What a protected handler says. It notes whether it was reached with an identity."""
    who = scope["user"]
    signed_in = getattr(who, "is_authenticated", False)
    note = f"{LOGGED}: {'somebody' if signed_in else 'NOBODY'} {scope['path']!a}"
    REACHED.append(note)
    print(note, file=sys.stderr, flush=True)
    return MEMBERS


def _rooted(app: ASGIApp) -> ASGIApp:
    """As behind a proxy that mounts the app: the root path is what the test says."""

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", ()):
            if name == ROOT:
                scope = {**scope, "root_path": value.decode()}
        await app(scope, receive, send)

    return rooted


def _seen(app: ASGIApp) -> ASGIApp:
    async def seen(scope: Scope, receive: Receive, send: Send) -> None:
        async def marking(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = [*message.get("headers", ()), (SEEN, b"yes")]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send if scope["type"] == "lifespan" else marking)

    return seen
