"""What the guard works with, as contracts. `kit` fulfils them with a store, `remote` by HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from authkit_asgi.core.identity import Identity
from authkit_asgi.core.paths import PathRules
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.tokens import Tokens
from authkit_asgi.events import Events, Visitor
from authkit_asgi.purging import Purging
from authkit_asgi.sessions import Refreshed
from authkit_asgi.settings import Settings
from authkit_asgi.web.cookies import CookieJar


class Known(Protocol):
    """What a worker knows that voids access tokens before their end. See `Revocations`."""

    @property
    def is_behind(self) -> bool: ...

    @property
    def is_owed(self) -> bool: ...

    def allow(self, identity: Identity, now: float) -> bool: ...

    def denies(self, identity: Identity) -> bool: ...

    def outdates(self, identity: Identity) -> bool: ...

    def is_fresh(self, now: float) -> bool: ...

    def put_off(self, now: float, *, is_owed: bool = False) -> None: ...

    async def refresh(
        self, now: float, start: Callable[[], Awaitable[None]] | None = None
    ) -> None: ...

    async def repair(self, now: float, start: Callable[[], Awaitable[None]]) -> None: ...


class GuardSessions(Protocol):
    """Sessions, as far as the guard has to do with them. See `Sessions`."""

    @property
    def revocations(self) -> Known: ...

    async def refresh(self, token: bytes | None, *, visitor: Visitor, now: float) -> Refreshed: ...

    async def peek(
        self, token: bytes | None, *, now: float, visitor: Visitor
    ) -> Identity | None: ...

    async def confirm(self, identity: Identity, *, now: float) -> None: ...

    async def get(self, session_id: str) -> Session | None: ...

    async def ends_at(self, session_id: str, *, now: float) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardServices:
    """What the guard works with. The kit builds it.

    `learn(token, now)`: where keys are published by somebody else, reads them anew if that may help
    with this token. `on_retired`: what is to be called when a key no longer verifies. `own_paths`:
    where the kit itself answers, and below.
    """

    settings: Settings
    tokens: Tokens
    sessions: GuardSessions
    events: Events
    jar: CookieJar
    purging: Purging
    clock: Callable[[], float]
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    learn: Callable[[bytes, float], Awaitable[None]] | None = None
    on_retired: list[Callable[[], None]] = field(default_factory=list)
    own_paths: tuple[str, ...] = ()


class Kit(Protocol):
    @property
    def guard(self) -> GuardServices: ...

    def rules_for(self, rules: PathRules) -> PathRules:
        """The app's rules together with those of the kit's own routes."""
        ...
