"""Revocations: what a worker knows of sessions that ended before their access tokens did."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from authkit_asgi.accounts import USERS, User
from authkit_asgi.core.identity import Identity
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.seals import Seals
from authkit_asgi.core.tokens import CLOCK_SKEW
from authkit_asgi.flights import Flights
from authkit_asgi.settings import Settings
from authkit_asgi.store import R, Range, Store, Table

# The claim that says how often the user's roles had changed: only in tokens of users whose ever
# did.
ROLE_EPOCH = "roleEpoch"

# Seconds by which a read looks back behind the one before it: clocks may differ, and what was dated
# before that read may have been written after it.
OVERLAP = 2 * CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class _Raised:
    epoch: int
    spared: str
    role_epoch: int
    forget_at: float


class Revocations:
    """What this worker knows of ended sessions: enough to refuse their access tokens without a
    query.

    The rows that ended are read at most once per `revocation_poll`, on the way of a request that
    finds the knowledge older than that. Reads overlap by the skew tolerated between workers'
    clocks, and by as much for slow writes. What is older than an access token's life is forgotten:
    no token of it can be alive.

    With a broadcast, the worker that ended a session tells the others, which need not wait for
    their next read then. What it tells stays true for ever: heard late, twice or out of order it
    does no harm, and whoever listens in can neither forge nor usefully repeat it.
    """

    def __init__(self, store: Store, settings: Settings, sessions: Table[Session]) -> None:
        self._store = store
        self._sessions = sessions
        self._poll = settings.revocation_poll
        self._memory = settings.access_token_lifetime + 2 * CLOCK_SKEW
        self._closed: dict[str, float] = {}
        self._raised: dict[str, _Raised] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self.is_behind = False  # the last read failed
        self.is_owed = False  # a read, by whoever has an answer out first
        self._reads: Flights[None] = Flights()
        # Of refresh tokens: those never leave the workers that sign them.
        self._seals = Seals(settings.refresh_token_secret, "revocations")
        self._lock = threading.Lock()  # others are heard on a thread of the broadcast's
        self.tell: Callable[[bytes], None] | None = None

    def allow(self, identity: Identity, now: float) -> bool:
        """Whether it can be said, without a read, that the identity's session goes on."""
        tried_at = self._tried_at
        if tried_at is None or not -self._poll < now - tried_at < self._poll:
            return False
        if identity.session_id in self._closed:
            return False
        return identity.id not in self._raised or not self.denies(identity)

    def denies(self, identity: Identity) -> bool:
        """Whether the identity's session is known to be over, or its user's roles to be others than
        its token says. A refresh tells these two apart, and brings the new roles."""
        if identity.session_id in self._closed:
            return True
        raised = self._raised.get(identity.id)
        if raised is None:
            return False
        if identity.epoch < raised.epoch and identity.session_id != raised.spared:
            return True
        return _is_outdated(identity, raised)

    def outdates(self, identity: Identity) -> bool:
        """Whether roles are known to have changed since its token was made."""
        raised = self._raised.get(identity.id)
        return raised is not None and _is_outdated(identity, raised)

    def age(self, now: float) -> float | None:
        """Seconds since the store was last read. None: it never was."""
        return None if self._read_at is None else max(0.0, now - self._read_at)

    def is_fresh(self, now: float) -> bool:
        # A clock that jumped back must not blind us for an hour: any distance counts (SECURITY
        #
        return self._tried_at is not None and abs(now - self._tried_at) < self._poll

    async def refresh(self, now: float, start: Callable[[], Awaitable[None]] | None = None) -> None:
        """Read what is new, from a store that `start` opens if need be. Raises `StoreUnavailable`;
        what was known stays known.
        """
        # Whoever waited for a read that had begun long before may need one of its own.
        while not self.is_fresh(now):
            await self._reads.run("read", lambda: self._read_once(now, start))

    async def repair(self, now: float, start: Callable[[], Awaitable[None]]) -> None:
        """Read what a `refresh` failed to read, with all the time that it takes, while nobody waits
        for it. Raises `StoreUnavailable`."""
        self.is_owed = False
        await self._reads.run("repair", lambda: self._read(now, start))

    def put_off(self, now: float, *, is_owed: bool = False) -> None:
        """A read has failed: try the next one a poll interval from `now`, so that an outage costs
        each worker one slow read per interval, however long the store takes to fail.

        `is_owed`: it was given up, and might have succeeded."""
        self._tried_at = now
        self.is_behind, self.is_owed = True, is_owed

    def expire(self) -> None:
        """Something may have been told that was not heard: the next request reads. On any
        thread."""
        self._tried_at = None

    def note_session(self, session_id: str, *, now: float) -> None:
        """It was ended here: whoever else serves it must know."""
        self._keep_session(session_id, now)
        self._tell("session", session_id)

    def note_user(self, user: User, *, now: float) -> None:
        """Sessions of the user were ended here, or roles changed: the others must know."""
        self._keep_user(user.id, user.epoch, user.spared, user.role_epoch, now)
        self._tell("user", user.id, user.epoch, user.spared, user.role_epoch)

    def hear(self, message: bytes, *, now: float) -> None:
        """What another worker tells. On any thread.

        Whatever none of ours has sealed is left alone: a neighbour who shares the Redis must not be
        able to sign anybody out. So is what a worker of another version tells in other words.
        """
        opened = self._seals.opened(message)
        if opened is None:
            return
        match json.loads(opened):
            case ["session", str(session_id)]:
                self._keep_session(session_id, now)
            case ["user", str(user_id), int(epoch), str(spared), int(role_epoch)]:
                self._keep_user(user_id, epoch, spared, role_epoch, now)

    def _tell(self, *what: str | int) -> None:
        if self.tell is not None:
            self.tell(self._seals.sealed(json.dumps(what).encode()))

    def _keep_session(self, session_id: str, now: float) -> None:
        with self._lock:
            self._closed[session_id] = now + self._memory

    def _keep_user(
        self, user_id: str, epoch: int, spared: str, role_epoch: int, now: float
    ) -> None:
        with self._lock:
            known = self._raised.get(user_id)
            if known is not None and known.epoch >= epoch:  # an older row, or one that we know
                if known.role_epoch >= role_epoch:
                    return
                epoch, spared = known.epoch, known.spared
            elif known is not None:
                role_epoch = max(role_epoch, known.role_epoch)
            self._raised[user_id] = _Raised(epoch, spared, role_epoch, now + self._memory)

    async def _read_once(self, now: float, start: Callable[[], Awaitable[None]] | None) -> None:
        if not self.is_fresh(now):
            await self._read(now, start)

    async def _read(self, now: float, start: Callable[[], Awaitable[None]] | None) -> None:
        since = now - self._memory
        # When the clock has gone back, we may have forgotten what counts again: read it all.
        if self._read_at is not None and now >= self._read_at - CLOCK_SKEW:
            since = max(since, min(self._read_at, now) - OVERLAP)
        if start is not None:
            await start()
        async for session in _all_since(self._store, self._sessions, "closed_at", since):
            self._keep_session(session.id, now)
        async for user in _all_since(self._store, USERS, "epoch_at", since):
            self._keep_user(user.id, user.epoch, user.spared, user.role_epoch, now)
        self._tried_at = self._read_at = now
        self.is_behind = self.is_owed = False
        self._forget(now)

    def _forget(self, now: float) -> None:
        with self._lock:
            self._closed = {key: until for key, until in self._closed.items() if until > now}
            self._raised = {key: one for key, one in self._raised.items() if one.forget_at > now}


def _is_outdated(identity: Identity, raised: _Raised) -> bool:
    if not raised.role_epoch:
        return False
    claim = identity.claims.get(ROLE_EPOCH)
    return type(claim) is not int or claim < raised.role_epoch


async def _all_since(store: Store, table: Table[R], column: str, since: float) -> AsyncIterator[R]:
    limit = 1000
    while True:
        rows = await store.find(table, {column: Range(ge=since)}, order=column, limit=limit)
        for row in rows:
            yield row
        if len(rows) < limit:
            return
        # The last value is read again, as others may share it; were it the only one, a larger page
        # helps.
        last = getattr(rows[-1], column)
        limit *= 2 if last == since else 1
        since = last
