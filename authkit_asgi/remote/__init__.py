"""The guard for services without accounts: it verifies access tokens by public keys, with no store
and no secret.

    from authkit_asgi.remote import RemoteKit

    kit = RemoteKit(issuer="https://app.example.com")
    app = AuthMiddleware(my_app, kit=kit, rules=PathRules(public=["/health"]))

A logout does not reach it: a session that ended is refused when its access token ends, which is
`AUTHKIT_ACCESS_TOKEN_LIFETIME` later at the most.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from authkit_asgi.core.paths import PathRules
from authkit_asgi.core.tokens import ACCESS, KeyPair, Tokens
from authkit_asgi.events import Events
from authkit_asgi.guard_services import GuardServices
from authkit_asgi.middleware import AuthMiddleware, Mode
from authkit_asgi.purging import Purging
from authkit_asgi.remote.asking import AccountsUnavailable, Asking, checked_url
from authkit_asgi.remote.exchange import RemoteSessions
from authkit_asgi.remote.published import PublishedKeys
from authkit_asgi.settings import Settings, origin_of
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import ASGIApp
from authkit_asgi.web.cookies import CookieJar
from authkit_asgi.web.jwks import JWKS_PATH

__all__ = ["AccountsUnavailable", "RemoteKit", "service_settings"]


def service_settings(**values: Any) -> Settings:
    """The settings of a service without accounts: `AUTHKIT_*` and `values`, and no secret of
    anybody's. Raises `SettingsError`."""
    # The settings ask for secrets. These sign nothing, and nobody knows them.
    unused = {name: secrets.token_hex(32) for name in ("token_secret", "refresh_token_secret")}
    return Settings(**{**unused, "access_keys": (), "database_url": "memory:", **values})


class RemoteKit:
    """What `AuthMiddleware` takes as its `kit` where another service has the accounts.

    `issuer` is that service's `AUTHKIT_BASE_URL`. Its keys are read at `jwks_url`, by default its
    `/.well-known/jwks.json`; or they are `public_keys`, each a PEM or a JWK, and nothing is read.
    `refresh_url` is its `POST /token`: expired tokens are then exchanged there, within the request;
    without it they are refused with `token_expired`. `clock` returns seconds since the epoch.

    Raises `ValueError` for an address or a key that will not do, and without the extra `keys`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        issuer: str,
        jwks_url: str = "",
        public_keys: Sequence[str | Mapping[str, object]] = (),
        refresh_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if jwks_url and public_keys:
            raise ValueError("give either jwks_url or public_keys")
        for key in public_keys:
            KeyPair(ACCESS, key)  # a secret that others could verify with, they could sign with
        self.settings = settings or service_settings()
        self.events = Events()
        issuer = origin_of(issuer)
        url = "" if public_keys else checked_url(jwks_url or issuer + JWKS_PATH)
        tokens = Tokens(
            issuer, {ACCESS: public_keys}, {ACCESS: self.settings.access_token_lifetime}
        )
        on_retired: list[Callable[[], None]] = []
        jar = CookieJar(self.settings)
        exchange_at = checked_url(refresh_url) if refresh_url else ""
        self._asking = Asking()
        self._keys = PublishedKeys(tokens, self._asking, url, clock, on_retired)
        self.guard = GuardServices(
            settings=self.settings,
            tokens=tokens,
            sessions=RemoteSessions(tokens, self._keys, self._asking, exchange_at, jar, clock),
            events=self.events,
            jar=jar,
            purging=Purging(MemoryStore(), ()),
            clock=clock,
            start=self.start,
            stop=self.close,
            learn=self._keys.learn,
            on_retired=on_retired,
        )

    async def start(self) -> None:
        """Read the keys, if they are not known yet. The first request does it, too. Raises
        `AccountsUnavailable`; the next call tries again."""
        await self._keys.load()

    async def close(self) -> None:
        """Let go of threads. `start` begins anew."""
        self._asking.close()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """For frameworks that take a lifespan. The middleware needs none: it starts by itself."""
        await self.start()
        try:
            yield
        finally:
            await self.close()

    def wrap(
        self, app: ASGIApp, rules: PathRules | None = None, *, mode: Mode = "enforce"
    ) -> AuthMiddleware:
        return AuthMiddleware(app, kit=self, rules=rules, mode=mode)

    def rules_for(self, rules: PathRules) -> PathRules:
        return rules
