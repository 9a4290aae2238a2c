"""Live WebSockets: each belongs to its session, and is closed with 4401 when that is over.

A rotation never disturbs one: it is the session that counts, not the token that opened the socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from authkit_asgi.core.identity import Identity
from authkit_asgi.core.rotation import is_over
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.sessions import Sessions
from authkit_asgi.settings import Settings
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send

CLOSED = {"type": "websocket.close", "code": 4401, "reason": "signed out"}


class LiveSockets:
    """`catch_up` brings the worker's knowledge of ended sessions up to date."""

    def __init__(
        self,
        sessions: Sessions,
        settings: Settings,
        clock: Callable[[], float],
        catch_up: Callable[[float], Awaitable[None]],
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._clock = clock
        self._catch_up = catch_up

    async def run(
        self, app: ASGIApp, identity: Identity, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The app's socket, until either is done: the app, or the identity's session."""
        over = False
        failure: Exception | None = None

        async def tell(message: Message) -> None:
            if over:  # as a server says it of a connection that is closed
                raise OSError("The session is over, and the socket closed.")
            await send(message)

        async def watch() -> None:
            nonlocal over
            await self._until_over(identity)
            over = True
            with suppress(OSError, RuntimeError):  # the client was quicker
                await send(dict(CLOSED))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                await app(scope, receive, tell)
            except Exception as error:  # kept out of the group, which would wrap it up
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None and not over:
            raise failure

    async def _until_over(self, identity: Identity) -> None:
        """Return when the session has ended or run out. An outage ends nothing."""
        known = self._sessions.revocations
        look_at = float(identity.expires_at)
        while True:
            await anyio.sleep(self._settings.revocation_poll)
            now = self._clock()
            if not known.is_fresh(now):
                await self._catch_up(now)
            if known.denies(identity):
                return
            if now < look_at:
                continue
            # Endings older than an access token are forgotten: from here on the row is asked.
            with suppress(StoreUnavailable):
                session = await self._sessions.get(identity.session_id)
                if session is None or is_over(session, now=now):
                    return
                if await self._sessions.owner(session) is None:
                    return
                look_at = min(now + self._settings.access_token_lifetime / 2, session.ends_at)
