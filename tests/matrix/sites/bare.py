"""The matrix's site without a framework: the laxest reader of paths that we can think of.

It decodes again and again, turns backslashes, drops `;parameters`, blanks and controls, folds
slashes and dots, and does not mind case. Whatever a router makes of a path, this one has made it.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

from authkit_asgi.web.asgi import Receive, Scope, Send
from tests.matrix.marks import ANYBODY, FILES, guarded, members

PUBLIC = ("/open/", "/pub/", "/static/")


def folded(path: str) -> str:
    for _ in range(3):
        path = unquote(path)
    path = path.replace("\\", "/")
    if not path.startswith("/"):
        path = urlsplit(path).path or "/"
    path = re.sub(r"[\s\x00-\x1f\x7f-\x9f\ufffd]|[?#].*|;[^/]*", "", path).lower()
    return posixpath.normpath(re.sub("/+", "/", f"/{path}"))


def relative(scope: Scope) -> str:
    """The path behind the root, wherever that stands, and with no mind for where a segment ends."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.split(root, 1)[-1] if root else path


def answer(scope: Scope) -> tuple[int, str]:
    path = folded(relative(scope))
    if path in ("/", "/open") or path.startswith(PUBLIC):
        return 200, ANYBODY
    if path.startswith("/nowhere"):
        return 404, "nothing here"
    said = members(scope)
    name = path.removeprefix("/files/")
    return 200, (FILES / "closed" / "secret.txt").read_text() if name == "secret.txt" else said


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("this app does not speak lifespan")
    if scope.get("method") == "CONNECT":  # to say 200 would be to open a tunnel
        status, said = 405, "no tunnels here"
    else:
        status, said = answer(scope)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": said})
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})


app = guarded(site)
