"""The account service's public keys: read once, kept, and read again now and then.

when                                     what happens
---------------------------------------  ----------------------------------------------------------
the first token                          they are read; until that succeeds nobody can be judged
`EVERY` seconds have passed              the next request reads them; a key that is gone is retired
a token names a key we do not know       they are read, at most once in `LEARN_EVERY` seconds:
                                         anybody can make such tokens up
the account service does not answer      what is known stays known
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from authkit_asgi.core.identity import Identity
from authkit_asgi.core.tokens import ACCESS, MAX_BYTES, KeyPair, Tokens
from authkit_asgi.flights import Flights
from authkit_asgi.remote.asking import AccountsUnavailable, Asking

logger = logging.getLogger("authkit_asgi.remote")

EVERY = 60.0  # seconds for which a retired key may be believed here
LEARN_EVERY = 10.0  # seconds
AGAIN = 2.0  # seconds after a failure
TIMEOUT = 1.5  # seconds
MAX_KEYS = 16
PUBLIC = ("kty", "crv", "x", "y")  # of a JWK; whatever else it says is not looked at


class PublishedKeys:
    """Keeps the keys of `tokens` as they are at `url`. Where there is no `url`, they never change.

    To the guard it is what `Revocations` is where there is a store: what voids tokens before their
    end. That is a retired key. Of sessions that ended it knows nothing.
    """

    def __init__(
        self,
        tokens: Tokens,
        asking: Asking,
        url: str,
        clock: Callable[[], float],
        on_retired: Sequence[Callable[[], None]],
    ) -> None:
        self._tokens = tokens
        self._asking = asking
        self._url = url
        self._clock = clock
        self._on_retired = on_retired
        self._is_read = not url
        self._fresh_from: float | None = None
        self._learned_at: float | None = None
        self._reads: Flights[None] = Flights()
        self.is_behind = False  # the last read failed
        self.is_owed = False

    def allow(self, identity: Identity, now: float) -> bool:
        return self.is_fresh(now)

    def denies(self, identity: Identity) -> bool:
        return False

    def outdates(self, identity: Identity) -> bool:
        return False

    def is_fresh(self, now: float) -> bool:
        # Any distance counts: a clock may jump back.
        return not self._url or (
            self._fresh_from is not None and abs(now - self._fresh_from) < EVERY
        )

    async def load(self) -> None:
        """Read the keys, if that was never done. Raises `AccountsUnavailable`."""
        if not self._is_read:
            await self._reads.run("keys", self._read)

    async def learn(self, token: bytes, now: float) -> None:
        """Read the keys anew if `token` may be signed with one that is not known yet.

        Raises `AccountsUnavailable` when no key is known at all: then nobody can be told from a
        stranger.
        """
        if not self._url or self._tokens.knows(token) or not _looks_like_one(token):
            return
        pace = LEARN_EVERY if self._is_read else AGAIN
        if self._learned_at is None or abs(now - self._learned_at) >= pace:
            with suppress(AccountsUnavailable):
                await self._reads.run("keys", self._learn)
        if not self._is_read:
            raise AccountsUnavailable

    async def refresh(self, now: float, start: Callable[[], Awaitable[None]] | None = None) -> None:
        """Read the keys, unless somebody just did. Raises `AccountsUnavailable`."""
        if not self.is_fresh(now):
            await self._reads.run("keys", self._read)

    async def repair(self, now: float, start: Callable[[], Awaitable[None]]) -> None:
        """As `refresh`, while nobody waits for it."""
        self.is_owed = False
        await self.refresh(now)

    def put_off(self, now: float, *, is_owed: bool = False) -> None:
        """A read has failed: the next one is due in `AGAIN` seconds."""
        self._fresh_from = now - EVERY + AGAIN
        self.is_behind, self.is_owed = True, is_owed

    async def _learn(self) -> None:
        # Only these are counted: what is new a moment after the start is learned all the same.
        try:
            await self._read()
        finally:
            self._learned_at = self._clock()

    async def _read(self) -> None:
        answer = await self._asking.ask("GET", self._url, within=TIMEOUT)
        keys = _keys_in(answer.body) if answer.status == 200 else None
        if keys is None:
            logger.warning("There is no list of keys at %s (%d)", self._url, answer.status)
            raise AccountsUnavailable
        if not keys:
            logger.warning("No key is published at %s: set AUTHKIT_ACCESS_KEYS there", self._url)
        if self._tokens.use(ACCESS, keys):
            for forget in self._on_retired:
                forget()
        self._fresh_from = self._clock()
        self._is_read = True
        self.is_behind = self.is_owed = False


def _looks_like_one(token: bytes) -> bool:
    return len(token) <= MAX_BYTES and token.count(b".") == 2


def _keys_in(body: bytes) -> list[Mapping[str, object]] | None:
    """The keys that are of use to us; others may be there, too. None: this is no JWK Set."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    published = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(published, list):
        return None
    public = [
        {name: jwk[name] for name in PUBLIC if name in jwk}
        for jwk in published[:MAX_KEYS]
        if isinstance(jwk, dict)
    ]
    return [jwk for jwk in public if _is_ours(jwk)]


def _is_ours(jwk: Mapping[str, object]) -> bool:
    try:
        KeyPair(ACCESS, jwk)
    except ValueError:
        return False
    return True
