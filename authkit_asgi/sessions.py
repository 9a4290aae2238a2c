"""Sessions: the SESSIONS table, opening, refreshing (rotation), listing and closing them.

The rules are in `core.rotation`; here they meet the store. Each step is one atomic write.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

import anyio

from authkit_asgi.accounts import Accounts, User
from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.core.rotation import Session, Verdict, is_over, judge, outlives
from authkit_asgi.core.tokens import ACCESS, CLOCK_SKEW, REFRESH, Claims, Tokens
from authkit_asgi.events import (
    NOBODY,
    Events,
    SessionRefreshed,
    SessionReused,
    SessionRolledBack,
    Visitor,
)
from authkit_asgi.flights import Flights
from authkit_asgi.revocations import ROLE_EPOCH, Revocations
from authkit_asgi.settings import DAY, Settings
from authkit_asgi.store import Store, Table, Value

TOKEN_ID_BYTES = 9  # no two tokens of one generation may share their id
REPLACED = "replaced"  # by another sign-in in the same browser
MAX_SESSIONS = 100  # of one account: the list that a person can be shown, and end
# A row may stay that much longer than it is needed: then a refresh writes to the index over
# `purge_at` once a day only, and otherwise to the row alone.
PURGE_SLACK = DAY

SESSIONS = Table(
    name="sessions",
    record=Session,
    indexes=(("user_id", "created_at"), ("closed_at",), ("purge_at",)),
    purge="purge_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """An access and a refresh token of one generation. Times are whole seconds since the epoch."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    generation: int
    access_expires_at: int
    refresh_expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh token led to. With a `pair`, go on with it.

    Without: `ours` says that the token was one of ours and its session is really dead. Only then
    are cookies cleared. A token that no key of this worker verifies may be another worker's with a
    newer key; where a token expired on its way, its twin may have come in time; and where another
    sign-in took a session's place, the browser has its cookies by now, which a late answer to an
    older request must not clear. `elsewhere`: nothing was tried, for only another service may.
    """

    verdict: Verdict
    ours: bool = True
    elsewhere: bool = False
    pair: TokenPair | None = None
    user: User | None = None
    session: Session | None = None


DEAD = Refreshed(verdict=Verdict.DEAD)
NOT_OURS = Refreshed(verdict=Verdict.DEAD, ours=False)


class Sessions:
    """`claims_of` gives the profile claims that a user's access tokens carry."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        tokens: Tokens,
        events: Events,
        settings: Settings,
        claims_of: Callable[[User], Mapping[str, object]],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._tokens = tokens
        self._events = events
        self._settings = settings
        self._claims_of = claims_of
        self._refreshes: Flights[Refreshed] = Flights()
        self.revocations = Revocations(store, settings, SESSIONS)

    async def open(
        self, user: User, *, methods: tuple[str, ...], remember: bool, visitor: Visitor, now: float
    ) -> tuple[Session, TokenPair]:
        """A new session with an id of its own: nothing a client sent is adopted (SECURITY S-01)."""
        expires_at = now + self._settings.session_max_age
        idle_expires_at = min(now + self._idle(remember), expires_at)
        session = Session(
            id=secrets.token_hex(16),
            user_id=user.id,
            rotated_at=now,
            created_at=now,
            last_seen_at=now,
            idle_expires_at=idle_expires_at,
            expires_at=expires_at,
            remember=remember,
            epoch=user.epoch,
            methods=methods,
            user_agent=visitor.user_agent,
            ip=visitor.ip,
            purge_at=idle_expires_at + self._afterlife,
            auth_time=now,
        )
        await self._store.insert(SESSIONS, session)
        return session, self.pair(session, user, now=now)

    async def refresh(self, token: bytes | None, *, visitor: Visitor, now: float) -> Refreshed:
        """Exchange a refresh token. Concurrent calls with one token share one exchange.

        Raises `StoreUnavailable`; then nothing was used up, and the same token works again.
        """
        claims = self._tokens.read(REFRESH, token, now=now, expired_too=True)
        if claims is None:
            return NOT_OURS
        if now >= claims.expires_at:
            return await self._came_too_late(claims, now)
        key = (claims.session_id, claims.generation, claims.token_id)
        return await self._refreshes.run(key, lambda: self._exchange(claims, visitor, now))

    async def peek(
        self, token: bytes | None, *, now: float, visitor: Visitor = NOBODY
    ) -> Identity | None:
        """Who a refresh token speaks for, without exchanging it: for a WebSocket's handshake, whose
        answer can carry no cookie on some servers (SECURITY S-23). A copy that shows itself this
        way is caught all the same. Raises `StoreUnavailable`."""
        claims = self._tokens.read(REFRESH, token, now=now)
        session = await self.get(claims.session_id) if claims else None
        if claims is None or session is None:
            return None
        verdict = judge(session, claims, now=now, grace=self._settings.refresh_grace)
        if verdict is Verdict.REUSED:
            await self._reused(session, visitor, now)
        user = await self.owner(session) if verdict in (Verdict.ROTATE, Verdict.JOIN) else None
        return identity_of(self._access_claims(session, user, now=now)) if user else None

    def presented(self, access: bytes | None, refresh: bytes | None) -> list[str]:
        """The ids of the sessions that these tokens speak for, the surest first.

        Whenever they were minted: whoever signs out at a worker whose clock is behind has tokens
        from its future, and must not be told that the session is over while it lives on.
        """
        read = [
            self._tokens.read(REFRESH, refresh, now=inf, expired_too=True),
            self._tokens.read(ACCESS, access, now=inf, expired_too=True),
        ]
        return list(dict.fromkeys(claims.session_id for claims in read if claims))

    async def get(self, session_id: str) -> Session | None:
        return await self._store.get(SESSIONS, session_id)

    async def owner(self, session: Session) -> User | None:
        """The session's user, or None when the user has ended it or may not have one."""
        user = await self._accounts.by_id(session.user_id)
        return user if self._entitled(user, session) else None

    async def holder(self, session_id: str, *, now: float) -> User | None:
        """Whose living session this is, or None."""
        session = await self.get(session_id)
        if session is None or is_over(session, now=now):
            return None
        return await self.owner(session)

    async def ends_at(self, session_id: str, *, now: float) -> float | None:
        """When a living session ends, as things stand. None: it is over."""
        session = await self.get(session_id)
        if session is None or is_over(session, now=now):
            return None
        return session.ends_at if await self.owner(session) else None

    async def listing(self, user: User, *, now: float) -> list[Session]:
        """The user's living sessions, the newest first."""
        rows = await self._store.find(
            SESSIONS,
            {"user_id": user.id, "closed_at": None},
            order="created_at",
            descending=True,
            limit=MAX_SESSIONS,
        )
        return [
            session
            for session in rows
            if not is_over(session, now=now)
            and outlives(session, epoch=user.epoch, spared=user.spared)
        ]

    async def close(self, session_id: str, *, reason: str, now: float) -> Session | None:
        """Close one session everywhere. Of many callers one gets it; the others get None."""
        closed = await self._store.swap(
            SESSIONS,
            session_id,
            expect={"closed_at": None},
            change={"closed_at": now, "close_reason": reason, "purge_at": now + self._afterlife},
        )
        self.revocations.note_session(session_id, now=now)
        return closed

    async def close_all(self, user_id: str, *, now: float, spare: str = "") -> User | None:
        """Close every session of a user, but for `spare`, in one write.

        None: the user is gone, or `spare` is not a living session of this user. A worker that has
        not heard of its end yet still takes its access token for a moment, and whoever holds that
        must not bring the session back by sparing it (SECURITY S-11).
        """
        if spare:
            user = await self._end_others(user_id, spare, now=now)
        else:
            user = await self._accounts.end_sessions(user_id, now=now)
        if user is not None:
            self.revocations.note_user(user, now=now)
        return user

    async def renew(
        self, session_id: str, user: User, *, visitor: Visitor, now: float
    ) -> TokenPair | None:
        """New tokens for a living session whose holder has just proved who it is. None: it is
        over. From here on its tokens say so, in `auth_time`.

        A generation that was not seen in use yet is not followed by another: were that answer lost
        too, the browser would be two behind, and look like a thief. Nor is one that is younger than
        the grace: requests that left with its predecessor may still be under way.
        """
        session = await self.get(session_id)
        if session is None or is_over(session, now=now) or not self._entitled(user, session):
            return None
        proved = await self._store.swap(
            SESSIONS, session.id, expect={"closed_at": None}, change={"auth_time": now}
        )
        if proved is None:
            return None
        session = proved
        is_settled = now - session.rotated_at > self._settings.refresh_grace
        if is_settled and session.confirmed == session.generation:
            rotated = await self._rotate(session, user, visitor, now, parent=None)
            session = rotated or await self.get(session_id)
        if session is None or is_over(session, now=now):
            return None
        return self.pair(session, user, now=now)

    async def reissue(self, identity: Identity, user: User, *, now: float) -> str | None:
        """An access token with the user's new claims, of the same generation and with the same
        end. None: it is over.

        Not of the row's generation: an answer with that one may have been lost, and this token
        would confirm it and make the browser's own refresh token look stolen. Nor with a life of
        its own: a copied access token could then be renewed for ever, and would never have to show
        a refresh token, by which copies are caught (SECURITY S-04).
        """
        session = await self.get(identity.session_id)
        if session is None or is_over(session, now=now) or not self._entitled(user, session):
            return None
        claims = replace(
            self._access_claims(session, user, now=now),
            generation=identity.generation,
            expires_at=identity.expires_at,
            # Nor what somebody else has proved since: the owner, of a thief's copy (SECURITY S-18).
            auth_time=identity.auth_time,
        )
        return self._tokens.mint(ACCESS, claims)

    async def confirm(self, identity: Identity, *, now: float) -> None:
        """The tokens of this generation arrived: their predecessor need not be honoured for longer
        than the grace. The first to say so is heard: later ones must not begin it anew."""
        await self._store.swap(
            SESSIONS,
            identity.session_id,
            expect={"generation": identity.generation, "confirmed": identity.generation - 1},
            change={"confirmed": identity.generation, "confirmed_at": now},
        )

    def pair(self, session: Session, user: User, *, now: float) -> TokenPair:
        access = self._access_claims(session, user, now=now)
        refresh = Claims(
            subject=user.id,
            session_id=session.id,
            generation=session.generation,
            epoch=session.epoch,
            issued_at=int(now),
            expires_at=int(session.ends_at),
            token_id=secrets.token_urlsafe(TOKEN_ID_BYTES),
        )
        return TokenPair(
            access=self._tokens.mint(ACCESS, access),
            refresh=self._tokens.mint(REFRESH, refresh),
            generation=session.generation,
            access_expires_at=access.expires_at,
            refresh_expires_at=refresh.expires_at,
        )

    async def _exchange(self, claims: Claims, visitor: Visitor, now: float) -> Refreshed:
        user: User | None = None
        while True:
            session = await self.get(claims.session_id)
            verdict = judge(session, claims, now=now, grace=self._settings.refresh_grace)
            if session is None or verdict is Verdict.DEAD:
                return NOT_OURS if session and session.close_reason == REPLACED else DEAD
            if verdict is Verdict.REUSED:
                return await self._reused(session, visitor, now)
            if verdict is Verdict.ROLLED_BACK:
                return await self._rolled_back(session, visitor, now)
            # Read once, also when the exchange is lost and judged again: it is as current as this
            # call.
            user = user or await self._accounts.by_id(session.user_id)
            if user is None or not self._entitled(user, session):
                return DEAD
            if verdict is Verdict.ROTATE:
                rotated = await self._rotate(session, user, visitor, now, parent=claims.token_id)
                if rotated is None:
                    continue  # another worker was first: look again, and be its twin
                session = rotated
                await self._tell(SessionRefreshed, session, visitor, now)
            pair = self.pair(session, user, now=now)
            return Refreshed(verdict=verdict, pair=pair, user=user, session=session)

    async def _came_too_late(self, claims: Claims, now: float) -> Refreshed:
        # Perhaps a twin came in time, and the browser has cookies that live.
        session = await self.get(claims.session_id)
        return DEAD if session is None or is_over(session, now=now) else NOT_OURS

    async def _end_others(self, user_id: str, spare: str, *, now: float) -> User | None:
        while (user := await self.holder(spare, now=now)) is not None and user.id == user_id:
            ended = await self._accounts.change_and_end_sessions(user, {}, now=now, spare=spare)
            if ended is not None:
                return ended
        return None

    def _entitled(self, user: User | None, session: Session) -> bool:
        """Nothing that happened to the account since has ended this session (SECURITY S-15)."""
        if user is None or not outlives(session, epoch=user.epoch, spared=user.spared):
            return False
        return user.is_verified or not self._settings.require_verified_email

    async def _rotate(
        self, session: Session, user: User, visitor: Visitor, now: float, *, parent: str | None
    ) -> Session | None:
        idle_expires_at = min(now + self._idle(session.remember), session.expires_at)
        change: dict[str, Value] = {
            "generation": session.generation + 1,
            "confirmed": max(session.confirmed, session.generation),
            "parent": parent,
            "rotated_at": now,
            "last_seen_at": now,
            "idle_expires_at": idle_expires_at,
            "epoch": user.epoch,
            "user_agent": visitor.user_agent or session.user_agent,
            "ip": visitor.ip or session.ip,
        }
        needed_until = idle_expires_at + self._afterlife
        if session.purge_at is None or session.purge_at < needed_until:
            change["purge_at"] = needed_until + PURGE_SLACK
        return await self._store.swap(
            SESSIONS,
            session.id,
            expect={"generation": session.generation, "closed_at": None},
            change=change,
        )

    async def _reused(self, session: Session, visitor: Visitor, now: float) -> Refreshed:
        # The visitor is told with the event: it may be the thief, or the owner behind the thief.
        # Whoever hangs up meanwhile, as a thief may, keeps nobody from hearing of it.
        with anyio.CancelScope(shield=True):
            if await self.close(session.id, reason="reused", now=now):
                await self._tell(SessionReused, session, visitor, now)
        return Refreshed(verdict=Verdict.REUSED, session=session)

    async def _rolled_back(self, session: Session, visitor: Visitor, now: float) -> Refreshed:
        await self._tell(SessionRolledBack, session, visitor, now)
        return Refreshed(verdict=Verdict.ROLLED_BACK, session=session)

    async def _tell(
        self,
        event: type[SessionRefreshed | SessionReused | SessionRolledBack],
        session: Session,
        visitor: Visitor,
        now: float,
    ) -> None:
        await self._events.tell(
            event(at=now, user_id=session.user_id, session_id=session.id, visitor=visitor)
        )

    def _access_claims(self, session: Session, user: User, *, now: float) -> Claims:
        # Never beyond the session's absolute end (SECURITY S-16).
        expires_at = min(now + self._settings.access_token_lifetime, session.ends_at)
        return Claims(
            subject=user.id,
            session_id=session.id,
            generation=session.generation,
            epoch=user.epoch,
            issued_at=int(now),
            expires_at=int(expires_at),
            profile=self._profile(user),
            auth_time=int(session.proved_at),
        )

    def _profile(self, user: User) -> Mapping[str, object]:
        claims = self._claims_of(user)
        return {**claims, ROLE_EPOCH: user.role_epoch} if user.role_epoch else claims

    def _idle(self, remember: bool) -> float:
        settings = self._settings
        return settings.remember_me_lifetime if remember else settings.refresh_token_lifetime

    @property
    def _afterlife(self) -> float:
        """How long after its end a session's row is still needed: its last access token may
        live."""
        return self._settings.access_token_lifetime + CLOCK_SKEW
