"""Sign-in: a first factor, then every gate in order, then a session. No way leads around the gates.

A gate says None to let an attempt pass, names a challenge to ask for more (`"totp"`), or raises a
refusal. A challenged sign-in becomes a *ticket*: a row, not a token, so it can be used up, counted
and voided, and can never pass as an access or refresh token (SECURITY M-01, T-22).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from authkit_asgi.accounts import Accounts, User
from authkit_asgi.core.fields import link_text
from authkit_asgi.core.links import RAW_BYTES, digest_of, text_of
from authkit_asgi.core.rotation import Session
from authkit_asgi.errors import AuthError, BadCredentials, ChallengeRequired, TicketInvalid
from authkit_asgi.events import Events, SignedIn, SignInFailed, Visitor
from authkit_asgi.sessions import Sessions, TokenPair
from authkit_asgi.settings import MINUTE
from authkit_asgi.store import Store, Table

TICKET_LIFETIME = 10 * MINUTE
MAX_ANSWERS = 5  # wrong answers to one challenge, NIST SP 800-63B-4 section 3.2.2 and SECURITY M-04


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in under way. `methods` are the factors proved so far, in RFC 8176's words."""

    user: User
    methods: tuple[str, ...]
    remember: bool
    visitor: Visitor
    now: float


Gate = Callable[[Attempt], Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A half-finished sign-in. `id` is the digest of what the client holds, `email` the account's
    address then: a ticket ends with its address, and with the user's epoch (SECURITY V-08)."""

    id: str
    user_id: str
    email: str
    challenge: str
    methods: tuple[str, ...]
    remember: bool
    # Both as the account had them: a new password or address voids the ticket (SECURITY V-08).
    epoch: int
    email_key: str
    expires_at: float
    purge_at: float | None = None


TICKETS = Table(
    name="tickets", record=Ticket, indexes=(("user_id",), ("purge_at",)), purge="purge_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A finished sign-in."""

    user: User
    session: Session
    pair: TokenPair


class SignIn:
    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        sessions: Sessions,
        events: Events,
        gates: Sequence[Gate] = (),
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._sessions = sessions
        self._events = events
        self._gates = gates

    async def with_password(
        self, email: str, password: str, *, remember: bool, visitor: Visitor, now: float
    ) -> Opened:
        """Raises `BadCredentials`, `ChallengeRequired`, or a gate's refusal."""
        try:
            user = await self._accounts.authenticate(email, password)
        except BadCredentials as refusal:
            # Who it was about is not said: what was typed as an address may be a password.
            await self._events.tell(SignInFailed(at=now, visitor=visitor, reason=refusal.code))
            raise
        attempt = Attempt(user=user, methods=("pwd",), remember=remember, visitor=visitor, now=now)
        return await self.proceed(attempt)

    async def proceed(self, attempt: Attempt) -> Opened:
        """Through the gates, and into a session."""
        try:
            for gate in self._gates:
                if challenge := await gate(attempt):
                    raise ChallengeRequired(challenge, await self._ticket(attempt, challenge))
        except AuthError as refusal:
            await self._events.tell(
                SignInFailed(
                    at=attempt.now,
                    user_id=attempt.user.id,
                    visitor=attempt.visitor,
                    reason=refusal.code,
                )
            )
            raise
        return await self._open(attempt)

    async def answer(
        self,
        ticket: object,
        challenge: str,
        prove: Callable[[User], Awaitable[str]],
        *,
        visitor: Visitor,
        now: float,
    ) -> Opened:
        """Go on with a half-finished sign-in.

        `prove` checks the answer and returns the method that it proves, or raises a refusal. Raises
        `TicketInvalid` for a ticket that is unknown, used up, over, of another challenge, or
        answered wrongly too often.
        """
        row, user = await self._read(ticket, challenge, now=now)
        method = await prove(user)
        if await self._store.take(TICKETS, row.id) is None:
            raise TicketInvalid
        return await self.proceed(
            Attempt(
                user=user,
                methods=(*row.methods, method, "mfa"),
                remember=row.remember,
                visitor=visitor,
                now=now,
            )
        )

    async def _open(self, attempt: Attempt) -> Opened:
        session, pair = await self._sessions.open(
            attempt.user,
            methods=attempt.methods,
            remember=attempt.remember,
            visitor=attempt.visitor,
            now=attempt.now,
        )
        changed = await self._accounts.change(attempt.user, {"last_login_at": attempt.now})
        await self._events.tell(
            SignedIn(
                at=attempt.now,
                user_id=attempt.user.id,
                session_id=session.id,
                visitor=attempt.visitor,
            )
        )
        user = changed or replace(attempt.user, last_login_at=attempt.now)
        return Opened(user=user, session=session, pair=pair)

    async def _ticket(self, attempt: Attempt, challenge: str) -> str:
        text = text_of(secrets.token_bytes(RAW_BYTES))
        ticket = Ticket(
            id=digest_of(text),
            user_id=attempt.user.id,
            email=attempt.user.email_key or "",
            challenge=challenge,
            methods=attempt.methods,
            remember=attempt.remember,
            epoch=attempt.user.epoch,
            email_key=attempt.user.email_key or "",
            expires_at=attempt.now + TICKET_LIFETIME,
            purge_at=attempt.now + TICKET_LIFETIME,
        )
        await self._store.insert(TICKETS, ticket)
        return text

    async def _read(self, ticket: object, challenge: str, *, now: float) -> tuple[Ticket, User]:
        known = link_text(ticket)
        row = await self._store.get(TICKETS, digest_of(known)) if known else None
        if row is None or row.challenge != challenge or now >= row.expires_at:
            raise TicketInvalid
        # Counted before the answer is looked at, so that a burst cannot try more often.
        tries = await self._store.add(f"ticket:{row.id}", expires_at=row.expires_at, now=now)
        user = await self._accounts.by_id(row.user_id) if tries <= MAX_ANSWERS else None
        if user is None or (user.epoch, user.email_key) != (row.epoch, row.email_key):
            raise TicketInvalid
        return row, user
