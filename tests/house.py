"""Sessions without HTTP: workers over one store, a user, and stores that break when told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from authkit_asgi.accounts import USERS, Accounts, User, public_profile
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.tokens import ACCESS, REFRESH, Claims, Tokens
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.events import Events, Visitor
from authkit_asgi.hashing import Hashing
from authkit_asgi.sessions import SESSIONS, Refreshed, Sessions, TokenPair
from authkit_asgi.settings import Settings
from authkit_asgi.store import Store
from tests.world import START, Ear, settings

PHONE = Visitor(ip="192.0.2.7", user_agent="Phone")
LAPTOP = Visitor(ip="198.51.100.9", user_agent="Laptop")


@dataclass
class Breaking:
    """A real store that fails a verb when told to: `before` it did anything, or `after` it was
    done and only the answer is lost."""

    store: Store
    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        verb: Callable[..., Any] = getattr(self.store, name)

        async def breaking(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            if name in self.before:
                raise StoreUnavailable
            done = await verb(*args, **more)
            if name in self.after:
                raise StoreUnavailable
            return done

        return breaking


class House:
    """One installation: settings, secrets and rows that all its workers share."""

    def __init__(self, store: Store, **changes: Any) -> None:
        self.store = store
        self.settings: Settings = settings(**changes)
        self.ear = Ear()
        secrets = {
            ACCESS: self.settings.token_secret,
            REFRESH: self.settings.refresh_token_secret,
        }
        self.tokens = Tokens(self.settings.origin, secrets)
        self.sessions = self.worker()

    async def open(self) -> House:
        await self.store.open([USERS, SESSIONS])
        return self

    def accounts(self, store: Store | None = None) -> Accounts:
        return Accounts(store or self.store, Hashing(Passwords(rounds=4, min_length=8)))

    def worker(self, store: Store | None = None) -> Sessions:
        """One process's view; `store` is its own way to the rows."""
        own = store or self.store
        events = Events([self.ear])
        return Sessions(own, self.accounts(own), self.tokens, events, self.settings, public_profile)

    async def user(self, name: str = "ada") -> User:
        return await self.accounts().create(
            firstname=name.capitalize(),
            lastname="Lovelace",
            username=name,
            email=f"{name}@example.test",
            password_hash=None,
            now=START,
            is_verified=True,
        )

    async def opened(
        self, user: User, *, remember: bool = False, now: float = START
    ) -> tuple[Session, TokenPair]:
        return await self.sessions.open(
            user, methods=("pwd",), remember=remember, visitor=PHONE, now=now
        )

    async def refresh(
        self, pair: TokenPair, *, now: float, worker: Sessions | None = None
    ) -> Refreshed:
        sessions = worker or self.sessions
        return await sessions.refresh(pair.refresh.encode(), visitor=LAPTOP, now=now)

    async def moved_on(self, pair: TokenPair, *, now: float) -> TokenPair:
        """The next pair, taken and seen in use."""
        refreshed = await self.refresh(pair, now=now)
        assert refreshed.pair is not None
        claims = self.access(refreshed.pair)
        await self.store.swap(
            SESSIONS,
            claims.session_id,
            expect={"generation": claims.generation},
            change={"confirmed": claims.generation},
        )
        return refreshed.pair

    async def row(self, session_id: str) -> Session:
        row = await self.store.get(SESSIONS, session_id)
        assert row is not None
        return row

    def access(self, pair: TokenPair) -> Claims:
        claims = self.tokens.read(ACCESS, pair.access.encode(), now=0.0 + 2**40, expired_too=True)
        assert claims is not None
        return claims

    def refresh_claims(self, pair: TokenPair) -> Claims:
        claims = self.tokens.read(REFRESH, pair.refresh.encode(), now=2.0**40, expired_too=True)
        assert claims is not None
        return claims
