"""The guard starts and stops with the server, whatever the app makes of ASGI's lifespan."""

from __future__ import annotations

import logging

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.guard_services import GuardServices
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from authkit_asgi.web.believing import UVICORN_BELIEVES_ANYBODY, uvicorn_believes_anybody

logger = logging.getLogger("authkit_asgi.middleware")


async def lifespan(
    app: ASGIApp, guard: GuardServices, scope: Scope, receive: Receive, send: Send
) -> None:
    """Start and stop with the server, whether the wrapped app speaks lifespan or refuses it."""
    asked, answered = False, False

    async def hear() -> Message:
        nonlocal asked
        message = await receive()
        if message["type"] == "lifespan.startup":
            asked = True
            if not guard.settings.on_loopback and uvicorn_believes_anybody():
                logger.warning(UVICORN_BELIEVES_ANYBODY)
            await _start_early(guard)
        return message

    async def tell(message: Message) -> None:
        nonlocal answered
        answered = True
        if message["type"] != "lifespan.startup.complete":  # over, or it never began
            await guard.stop()
        await send(message)

    try:
        await app(scope, hear, tell)
    except Exception as error:
        # Django raises on a lifespan scope; whoever has answered once does speak it, and failed.
        if answered:
            raise
        logger.info("The app does not speak lifespan: %s", type(error).__name__)
    if answered:
        return
    if not asked:
        await hear()
    await tell({"type": "lifespan.startup.complete"})
    while (await receive())["type"] != "lifespan.shutdown":
        pass
    await tell({"type": "lifespan.shutdown.complete"})


async def _start_early(guard: GuardServices) -> None:
    try:
        await guard.start()
    except StoreUnavailable:
        logger.warning("The store does not answer yet: the first request that needs it tries again")
