"""Live connections: WebSockets, and answers that go on and on. Each belongs to its session, and is
ended when that is over. A rotation disturbs none: it is the session that counts, not the token.

    from authkit_asgi.live import session_ended

    with anyio.move_on_after(30):                          # a long poll
        await session_ended(request.scope)

One task a worker watches them all, while there are any. Ending one tells both sides, and kills
nobody: the client's side closes, the app's `receive` says that the client is gone, and its `send`
raises OSError, as servers do it for a connection that broke.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar

from authkit_asgi.core.identity import Identity
from authkit_asgi.errors import Busy, StoreUnavailable
from authkit_asgi.guard_services import GuardSessions
from authkit_asgi.settings import Settings
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("authkit_asgi.live")

# Beyond these the oldest gives way: half-open connections of a phone that changed networks would
# otherwise keep its owner out.
MOST = 50_000  # of a worker
MOST_OF_SESSION = 100

OVER = 4401  # a WebSocket's close code: HTTP's 401 in the range for private use (RFC 6455 7.4.2)
CROWDED = 1013  # "try again later" (IANA's registry of close codes)
REASONS = {OVER: "signed out", CROWDED: "too many connections"}

LIVE = "authkit.live"  # in the scope: where `session_ended` finds the watch
LAST_WORD = 5.0  # seconds that a client has to take the end before the app is told
ASKED_AT_ONCE = 8  # rows


class Live(Protocol):
    """What the watch ends: a socket, a stream, or somebody who asked to be told."""

    async def end(self, code: int) -> None:
        """`code`: OVER or CROWDED."""
        ...


async def session_ended(scope: Scope) -> None:
    """Return when the session of whoever sent this request is over; never, if nobody is signed in.

    Within the revocation bound and a second. Raises `Busy` when the session has so many live
    connections that this one, the oldest, gives way.
    """
    watch: LiveConnections | None = scope.get(LIVE)
    if watch is None:
        raise RuntimeError("session_ended needs a scope that AuthMiddleware has passed on")
    who = scope["user"]
    if not isinstance(who, Identity):
        await anyio.sleep_forever()
    waiting = _Waiting()
    watch.join(waiting, who)
    try:
        await waiting.ended.wait()
    finally:
        watch.leave(waiting)
    if waiting.code != OVER:
        raise Busy


@dataclass(slots=True, eq=False)
class _Session:
    """`look_at`: when the row is to be asked whether it is over, in seconds since the epoch."""

    look_at: float
    live: dict[Live, Identity] = field(default_factory=dict)  # the oldest first
    is_asked: bool = False


@dataclass(slots=True, eq=False)
class _Room:
    """The live connections of one event loop."""

    live: dict[Live, str] = field(default_factory=dict)  # the oldest first, with the session's id
    sessions: dict[str, _Session] = field(default_factory=dict)
    is_watched: bool = False
    is_read: bool = False  # what is known of ended sessions, just now
    task: object = None  # asyncio keeps no task alive that nobody holds
    asking: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(ASKED_AT_ONCE))


class LiveConnections:
    """`catch_up` brings the worker's knowledge of ended sessions up to date."""

    def __init__(
        self,
        sessions: GuardSessions,
        settings: Settings,
        clock: Callable[[], float],
        catch_up: Callable[[float], Awaitable[None]],
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._clock = self.clock = clock
        self._catch_up = catch_up
        self._rooms: RunVar[_Room] = RunVar("authkit_asgi.live")
        # The room of the one loop that most workers have: a RunVar takes its time.
        self._known: tuple[asyncio.AbstractEventLoop | None, _Room] = (None, _Room())
        self._tick = min(settings.revocation_poll, 1.0) / 2

    def __len__(self) -> int:
        """How many there are in this event loop."""
        return len(self._room().live)

    async def socket(
        self, app: ASGIApp, identity: Identity, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """The app's WebSocket, until either is done: the app, or the identity's session."""
        socket = _Socket(receive, send, identity, self)
        try:
            await app(scope, socket.receive, socket.send)
        except Exception:
            if not socket.is_over:
                raise
            logger.debug("The app stumbled over the end of its socket", exc_info=True)
        finally:
            if socket.is_open:
                self.leave(socket)
        await socket.settled()

    def stream(self, start: Message, identity: Identity, send: Send) -> Stream:
        """An answer that goes on and on, or may: it has not said how long its body is. It is ended
        with the identity's session. One of a known length, a download say, goes on to its end."""
        stream = Stream(send, start, self)
        self.join(stream, identity)
        return stream

    def join(self, live: Live, identity: Identity) -> None:
        """From here on `live` is ended with the identity's session, until it leaves."""
        room = self._room()
        session = room.sessions.get(identity.session_id)
        if session is None:
            session = room.sessions[identity.session_id] = _Session(float(identity.expires_at))
        session.live[live] = identity
        room.live[live] = identity.session_id
        if not room.is_watched:
            room.is_watched = True
            room.task = _begin(lambda: self._watch(room))

    def leave(self, live: Live) -> None:
        self._drop(self._room(), live)

    def _room(self) -> _Room:
        known_loop, room = self._known
        loop = _running_loop()
        if loop is None or loop is not known_loop:
            found = self._rooms.get(None)
            if found is None:
                self._rooms.set(found := _Room())
            room, self._known = found, (loop, found)
        return room

    def _drop(self, room: _Room, live: Live) -> None:
        session_id = room.live.pop(live, None)
        if session_id is None:
            return
        session = room.sessions[session_id]
        del session.live[live]
        if not session.live:
            del room.sessions[session_id]

    # --- the watch --------------------------------------------------------------------------

    async def _watch(self, room: _Room) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                while room.live:
                    await anyio.sleep(self._tick)
                    self._look_around(room, tasks)
                room.is_watched = False  # before the last words are said: others may come now
        except Exception:
            room.is_watched = False
            logger.exception("The watch over live connections ended; the next one renews it")

    def _look_around(self, room: _Room, tasks: TaskGroup) -> None:
        now = self._clock()
        known = self._sessions.revocations
        if not known.is_fresh(now) and not room.is_read:
            room.is_read = True
            tasks.start_soon(self._read, room, tasks)
        for session_id, session in list(room.sessions.items()):
            for live, identity in list(session.live.items()):
                # Changed roles count too: a socket opened by an admin stays one for the app.
                if known.denies(identity):
                    self._end(room, live, OVER, tasks)
            if now >= session.look_at and session.live and not session.is_asked:
                session.is_asked = True
                tasks.start_soon(self._ask, room, session_id, session, tasks)
            self._thin_out(room, session.live, MOST_OF_SESSION, tasks)
        self._thin_out(room, room.live, MOST, tasks)

    def _thin_out(
        self, room: _Room, oldest_first: Mapping[Live, object], most: int, tasks: TaskGroup
    ) -> None:
        if len(oldest_first) > most:
            for live in list(oldest_first)[: len(oldest_first) - most]:
                self._end(room, live, CROWDED, tasks)

    def _end(self, room: _Room, live: Live, code: int, tasks: TaskGroup) -> None:
        # Each in a task of its own: a client that takes nothing must not keep the others open.
        self._drop(room, live)
        tasks.start_soon(live.end, code)

    async def _read(self, room: _Room, tasks: TaskGroup) -> None:
        """Beside the watch: a store that does not answer must not hide what is known."""
        try:
            await self._catch_up(self._clock())
        except Exception:
            logger.exception("Ended sessions could not be read")
            await anyio.sleep(self._settings.revocation_poll)
        finally:
            room.is_read = False
        self._look_around(room, tasks)

    async def _ask(self, room: _Room, session_id: str, session: _Session, tasks: TaskGroup) -> None:
        """Endings older than an access token are forgotten: past that, the row is asked."""
        try:
            async with room.asking:
                ends_at = await self._sessions.ends_at(session_id, now=self._clock())
        except StoreUnavailable:  # an outage ends nothing
            session.look_at = self._clock() + self._settings.revocation_poll
        except Exception:
            logger.exception("A session could not be read")
            session.look_at = self._clock() + self._settings.access_token_lifetime / 2
        else:
            if ends_at is None:
                for live in list(session.live):
                    self._end(room, live, OVER, tasks)
            else:
                later = self._clock() + self._settings.access_token_lifetime / 2
                session.look_at = min(later, ends_at)
        finally:
            session.is_asked = False


class _Ending:
    """Both sides are told: first the client, then the app."""

    def __init__(self) -> None:
        self.code = 0
        self._told: anyio.Event | None = None

    @property
    def is_over(self) -> bool:
        return self.code != 0

    async def end(self, code: int) -> None:
        self.code = code
        self._told = anyio.Event()
        try:
            with anyio.move_on_after(LAST_WORD):
                await self._say_last_word()
        except Exception:  # the client was quicker, or the app; each server says it in its own way
            logger.debug("No last word could be said", exc_info=True)
        finally:
            self._told.set()

    async def settled(self) -> None:
        """Return when nothing more is to be sent. An app that is done earlier would seem, to the
        server, to have left without a word."""
        if self._told is not None:
            await self._told.wait()

    async def _say_last_word(self) -> None:
        raise NotImplementedError


class _Socket(_Ending):
    """It joins the live ones when the app accepts it."""

    def __init__(
        self, receive: Receive, send: Send, identity: Identity, watch: LiveConnections
    ) -> None:
        super().__init__()
        self._receive = receive
        self._send = send
        self._identity = identity
        self._watch = watch
        self.is_open = False
        self._listening: list[anyio.CancelScope] = []

    async def receive(self) -> Message:
        """What the client says; once it is over, that it is gone.

        Hypercorn goes on to hand out what a client sends after the close: whoever holds a stolen
        session could talk on.
        """
        if not self.is_over:
            with anyio.CancelScope() as listening:
                self._listening.append(listening)
                try:
                    message = await self._receive()
                    if not self.is_over:
                        return message
                finally:
                    self._listening.remove(listening)
        await self.settled()
        return {"type": "websocket.disconnect", "code": self.code, "reason": REASONS[self.code]}

    async def send(self, message: Message) -> None:
        if self.is_over:
            raise OSError("The session is over, and the socket closed.")
        if message["type"] == "websocket.accept":
            self.is_open = True
            self._watch.join(self, self._identity)
        await self._send(message)

    async def _say_last_word(self) -> None:
        # Granian sends no close while the app listens.
        for listening in self._listening:
            listening.cancel()
        reason = REASONS[self.code]
        await self._send({"type": "websocket.close", "code": self.code, "reason": reason})


class Stream(_Ending):
    """`start`: what its answer began with."""

    def __init__(self, send: Send, start: Message, watch: LiveConnections) -> None:
        super().__init__()
        self._send = send
        self._watch = watch
        self._has_trailers = bool(start.get("trailers"))

    def leave(self) -> None:
        self._watch.leave(self)

    async def send(self, message: Message) -> None:
        if self.is_over:
            raise OSError("The session is over, and the answer ended.")
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.leave()
        await self._send(message)

    async def _say_last_word(self) -> None:
        # The server then tells the app by `http.disconnect`: all of them do.
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if self._has_trailers:
            await self._send({"type": "http.response.trailers", "headers": []})


class _Waiting:
    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.code = 0

    async def end(self, code: int) -> None:
        self.code = code
        self.ended.set()


NOT_BEGUN: Message = {}


def has_no_end(start: Message) -> bool:
    """Whether an answer has not said how long it is: it may go on for hours."""
    return all(name.lower() != b"content-length" for name, _ in start.get("headers", ()))


def is_events(start: Message) -> bool:
    """A stream of events may begin long before the first of them."""
    for name, value in start.get("headers", ()):
        if name.lower() == b"content-type":
            return bool(value.startswith(b"text/event-stream"))
    return False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """None on trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _begin(work: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Begin `work` beside everything else in this event loop, in nobody's context.

    No request may be its parent: it outlives them. On trio that is a system task, which ends with
    the loop, as asyncio's tasks do.
    """
    loop = _running_loop()
    if loop is None:
        return sys.modules["trio"].lowlevel.spawn_system_task(work)
    return loop.create_task(work(), context=Context())
