"""The guard: pure ASGI, around any app under any server.

It decides by path who may pass, knows who is asking without touching the database, and exchanges an
expired access token inside the request. It lets others through first, keeps nothing of a request,
and wraps `send` only when it has something to add.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import anyio

from authkit_asgi.core.demands import Demand
from authkit_asgi.core.identity import ANONYMOUS, Identity, identity_of
from authkit_asgi.core.origin import SAFE_METHODS, is_own_site
from authkit_asgi.core.paths import Access, PathRules, is_path
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.errors import (
    AuthError,
    BadPath,
    CrossSite,
    NotSignedIn,
    ReauthenticationRequired,
    StoreUnavailable,
    TokenExpired,
)
from authkit_asgi.events import CrossSiteRefused
from authkit_asgi.guard_services import Kit
from authkit_asgi.live import LIVE, Answer, LiveConnections
from authkit_asgi.patience import Patience
from authkit_asgi.sessions import TokenPair
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from authkit_asgi.web.caching import RawHeaders, as_private, is_for_caches, varied
from authkit_asgi.web.cookies import (
    read_cookie,
    read_cookies,
    rewrite_cookie_header,
    values_in,
)
from authkit_asgi.web.cors import Cors
from authkit_asgi.web.replies import redirect, refusal
from authkit_asgi.web.requests import PATIENCE, header, site_of, visitor_in
from authkit_asgi.web.ways import asked, on_site, way_back, way_back_of_htmx

logger = logging.getLogger("authkit_asgi.middleware")

V = TypeVar("V")

# Seconds that a valid access token waits for what is known of ended sessions; and while that could
# not be read, which then goes on after the answer.
WAIT = 1.0
WAIT_BEHIND = 0.25
LATE = 1.0  # seconds that an app may take for an answer before its cookies are thought about again
REMEMBERED = 8192  # tokens a generation of the map; two generations live
MAX_REMEMBERED_BYTES = 4096  # a longer Cookie header is read anew each time
MAX_GENERATION_BYTES = 4 * 2**20


class Remembered(Generic[V]):
    """A bounded map in two generations: what is asked for stays, what is not is forgotten.

    Only what was verified is put in, so garbage leaves nothing behind; and whoever sends one good
    token beside ever new junk fills no more than some megabytes (SECURITY T-17, D-04).
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._bytes = 0

    def get(self, key: bytes) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, value: V) -> None:
        if len(key) > MAX_REMEMBERED_BYTES:
            return
        self._bytes += len(key)
        if len(self._young) >= self._size or self._bytes > MAX_GENERATION_BYTES:
            self._young, self._old, self._bytes = {}, self._young, len(key)
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old, self._bytes = {}, {}, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What is known of a request: who asks, and what the answer has to carry.

    `pair`: new tokens were made. `cookies`: Set-Cookie values for them, or to clear dead ones.
    `bearer`: no cookie was needed, so no other site can have sent it. `trouble`: why nobody is
    signed in.
    """

    identity: Identity | None = None
    pair: TokenPair | None = None
    cookies: Sequence[str] = ()
    bearer: bool = False
    trouble: AuthError | None = None


NOBODY = Visit()
# Out of the enumeration once: its members are slow to name.
EXCLUDED, PROTECTED = Access.EXCLUDED, Access.PROTECTED
NOT_SIGNED_IN = refusal(NotSignedIn())


class AuthMiddleware:
    """Guards `app` by `rules`. Everything that no rule names is protected."""

    def __init__(self, app: ASGIApp, *, kit: Kit, rules: PathRules | None = None) -> None:
        self.app = self.wrapped = app
        # What the kit puts beside `wrapped`, each with where it stands. `inspecting` asks for both.
        self.beside: tuple[tuple[ASGIApp, str], ...] = ()
        self.rules = kit.rules_for(rules or PathRules())
        self._guard = kit.guard
        self._clock = kit.guard.clock
        self._settings = kit.guard.settings
        self._bearer = kit.guard.settings.bearer
        self._cors = Cors(kit.guard.settings.trusted_origins) or None
        self._former = [name.encode() for name in kit.guard.jar.former_names]
        self._own_origins = frozenset((self._settings.origin, *self._settings.trusted_origins))
        self._decided = self.rules.decided
        self._sessions = kit.guard.sessions
        self._revocations = kit.guard.sessions.revocations
        self._jar = kit.guard.jar
        self._names = (kit.guard.jar.access_name.encode(), kit.guard.jar.refresh_name.encode())
        # Whole Cookie headers first: nothing is searched for a browser that sends what it sent
        # before.
        self._by_header: Remembered[Visit] = Remembered()
        self._by_token: Remembered[Identity] = Remembered()
        kit.guard.on_retired.extend((self._by_header.clear, self._by_token.clear))
        self.live = LiveConnections(kit.guard.sessions, self._settings, self._clock, self._follow)
        # Generations seen in use, of which the store does not know yet.
        self._unconfirmed: set[tuple[str, int]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._not_http(scope, receive, send)
        demand: Demand | None = None
        # Decided before, if any server asks for the path in the one usual way.
        access = self._decided.get(scope["path"])
        if access is None or scope.get("root_path") or b"%" in (scope.get("raw_path") or b""):
            if not is_path(scope["path"]):
                return await refusal(BadPath())(scope, receive, send)
            access, demand = self.rules.ruling(
                scope["path"], scope.get("root_path", ""), scope.get("raw_path")
            )
        if access is EXCLUDED:
            return await self.app(scope, receive, send)
        if access is PROTECTED and self._cors is not None:
            if (leave := self._cors.preflight(scope)) is not None:
                return await leave(scope, receive, send)
            send = self._cors.adding(scope, send)
        now = self._clock()
        visit = self._recall(scope["headers"], now)
        identity: Identity | None = None
        answer: Answer | None = None
        if visit is NOBODY:
            if access is PROTECTED:
                return await self._lead(self.rules.login, NOBODY, scope)(scope, receive, send)
            told = self._told(scope, NOBODY)
        elif (
            visit is not None
            and access is PROTECTED
            and demand is None
            and scope["method"] in SAFE_METHODS
        ):
            # What most requests are: from a browser that was here before, to a page of the app.
            identity = visit.identity
            answer = Answer(self.live, identity, send, as_private)
            told = self._told(scope, visit)
        else:
            admitted = await self._admit(visit, access, demand, scope, receive, send, now)
            if admitted is None:
                return None
            identity, answer, told = admitted
        if answer is None:
            await self.app(told, receive, send)
        else:
            try:
                await self.app(told, receive, answer.send)
            except Exception:
                if answer.stream is None or not answer.stream.is_over:
                    raise
                logger.debug("The app stumbled over the end of its answer", exc_info=True)
            finally:
                if answer.stream is not None:
                    answer.stream.leave()
            if answer.stream is not None and answer.stream.is_over:
                await answer.stream.settled()
        if self._unconfirmed and identity is not None:
            await self._confirm(identity, scope)
            await self._guard.purging.turn(self._clock())
        if self._revocations.is_owed:
            await self._repair()
        return None

    async def _not_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:  # SECURITY P-15: what we do not know, we do not let through
            raise RuntimeError(f"authkit-asgi does not guard ASGI scopes of type {kind!r}")

    # --- http -------------------------------------------------------------------------------

    async def _admit(
        self,
        visit: Visit | None,
        access: Access,
        demand: Demand | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        now: float,
    ) -> tuple[Identity | None, Answer | None, Scope] | None:
        """Whoever takes a closer look: who asks, how the answer is sent, and what the app is told.
        None: the request was answered here."""
        if visit is None:
            patience = Patience()
            scope = {**scope, PATIENCE: patience}
            try:
                visit = await patience.counted(self._visit(scope, now))
            except StoreUnavailable as outage:
                # Public pages go on without a name; what needs one says so. No cookie is touched.
                if access is Access.PROTECTED:
                    await refusal(outage)(scope, receive, send)
                    return None
                visit = NOBODY
        identity = visit.identity
        foreign = identity is not None and not visit.bearer and not self._is_own_site(scope)
        if access is Access.PROTECTED:
            if identity is None:
                await self._lead(self.rules.login, visit, scope)(scope, receive, send)
                return None
            if foreign:
                await self._guard.events.tell(CrossSiteRefused(at=now, user_id=identity.id))
                await refusal(CrossSite(), cookies=visit.cookies)(scope, receive, send)
                return None
            if demand is not None and (lack := demand.lacking(identity, now=now)) is not None:
                await self._hold_back(lack, visit, scope, receive, send)
                return None
        elif access is Access.AUTH and identity is not None:
            home = on_site(scope, self.rules.home)
            await redirect(home, cookies=visit.cookies)(scope, receive, send)
            return None
        elif foreign:  # anybody may ask here, but another site not in our visitor's name
            visit = replace(visit, identity=None, pair=None)
        answer = self._answer(visit, access, scope, send, now)
        return visit.identity, answer, self._told(scope, visit)

    def _answer(
        self, visit: Visit, access: Access, scope: Scope, send: Send, now: float
    ) -> Answer | None:
        """How the answer is sent. None: as the app sends it, by the very `send` of the server."""
        change: Callable[[Message], Message] | None = None
        if visit.cookies:
            send = partial(self._send_with_cookies, visit, now, send)
        elif access is Access.PROTECTED:
            change = as_private
        elif visit.identity is None:
            return None
        else:  # anybody may ask, and what somebody is told may name them (SECURITY K-02)
            watched = visit.identity if _wants_events(scope) else None
            return Answer(self.live, watched, send, as_private)
        return Answer(self.live, visit.identity, send, change)

    async def _send_with_cookies(
        self, visit: Visit, since: float, send: Send, message: Message
    ) -> None:
        if message["type"] == "http.response.start":
            cookies = () if await self._is_overtaken(visit, since) else visit.cookies
            message = {**message, "headers": self._merged(message.get("headers", ()), cookies)}
        await send(message)

    async def _is_overtaken(self, visit: Visit, since: float) -> bool:
        """Whether the browser may have other cookies by now, because the app took its time: those
        of a new password, of the next refresh or of another sign-in. Replaced by ours, they would
        come back no more, and ours would look like a copy (SECURITY S-08).

        Left out, ours cost nothing: dead cookies are cleared the next time, and an exchange whose
        answer was lost can be repeated.
        """
        if self._clock() - since < LATE:
            return False
        if visit.identity is None or visit.pair is None:
            return True
        try:
            session = await Patience().counted(self._sessions.get(visit.identity.session_id))
        except StoreUnavailable:
            return False
        if session is None or session.closed_at is not None:
            return True
        return session.generation != visit.pair.generation

    def _recall(self, headers: RawHeaders, now: float) -> Visit | None:
        """Who asks, where that takes no thought: no cookie, or one header that was seen before.

        None: it takes a closer look. With several Cookie headers it always does, for one of them
        alone proves nothing.
        """
        if self._bearer:
            return None
        cookie: bytes | None = None
        for name, value in headers:
            if name == b"cookie":
                if cookie is not None:
                    return None
                cookie = value
        if cookie is None:
            return NOBODY
        visit = self._by_header.get(cookie)
        if visit is None:
            return self._look(cookie, now)
        who = visit.identity
        if who is None or now >= who.expires_at or not self._revocations.allow(who, now):
            return None
        return visit

    def _look(self, cookie: bytes, now: float) -> Visit | None:
        """As far as the cookies tell, without asking the store. None: it is to be asked."""
        access, refresh = values_in(cookie, self._names)
        if access is None:
            former = any(name in cookie for name in self._former)
            return NOBODY if refresh is None and not former else None
        identity = self._by_token.get(access)
        if identity is None:
            claims = self._guard.tokens.read(ACCESS, access, now=now, expired_too=True)
            if claims is None:  # it may be signed with a key that is still to be learned
                return NOBODY if refresh is None and self._guard.learn is None else None
            identity = identity_of(claims)
        if now >= identity.expires_at or not self._revocations.allow(identity, now):
            return None
        visit = Visit(identity=identity)
        self._remember(access, identity)
        self._by_header.put(cookie, visit)
        return visit

    async def _visit(self, scope: Scope, now: float) -> Visit:
        """Who asks. Raises `StoreUnavailable` when only the store could tell."""
        by_cookie = await self._by_cookies(scope, now)
        if not self._settings.bearer:
            return by_cookie
        sent = {value for name, value in scope["headers"] if name == b"authorization"}
        return await self._by_bearer(sent, by_cookie, now) if sent else by_cookie

    async def _by_bearer(self, sent: set[bytes], by_cookie: Visit, now: float) -> Visit:
        """An access token in the Authorization header (RFC 6750 section 2.1).

        With two of them, or another session's cookie beside it, nobody can say who was meant
        (SECURITY T-21). Cookies that were exchanged on the way go out all the same.
        """
        nobody = replace(by_cookie, identity=None)
        if len(sent) > 1:
            return nobody
        scheme, _, token = sent.pop().partition(b" ")
        if scheme.lower() != b"bearer":
            return by_cookie
        visit = await self._by_access_token(token.strip(), now)
        if visit is None or visit.identity is None:
            claims = self._guard.tokens.read(ACCESS, token.strip(), now=now, expired_too=True)
            expired = claims is not None and (
                now >= claims.expires_at or self._revocations.outdates(identity_of(claims))
            )
            return replace(nobody, trouble=TokenExpired() if expired else NotSignedIn())
        other = by_cookie.identity
        if other is not None and other.session_id != visit.identity.session_id:
            return nobody
        return replace(by_cookie, identity=visit.identity, bearer=other is None)

    async def _by_cookies(self, scope: Scope, now: float) -> Visit:
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        if not cookies:
            return NOBODY
        access, refresh = read_cookies(scope["headers"], self._names)
        if self._former and access is None and refresh is None:
            # What this cookie was called before: good for one exchange, which renames it.
            refresh = read_cookie(scope["headers"], self._former[1])
        visit = await self._by_access_token(access, now)
        if visit is not None and visit.identity is not None:
            if len(cookies) == 1:
                self._by_header.put(cookies[0], visit)
            return visit
        if refresh is None:
            return self._without_refresh(access, now)
        return await self._by_refresh_token(refresh, scope, now)

    async def _by_access_token(self, token: bytes | None, now: float) -> Visit | None:
        if token is None:
            return None
        identity = self._by_token.get(token)
        if identity is None:
            if self._guard.learn is not None:
                await self._guard.learn(token, now)
            claims = self._guard.tokens.read(ACCESS, token, now=now)
            if claims is None:
                return None
            identity = identity_of(claims)
        if now >= identity.expires_at:
            return None
        if not self._revocations.is_fresh(now):
            await self._catch_up(now)
        # Its key may have been retired meanwhile (SECURITY T-15).
        if self._revocations.denies(identity) or not self._guard.tokens.knows(token):
            return None
        self._remember(token, identity)
        return Visit(identity=identity)

    def _remember(self, token: bytes, identity: Identity) -> None:
        if self._by_token.get(token) is None:
            self._by_token.put(token, identity)
            self._note_unconfirmed(identity)

    def _without_refresh(self, access: bytes | None, now: float) -> Visit:
        # Ours, and over: nothing will ever bring it back.
        ours = self._guard.tokens.read(ACCESS, access, now=now, expired_too=True)
        if ours is not None and now >= ours.expires_at:
            return Visit(cookies=self._jar.clear()[:1])
        return NOBODY

    async def _by_refresh_token(self, token: bytes, scope: Scope, now: float) -> Visit:
        await self._guard.start()
        visitor = visitor_in(scope, self._settings)
        if scope["type"] == "websocket" or _is_prefetch(scope):
            # No cookie would arrive there, so nothing may be exchanged (SECURITY S-23).
            return Visit(identity=await self._sessions.peek(token, visitor=visitor, now=now))
        if scope["method"] == "OPTIONS":
            return Visit(trouble=TokenExpired())
        refreshed = await self._sessions.refresh(token, visitor=visitor, now=now)
        if refreshed.elsewhere:
            return Visit(trouble=TokenExpired())
        if refreshed.pair is None:
            return Visit(cookies=self._jar.clear()) if refreshed.ours else NOBODY
        claims = self._guard.tokens.read(ACCESS, refreshed.pair.access.encode(), now=now)
        if claims is None:  # a session in its very last second
            return NOBODY
        return Visit(
            identity=identity_of(claims),
            pair=refreshed.pair,
            cookies=self._jar.set_pair(refreshed.pair, now=now),
        )

    async def _catch_up(self, now: float) -> None:
        known = self._revocations
        # In an outage each request would wait, and find out what the one before it did.
        wait = WAIT_BEHIND if known.is_behind else WAIT
        with anyio.move_on_after(wait) as waiting, suppress(StoreUnavailable):
            await known.refresh(now, self._guard.start)
            return
        # An outage of ours is never a logout: a valid access token keeps working (SECURITY Q-06).
        known.put_off(self._guard.clock(), is_owed=waiting.cancelled_caught)
        logger.warning("Revocations could not be read: the store does not answer")

    async def _follow(self, now: float) -> None:
        """For a socket that is open: nobody waits."""
        await self._catch_up(now)
        if self._revocations.is_owed:
            await self._repair()

    async def _repair(self) -> None:
        """The database may just be slow. After the answer is out there is time: what is known must
        not stay behind for as long as that lasts (SECURITY S-10)."""
        known = self._revocations
        try:
            await known.repair(self._guard.clock(), self._guard.start)
        except StoreUnavailable:
            known.put_off(self._guard.clock())

    def _told(self, scope: Scope, visit: Visit) -> Scope:
        """The scope that the app sees: with who asks, and with the cookies that now hold."""
        who = visit.identity or ANONYMOUS
        told = dict(scope)  # half the time of {**scope, ...}
        told["user"], told["auth"], told[LIVE] = who, who.credentials, self.live
        if visit.pair is not None:
            new = {
                self._names[0]: visit.pair.access.encode(),
                self._names[1]: visit.pair.refresh.encode(),
                **dict.fromkeys(self._former, b""),
            }
            told["headers"] = rewrite_cookie_header(list(scope["headers"]), new)
        return told

    def _is_own_site(self, scope: Scope) -> bool:
        if scope["method"] in SAFE_METHODS:
            return True
        return is_own_site(scope["method"], **site_of(scope, self._settings, has_cookie=True))

    def _lead(self, page: str, visit: Visit, scope: Scope) -> ASGIApp:
        """People to `page`, where they prove who they are; programs are told what is missing."""
        wishes = {name: value for name, value in scope["headers"] if name in WISHES}
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

    async def _hold_back(
        self, lack: AuthError, visit: Visit, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Whoever is signed in, and lacks what the path demands."""
        if isinstance(lack, ReauthenticationRequired):
            stale = replace(visit, trouble=lack)
            await self._lead(self.rules.reauthenticate, stale, scope)(scope, receive, send)
        else:
            await refusal(lack, cookies=visit.cookies)(scope, receive, send)

    def _note_unconfirmed(self, identity: Identity) -> None:
        if identity.generation > 0:
            if len(self._unconfirmed) >= REMEMBERED:
                self._unconfirmed.clear()
            self._unconfirmed.add((identity.session_id, identity.generation))

    async def _confirm(self, identity: Identity, scope: Scope) -> None:
        """Write down that this generation's tokens arrived; until then their predecessor stays
        redeemable. After the answer is out, and best effort: what fails, or is cancelled, is left
        to the next request.

        A guard around this one may have made the tokens in this very request: it is left to it.
        """
        seen = (identity.session_id, identity.generation)
        if seen not in self._unconfirmed or isinstance(scope.get("user"), Identity):
            return
        self._unconfirmed.remove(seen)
        written = False
        try:
            await self._guard.start()
            await self._sessions.confirm(identity, now=self._guard.clock())
            written = True
        except StoreUnavailable:
            logger.debug("A confirmation was not written")
        finally:
            if not written:
                self._unconfirmed.add(seen)

    def _merged(self, headers: Sequence[tuple[bytes, bytes]], cookies: Sequence[str]) -> RawHeaders:
        kept = [(bytes(name), bytes(value)) for name, value in headers]
        cookies = self._not_overruled(cookies, kept)
        kept = [pair for pair in kept if not is_for_caches(pair[0].lower())]
        kept = varied(kept)
        kept.append((b"cache-control", b"private, no-store"))
        kept.extend((b"set-cookie", cookie.encode("latin-1")) for cookie in cookies)
        return kept

    def _not_overruled(self, cookies: Sequence[str], headers: RawHeaders) -> Sequence[str]:
        """Our cookies, but for those that the app names itself: the app wins (SECURITY C-10).

        An app that deletes one signs out, and gets none of ours. One that only sets one (new
        claims, say) must not cost the browser the other: it would come back with a refresh token
        that was used up, and look like a thief.
        """
        theirs: dict[str, str] = {}
        for name, value in headers:
            if name.lower() == b"set-cookie":
                cookie, _, rest = value.decode("latin-1").partition("=")
                theirs[cookie.strip()] = rest.lower().replace(" ", "")
        told = [theirs[name.decode()] for name in self._names if name.decode() in theirs]
        if any(value[:1] in ("", ";") or ";max-age=0" in value for value in told):
            return ()
        return [cookie for cookie in cookies if cookie.partition("=")[0] not in theirs]

    # --- websocket --------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        access, demand = self.rules.ruling(
            scope["path"], scope.get("root_path", ""), scope.get("raw_path")
        )
        if not is_path(scope["path"]):
            return await _deny(BadPath(), scope, receive, send)
        if access is Access.EXCLUDED:
            return await self.app(scope, receive, send)
        now = self._clock()
        visit = self._recall(scope["headers"], now)
        if visit is None:
            try:
                visit = await Patience().counted(self._visit(scope, now))
            except StoreUnavailable as outage:
                if access is Access.PROTECTED:
                    return await _deny(outage, scope, receive, send)
                visit = NOBODY
        identity = visit.identity
        if access is Access.PROTECTED and identity is None:
            return await _deny(visit.trouble or NotSignedIn(), scope, receive, send)
        # A browser lets any site open a socket and sends our cookies along (SECURITY P-14).
        if identity is not None and not visit.bearer and not self._is_own_socket(scope):
            return await _deny(CrossSite(), scope, receive, send)
        lack = demand.lacking(identity, now=now) if identity and demand else None
        if lack is not None:
            return await _deny(lack, scope, receive, send)
        told = self._told(scope, visit)
        if identity is None:
            return await self.app(told, receive, send)
        if self._unconfirmed:
            await self._confirm(identity, scope)
        return await self.live.socket(self.app, identity, told, receive, send)

    def _is_own_socket(self, scope: Scope) -> bool:
        origin = (header(scope, b"origin") or b"").decode("latin-1")
        return origin in self._own_origins

    # --- lifespan ---------------------------------------------------------------------------

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop with the server, whether the wrapped app speaks lifespan or refuses it."""
        asked, answered = False, False

        async def hear() -> Message:
            nonlocal asked
            message = await receive()
            if message["type"] == "lifespan.startup":
                asked = True
                await self._start_early()
            return message

        async def tell(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] != "lifespan.startup.complete":  # over, or it never began
                await self._guard.stop()
            await send(message)

        try:
            await self.app(scope, hear, tell)
        except Exception as error:
            # Django raises on a lifespan scope; whoever has answered once does speak it, and
            # failed.
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

    async def _start_early(self) -> None:
        try:
            await self._guard.start()
        except StoreUnavailable:
            logger.warning(
                "The store does not answer yet: the first request that needs it tries again"
            )


# For servers that cannot send an answer: 1013 is "try again later" (RFC 6455, IANA's registry).
CLOSE_CODES = {400: 4400, 401: 4401, 403: 4403}


def _is_prefetch(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD"):
        return False
    purpose = header(scope, b"sec-purpose") or header(scope, b"purpose") or b""
    return b"prefetch" in purpose.lower()


def _wants_events(scope: Scope) -> bool:
    # What an EventSource sends. Anything else on a public path is anybody's, and costs nothing.
    return b"text/event-stream" in (header(scope, b"accept") or b"")


# What tells how whoever is turned away wants to hear it.
WISHES = frozenset((b"hx-request", b"sec-fetch-mode", b"accept"))


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
