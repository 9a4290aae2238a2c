"""The guard: pure ASGI, around any app under any server.

It decides by path who may pass, knows who is asking without touching the database, and exchanges an
expired access token inside the request. It lets others through first, keeps nothing of a request,
and wraps `send` only when it has something to add.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, get_args

from authkit_asgi.core.demands import Demand
from authkit_asgi.core.identity import ANONYMOUS, Anonymous, Identity
from authkit_asgi.core.origin import SAFE_METHODS, is_own_site
from authkit_asgi.core.paths import (
    Access,
    PathRules,
    is_ambiguous,
    is_path,
    readings,
    tells_of_a_separator,
)
from authkit_asgi.errors import (
    AuthError,
    BadPath,
    CrossSite,
    NotSignedIn,
    ReauthenticationRequired,
    StoreUnavailable,
)
from authkit_asgi.events import CrossSiteRefused
from authkit_asgi.guard_services import Kit
from authkit_asgi.lifespan import lifespan
from authkit_asgi.live import LIVE, NOT_BEGUN, LiveConnections, Stream, has_no_end, is_events
from authkit_asgi.patience import Patience
from authkit_asgi.recognition import NOBODY, Recognition, Visit
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from authkit_asgi.web.caching import as_private
from authkit_asgi.web.cookies import rewrite_cookie_header
from authkit_asgi.web.cors import Cors
from authkit_asgi.web.renewed import renewed
from authkit_asgi.web.replies import redirect, refusal
from authkit_asgi.web.requests import PATIENCE, header, site_of
from authkit_asgi.web.ways import asked, on_site, way_back, way_back_of_htmx

logger = logging.getLogger("authkit_asgi.middleware")
reports = logging.getLogger("authkit_asgi.report")

Mode: TypeAlias = Literal["enforce", "report"]

LATE = 1.0  # seconds that an app may take for an answer before its cookies are thought about again
MAX_DOORS = 1024
MAX_DOOR_LENGTH = 256
MAX_REPORTED = 256

# Out of the enumeration once: its members are slow to name.
EXCLUDED, PROTECTED = Access.EXCLUDED, Access.PROTECTED
NOT_SIGNED_IN = refusal(NotSignedIn())


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests for a path come by. `app`: who serves it. `raw_path`: spelled in the one usual
    way. `is_open`: it lets in anybody. `is_plain`: it lets in whoever is signed in. `is_enforced`:
    whoever it does not let in is refused, and not only reported."""

    access: Access
    demand: Demand | None
    app: ASGIApp
    raw_path: bytes | None
    is_open: bool
    is_plain: bool
    is_enforced: bool


class AuthMiddleware:
    """Guards `app` by `rules`. Everything that no rule names is protected.

    With `mode="report"` nothing of the app is refused: what would be is logged by
    `authkit_asgi.report`, and the app is asked, which sees who is signed in. The kit's own routes
    are guarded all the same. Raises ValueError for any other mode but "enforce".
    """

    def __init__(
        self, app: ASGIApp, *, kit: Kit, rules: PathRules | None = None, mode: Mode = "enforce"
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode={mode!r}: must be 'enforce' or 'report'")
        self.mode = mode
        if mode == "report":
            reports.warning("authkit-asgi only reports: it refuses nothing of the app")
        # By path, or by root path and path where there is a root.
        self._doors: dict[str | tuple[str, str], Door] = {}
        self.app = app
        # What the kit puts beside `wrapped`, each with where it stands. `inspecting` asks for both.
        self.beside: tuple[tuple[ASGIApp, str], ...] = ()
        self.rules = kit.rules_for(rules or PathRules())
        self._guard = kit.guard
        self._clock = kit.guard.clock
        self._settings = kit.guard.settings
        self._cors = Cors(kit.guard.settings.trusted_origins) or None
        own = (self._settings.origin, *self._settings.trusted_origins)
        self._own_origins = frozenset(origin.encode() for origin in own)
        self._revocations = kit.guard.sessions.revocations
        self._recognition = Recognition(kit.guard)
        self._recall = self._recognition.recall
        self._unconfirmed = self._recognition.unconfirmed
        self.live = LiveConnections(
            kit.guard.sessions, self._settings, self._clock, self._recognition.follow
        )

    @property
    def app(self) -> ASGIApp:
        """Who is asked. What is put in its place, around it say, is asked on every path."""
        return self._app

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._app = self.wrapped = app
        self._doors.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        if scope["type"] != "http":
            return await self._neither(scope, receive, send)
        door = self._doors.get(scope["path"])
        if door is None or scope.get("raw_path") != door.raw_path or scope.get("root_path"):
            if not is_path(scope["path"]):
                return await self._no_path(scope, receive, send)
            door = self._door(scope)
        if door.access is EXCLUDED:
            return await door.app(scope, receive, send)
        if self._cors is not None and door.access is PROTECTED:
            leave = self._cors.preflight(scope)
            if not door.is_enforced and leave is not None:
                return await door.app(self._told(scope, ANONYMOUS), receive, send)
            if leave is not None:
                return await leave(scope, receive, send)
            if door.is_enforced:
                send = self._cors.adding(scope, send)
        who = self._recall(scope["headers"])
        if who is False:
            if not door.is_open and self._holds(NotSignedIn, door, scope):
                return await self._lead(self.rules.login, NOBODY, scope)(scope, receive, send)
            return await door.app(self._told(scope, ANONYMOUS), receive, send)
        watched: Identity | None
        if who is not None and door.is_plain and scope["method"] in SAFE_METHODS:
            # What most requests are: from a browser that was here before, to a page of the app.
            told, watched = self._told(scope, who), who
        else:
            admitted = await self._admit(who, door, scope, receive, send)
            if admitted is None:
                return None
            who, watched, told, send = admitted
            if who is None:
                return await door.app(told, receive, send)
        stream: Stream | None = None
        start: Message = NOT_BEGUN

        def tell(message: Message) -> Awaitable[None]:
            """`send`, for an answer to somebody, which may turn out to be a stream."""
            nonlocal send, start, stream
            if message["type"] == "http.response.start":
                if not isinstance(message.get("headers"), list):
                    # Sanic's are used up by whoever reads them first.
                    message = {**message, "headers": list(message.get("headers", ()))}
                start, message = message, as_private(message)
                goes_on = stream is None and is_events(start)
            else:
                goes_on = stream is None and bool(message.get("more_body")) and has_no_end(start)
            if goes_on and watched is not None:
                stream = self.live.stream(start, watched, send)
                send = stream.send
            return send(message)

        try:
            await door.app(told, receive, tell)
        except Exception:
            if stream is None or not stream.is_over:
                raise
            logger.debug("The app stumbled over the end of its answer", exc_info=True)
        finally:
            if stream is not None:
                stream.leave()
        if stream is not None and stream.is_over:
            await stream.settled()
        if self._unconfirmed:
            await self._recognition.confirm(who, scope)
            await self._guard.purging.turn(self._clock())
        if self._revocations.is_owed:
            await self._recognition.repair()
        return None

    def _door(self, scope: Scope) -> Door:
        """Found once for each path. Strangers choose the paths, and a root where a mount has a
        parameter: neither many nor long ones may fill the memory."""
        path, root, raw_path = scope["path"], scope.get("root_path") or "", scope.get("raw_path")
        if raw_path and tells_of_a_separator(raw_path):
            return self._door_to(path, root, raw_path)
        asked_for = (root, path) if root else path
        door = self._doors.get(asked_for)
        if door is None:
            door = self._door_to(path, root, raw_path)
            if len(root) + len(path) <= MAX_DOOR_LENGTH:
                if len(self._doors) >= MAX_DOORS:
                    self._doors.clear()
                self._doors[asked_for] = door
        return door

    def _door_to(self, path: str, root: str, raw_path: bytes | None) -> Door:
        access, demand = self.rules.ruling(path, root, raw_path)
        return Door(
            access=access,
            demand=demand,
            # Only the kit's own paths, and a root in front of them, take somebody to look further.
            app=self.app if root or path.startswith(self._guard.own_paths) else self.wrapped,
            raw_path=path.encode("ascii", "replace"),
            is_open=access is not PROTECTED,
            is_plain=access is PROTECTED and demand is None,
            is_enforced=self.mode == "enforce" or self._is_own(path, root),
        )

    def _is_own(self, path: str, root: str) -> bool:
        """Whether a router may read `path` as one of the kit itself."""
        return any(
            f"{reading}/".startswith(f"{own}/")
            for own in self._guard.own_paths
            for reading in readings(path, root)
        )

    def _holds(self, lack: AuthError | type[AuthError], door: Door, scope: Scope) -> bool:
        """Whether a refusal is one. Otherwise it is only reported."""
        if not door.is_enforced:
            self._report(f"{lack.status} {lack.code}", self._why(door, scope), scope)
        return door.is_enforced

    def _report(self, answer: str, why: str, scope: Scope) -> None:
        # Strangers write both: as a literal, no line of theirs can look like one of ours.
        asked_for = f"{scope.get('method', 'WebSocket')} {scope['path']}"[:MAX_REPORTED]
        reports.warning("authkit-asgi would answer %s to %a (%s)", answer, asked_for, why)

    def _why(self, door: Door, scope: Scope) -> str:
        path, root, raw_path = scope["path"], scope.get("root_path") or "", scope.get("raw_path")
        rule, demanding = self.rules.reasons(path, root, raw_path)
        why = f"by the rule {rule}" if rule else f"{door.access.value} by default"
        told = self.rules.patterns[rule] if rule else self.rules.default
        if door.access is not told or is_ambiguous(path, raw_path):
            why = f"{door.access.value}, as routers may read it otherwise"
        if door.demand is not None:
            why += f"; more is demanded by {', '.join(demanding)}"
        return why

    async def _no_path(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.mode == "report":
            self._report(f"{BadPath.status} {BadPath.code}", "which is no path", scope)
            await self.app(self._told(scope, ANONYMOUS), receive, send)
        elif scope["type"] == "websocket":
            await _deny(BadPath(), scope, receive, send)
        else:
            await refusal(BadPath())(scope, receive, send)

    # --- http -------------------------------------------------------------------------------

    async def _admit(
        self,
        who: Identity | None,
        door: Door,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> tuple[Identity | None, Identity | None, Scope, Send] | None:
        """Whoever takes a closer look: who asks, whose stream the answer may be, what the app is
        told, and how its answer is sent. None: the request was answered here."""
        now, visit = self._clock(), Visit(identity=who)
        if who is None:
            patience = Patience()
            scope = {**scope, PATIENCE: patience}
            try:
                visit = await patience.counted(self._recognition.visit(scope, now))
            except StoreUnavailable as outage:
                # Public pages go on without a name; what needs one says so. No cookie is touched.
                visit = Visit(trouble=outage)
        identity = visit.identity
        foreign = identity is not None and not visit.bearer and not self._is_own_site(scope)
        if door.access is PROTECTED:
            lack: AuthError | None = None
            if identity is None:
                lack = visit.trouble or NotSignedIn()
            elif foreign:
                lack = CrossSite()
            elif door.demand is not None:
                lack = door.demand.lacking(identity, now=now)
            if lack is not None and self._holds(lack, door, scope):
                if identity is not None and foreign:
                    await self._guard.events.tell(CrossSiteRefused(at=now, user_id=identity.id))
                await self._refusal(lack, visit, scope)(scope, receive, send)
                return None
        elif door.access is Access.AUTH and identity is not None:
            home = on_site(scope, self.rules.home)
            if door.is_enforced:
                await redirect(home, cookies=visit.cookies)(scope, receive, send)
                return None
            self._report(f"303 {home}", self._why(door, scope), scope)
        if foreign:  # another site may ask where anybody may, but not in our visitor's name
            visit = replace(visit, identity=None, pair=None)
        if visit.cookies:
            send = partial(self._send_with_cookies, visit, now, send)
        # Anything but events on a public path is anybody's, and costs nothing.
        is_watched = door.access is PROTECTED or visit.cookies or _wants_events(scope)
        watched = visit.identity if is_watched else None
        return visit.identity, watched, self._told(scope, visit.identity or ANONYMOUS, visit), send

    async def _send_with_cookies(
        self, visit: Visit, since: float, send: Send, message: Message
    ) -> None:
        if message["type"] == "http.response.start":
            late = self._clock() - since >= LATE
            overtaken = late and await self._recognition.is_overtaken(visit)
            cookies = () if overtaken else visit.cookies
            headers = renewed(message.get("headers", ()), cookies, self._recognition.names)
            message = {**message, "headers": headers}
        await send(message)

    def _told(self, scope: Scope, who: Identity | Anonymous, visit: Visit = NOBODY) -> Scope:
        """The scope that the app sees: with who asks, and with the cookies that now hold."""
        told = dict(scope)  # half the time of {**scope, ...}
        told["user"], told["auth"], told[LIVE] = who, who.credentials, self.live
        if visit.pair is not None:
            access, refresh = self._recognition.names
            new = {
                access: visit.pair.access.encode(),
                refresh: visit.pair.refresh.encode(),
                **dict.fromkeys(self._recognition.former, b""),
            }
            told["headers"] = rewrite_cookie_header(list(scope["headers"]), new)
        return told

    def _is_own_site(self, scope: Scope) -> bool:
        if scope["method"] in SAFE_METHODS:
            return True
        return is_own_site(scope["method"], **site_of(scope, self._settings, has_cookie=True))

    def _refusal(self, lack: AuthError, visit: Visit, scope: Scope) -> ASGIApp:
        if isinstance(lack, NotSignedIn):
            return self._lead(self.rules.login, visit, scope)
        if isinstance(lack, ReauthenticationRequired):
            return self._lead(self.rules.reauthenticate, replace(visit, trouble=lack), scope)
        return refusal(lack, cookies=visit.cookies)

    def _lead(self, page: str, visit: Visit, scope: Scope) -> ASGIApp:
        """People to `page`, where they prove who they are; programs are told what is missing."""
        wishes = dict(scope["headers"])
        if wishes.get(b"hx-request") == b"true":
            there = on_site(scope, page) + way_back_of_htmx(scope, self._settings.origin)
            headers = (("HX-Redirect", there),)
            return refusal(visit.trouble or NotSignedIn(), cookies=visit.cookies, headers=headers)
        if _is_navigation(scope["method"], wishes) and (
            asked(scope) != (there := on_site(scope, page))
        ):
            return redirect(there + way_back(scope), cookies=visit.cookies)
        if visit.trouble or visit.cookies:
            return refusal(visit.trouble or NotSignedIn(), cookies=visit.cookies)
        return NOT_SIGNED_IN

    # --- websocket --------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_path(scope["path"]):
            return await self._no_path(scope, receive, send)
        door = self._door(scope)
        if door.access is EXCLUDED:
            return await door.app(scope, receive, send)
        now, visit = self._clock(), NOBODY
        identity = self._recall(scope["headers"])
        if identity is None:
            try:
                visit = await Patience().counted(self._recognition.visit(scope, now))
            except StoreUnavailable as outage:
                visit = Visit(trouble=outage)
            identity = visit.identity
        lack: AuthError | None = None
        if not identity:
            if door.access is PROTECTED:
                lack = visit.trouble or NotSignedIn()
        # A browser lets any site open a socket and sends our cookies along (SECURITY P-14).
        elif not visit.bearer and not self._is_own_socket(scope):
            lack, identity = CrossSite(), None
        elif door.demand is not None:
            lack = door.demand.lacking(identity, now=now)
        if lack is not None and self._holds(lack, door, scope):
            return await _deny(lack, scope, receive, send)
        if not identity:
            return await door.app(self._told(scope, ANONYMOUS), receive, send)
        if self._unconfirmed:
            await self._recognition.confirm(identity, scope)
        told = self._told(scope, identity)
        return await self.live.socket(door.app, identity, told, receive, send)

    def _is_own_socket(self, scope: Scope) -> bool:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return len(origins) == 1 and origins[0] in self._own_origins

    # --- neither ----------------------------------------------------------------------------

    async def _neither(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            # SECURITY P-15: what we do not know, we do not let through
            raise RuntimeError(f"authkit-asgi does not guard ASGI scopes of type {scope['type']!r}")
        await lifespan(self.app, self._guard, scope, receive, send)


# For servers that cannot send an answer: 1013 is "try again later" (RFC 6455, IANA's registry).
CLOSE_CODES = {400: 4400, 401: 4401, 403: 4403}


def _wants_events(scope: Scope) -> bool:
    # What an EventSource sends.
    return b"text/event-stream" in (header(scope, b"accept") or b"")


def _is_navigation(method: str, wishes: Mapping[bytes, bytes]) -> bool:
    if method not in ("GET", "HEAD"):
        return False
    mode = wishes.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"text/html" in wishes.get(b"accept", b"")


async def _deny(error: AuthError, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a handshake before it is accepted: with an answer where the server can send one."""
    await receive()  # websocket.connect
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await refusal(error)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": CLOSE_CODES.get(error.status, 1013)})
