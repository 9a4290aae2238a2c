"""What happened, told to whoever listens.

A listener hears and changes nothing: whatever it raises is logged and goes no further.
No event holds a password, a token or a link.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

logger = logging.getLogger("authkit_asgi.events")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request came from: the client's address and its user agent, both capped."""

    ip: str = ""
    user_agent: str = ""


NOBODY = Visitor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`at` is in seconds since the epoch; an empty id means that nobody, or nothing, is known."""

    at: float
    user_id: str = ""
    session_id: str = ""
    visitor: Visitor = field(default=NOBODY)


class SignedIn(Event):
    """A session was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInFailed(Event):
    """A first factor did not match, or a gate refused. `reason` is the refusal's code."""

    reason: str = ""


class Reauthenticated(Event):
    """Somebody signed in has proved once more who it is."""


class SignedOut(Event):
    """A person ended the session that they were using."""


class SessionRefreshed(Event):
    """A refresh token was exchanged: the session moved on by one generation."""


class SessionReused(Event):
    """An old refresh token came back: someone kept a copy. The session is closed."""


class SessionRolledBack(Event):
    """A refresh token newer than the store's row: the store lost a write. Not a theft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsEnded(Event):
    """Sessions were ended from elsewhere. `scope` is `one`, `others` or `all`."""

    scope: str = "one"


class Registered(Event):
    """An account was made."""


class RegistrationRepeated(Event):
    """Somebody registered with the address of an account that exists (`user_id`)."""


class EmailVerified(Event):
    """A mailbox was proved."""


class ProfileChanged(Event):
    """Names, username or bio were changed."""


class PasswordChanged(Event):
    """The owner, signed in, changed the password. The other sessions are over."""


class PasswordResetRequested(Event):
    """A link to choose a new password was mailed."""


class PasswordReset(Event):
    """A new password was set by a mailed link. All sessions are over."""


class EmailChangeRequested(Event):
    """A link was mailed to a new address; nothing has changed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChanged(Event):
    """The address of an account changed from `old_email` to `new_email`."""

    old_email: str = field(default="", repr=False)
    new_email: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDeleted(Event):
    """An account is gone. `email` is where its owner can still be told."""

    email: str = field(default="", repr=False)


class CrossSiteRefused(Event):
    """A request that another site sent was refused."""


Listener = Callable[[Event], Awaitable[None]]


class Events:
    """Carries each event to every listener, in the order in which they were added."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def tell(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                await listener(event)
            except Exception:
                logger.exception("A listener failed on %s", type(event).__name__)
