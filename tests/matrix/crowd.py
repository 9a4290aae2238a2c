"""What the crowd asks: who am I, from before and after others had their turn; and handlers that
raise, or take long."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from authkit_asgi import AuthKit


async def site(scope: Any, receive: Any, send: Any) -> None:
    before = scope["user"].identity
    if scope["path"] == "/raise":
        raise RuntimeError("as it was told to")
    await asyncio.sleep(0.2 if scope["path"] == "/slow" else 0)
    after = scope["user"].identity
    said = f"<{before} {after} {os.getpid()}>".encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": said})


app = AuthKit().wrap(site)
