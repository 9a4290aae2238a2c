"""Who is asking: out of the cookies of a request, and of a Bearer token where that is allowed.

Known tokens are remembered, so that most requests cost a look into a map. What only the store can
tell is asked there, and an expired access token is exchanged on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import anyio

from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.core.remembered import REMEMBERED, Remembered
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.errors import AuthError, NotSignedIn, StoreUnavailable, TokenExpired
from authkit_asgi.guard_services import GuardServices
from authkit_asgi.patience import Patience
from authkit_asgi.sessions import TokenPair
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.caching import RawHeaders
from authkit_asgi.web.cookies import read_cookie, read_cookies, values_in
from authkit_asgi.web.requests import header, visitor_in

logger = logging.getLogger("authkit_asgi.middleware")

# Seconds that a valid access token waits for what is known of ended sessions; and while that could
# not be read, which then goes on after the answer.
WAIT = 1.0
WAIT_BEHIND = 0.25


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


class Recognition:
    """`names`: of the access and the refresh cookie. `former`: what they were called before."""

    def __init__(self, guard: GuardServices) -> None:
        self.names = (guard.jar.access_name.encode(), guard.jar.refresh_name.encode())
        self.former = [name.encode() for name in guard.jar.former_names]
        self._guard = guard
        self._settings = guard.settings
        self._clock = guard.clock
        self._bearer = guard.settings.bearer
        self._sessions = guard.sessions
        self._revocations = guard.sessions.revocations
        self._jar = guard.jar
        # Whole Cookie headers first: nothing is searched for a browser that sends what it sent
        # before.
        self._by_header: Remembered[Identity] = Remembered()
        self._by_token: Remembered[Identity] = Remembered()
        guard.on_retired.extend((self._by_header.clear, self._by_token.clear))
        # Generations seen in use, of which the store does not know yet.
        self.unconfirmed: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        """How much is kept of what was seen."""
        return len(self._by_header) + len(self._by_token) + len(self.unconfirmed)

    def recall(self, headers: RawHeaders) -> Identity | Literal[False] | None:
        """Who asks, where that takes no thought: no cookie, or one header that was seen before.

        False: nobody. None: it takes a closer look. With several Cookie headers it always does, for
        one of them alone proves nothing.
        """
        cookie: bytes | None = None
        for name, value in headers:
            if name == b"cookie":
                if cookie is not None:
                    return None
                cookie = value
        if self._bearer and any(name == b"authorization" for name, _ in headers):
            return None
        if cookie is None:
            return False
        now = self._clock()
        who = self._by_header.get(cookie)
        if who is None:
            return self._look(cookie, now)
        if now < who.expires_at and self._revocations.allow(who, now):
            return who
        return None

    def _look(self, cookie: bytes, now: float) -> Identity | Literal[False] | None:
        """As far as the cookies tell, without asking the store. None: it is to be asked."""
        access, refresh = values_in(cookie, self.names)
        if access is None:
            former = any(name in cookie for name in self.former)
            return False if refresh is None and not former else None
        who = known = self._by_token.get(access)
        if who is None:
            claims = self._guard.tokens.read(ACCESS, access, now=now, expired_too=True)
            if claims is None:  # it may be signed with a key that is still to be learned
                return False if refresh is None and self._guard.learn is None else None
            who = identity_of(claims)
        if now >= who.expires_at or not self._revocations.allow(who, now):
            return None
        if known is None:
            self._remember(access, who)
        self._by_header.put(cookie, who)
        return who

    async def visit(self, scope: Scope, now: float) -> Visit:
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
        access, refresh = read_cookies(scope["headers"], self.names)
        if self.former and access is None and refresh is None:
            # What this cookie was called before: good for one exchange, which renames it.
            refresh = read_cookie(scope["headers"], self.former[1])
        visit = await self._by_access_token(access, now)
        if visit is not None and visit.identity is not None:
            if len(cookies) == 1:
                self._by_header.put(cookies[0], visit.identity)
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
            await self.catch_up(now)
        # Its key may have been retired meanwhile (SECURITY T-15).
        if self._revocations.denies(identity) or not self._guard.tokens.knows(token):
            return None
        if self._by_token.get(token) is None:
            self._remember(token, identity)
        return Visit(identity=identity)

    def _remember(self, token: bytes, identity: Identity) -> None:
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

    async def catch_up(self, now: float) -> None:
        known = self._revocations
        # In an outage each request would wait, and find out what the one before it did.
        wait = WAIT_BEHIND if known.is_behind else WAIT
        with anyio.move_on_after(wait) as waiting, suppress(StoreUnavailable):
            await known.refresh(now, self._guard.start)
            return
        # An outage of ours is never a logout: a valid access token keeps working (SECURITY Q-06).
        known.put_off(self._clock(), is_owed=waiting.cancelled_caught)
        logger.warning("Revocations could not be read: the store does not answer")

    async def follow(self, now: float) -> None:
        """For a socket that is open: nobody waits."""
        await self.catch_up(now)
        if self._revocations.is_owed:
            await self.repair()

    async def repair(self) -> None:
        """The database may just be slow. After the answer is out there is time: what is known must
        not stay behind for as long as that lasts (SECURITY S-10)."""
        known = self._revocations
        try:
            await known.repair(self._clock(), self._guard.start)
        except StoreUnavailable:
            known.put_off(self._clock())

    def _note_unconfirmed(self, identity: Identity) -> None:
        if identity.generation > 0:
            if len(self.unconfirmed) >= REMEMBERED:
                self.unconfirmed.clear()
            self.unconfirmed.add((identity.session_id, identity.generation))

    async def confirm(self, identity: Identity, scope: Scope) -> None:
        """Write down that this generation's tokens arrived; until then their predecessor stays
        redeemable. After the answer is out, and best effort: what fails, or is cancelled, is left
        to the next request.

        A guard around this one may have made the tokens in this very request: it is left to it.
        """
        seen = (identity.session_id, identity.generation)
        if seen not in self.unconfirmed or isinstance(scope.get("user"), Identity):
            return
        self.unconfirmed.remove(seen)
        written = False
        try:
            await self._guard.start()
            await self._sessions.confirm(identity, now=self._clock())
            written = True
        except StoreUnavailable:
            logger.debug("A confirmation was not written")
        finally:
            if not written:
                self.unconfirmed.add(seen)

    async def is_overtaken(self, visit: Visit) -> bool:
        """Whether the browser may have other cookies by now, because the app took its time: those
        of a new password, of the next refresh or of another sign-in. Replaced by ours, they would
        come back no more, and ours would look like a copy (SECURITY S-08).

        Left out, ours cost nothing: dead cookies are cleared the next time, and an exchange whose
        answer was lost can be repeated.
        """
        if visit.identity is None or visit.pair is None:
            return True
        try:
            session = await Patience().counted(self._sessions.get(visit.identity.session_id))
        except StoreUnavailable:
            return False
        if session is None or session.closed_at is not None:
            return True
        return session.generation != visit.pair.generation


def _is_prefetch(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD"):
        return False
    purpose = header(scope, b"sec-purpose") or header(scope, b"purpose") or b""
    return b"prefetch" in purpose.lower()
