"""Enforces the budgets that routes state. Counters live in the store, so they hold over all
workers."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from authkit_asgi.core.fields import email_key
from authkit_asgi.errors import TooMany
from authkit_asgi.events import Event, PasswordReset, SignedIn
from authkit_asgi.features import Plug, Services
from authkit_asgi.web.routes import Call, Limit, Route
from authkit_asgi.web.visitor import limit_key


@dataclass(frozen=True, slots=True)
class Limits:
    """A refused call counts too, so whoever goes on trying goes on waiting, until the window
    ends."""

    name = "limits"
    needs = ()

    def plug(self, services: Services) -> Plug:
        limiter = _Limiter(services)
        return Plug(checks=(limiter.check,), listeners=(limiter.hear,))


class _Limiter:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def check(self, route: Route, call: Call[Any]) -> None:
        """Before the handler, so before any password is hashed (SECURITY L-01)."""
        for limit in route.limits:
            counter = _counter(route.path, limit.by, _value(limit, call))
            # Counted and compared in one step: a burst cannot slip through (SECURITY L-05).
            count = await self._services.store.add(
                counter, expires_at=call.now + limit.per, now=call.now
            )
            if count > limit.times:
                raise TooMany(retry_after=math.ceil(limit.per))

    async def hear(self, event: Event) -> None:
        """A good sign-in clears the account's own counter, and never the address's (L-06).

        So does a reset: whoever guesses at an account must not keep its owner out (L-07).
        """
        if not isinstance(event, (SignedIn, PasswordReset)):
            return
        user = await self._services.accounts.by_id(event.user_id)
        if user is None or user.email_key is None:
            return
        counter = _counter("/login", "email", user.email_key)
        count = await self._lower(counter, 0, event)
        left = await self._lower(counter, count, event)
        if left < 0:  # cleared twice at once: that must leave no credit to guess with
            await self._lower(counter, -min(count, -left), event)

    async def _lower(self, counter: str, amount: int, event: Event) -> int:
        store = self._services.store
        return await store.add(counter, -amount, expires_at=event.at + 1, now=event.at)


def _value(limit: Limit, call: Call[Any]) -> str:
    if limit.by == "ip":
        return limit_key(call.visitor.ip)
    if limit.by == "user":
        return call.identity.id
    return email_key(str(getattr(call.body, limit.by)))


def _counter(path: str, by: str, value: str) -> str:
    # A digest: what was typed as an address may be a password (SECURITY A-06).
    return f"limit:{path}:{by}:{hashlib.sha256(value.encode()).hexdigest()[:32]}"
