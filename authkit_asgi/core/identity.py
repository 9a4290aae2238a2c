"""Who is asking. What the wrapped app finds in `scope["user"]` and `scope["auth"]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from authkit_asgi.core.tokens import Claims

OWN_SCOPES = frozenset(("authenticated", "verified", "admin"))
NO_CLAIMS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the one who asks may do, as Starlette's `@requires` reads it."""

    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Someone signed in, out of a verified access token. Immutable: one object serves many
    requests.

    `id` is the user's id, the token's `sub`. `claims` are the profile claims (`token_claims` and
    those of features), read-only. Times are whole seconds since the epoch. `auth_time` is when it
    was last proved who this is, by a sign-in, a re-authentication or a change of the password (the
    claim of OpenID Connect); 0, where a token does not tell. Has what Starlette's `BaseUser` has.
    """

    id: str
    session_id: str
    generation: int
    epoch: int
    expires_at: int
    auth_time: int = 0
    claims: Mapping[str, object] = field(default_factory=lambda: NO_CLAIMS)
    credentials: Credentials = field(default=Credentials(), repr=False)

    is_authenticated = True

    @property
    def identity(self) -> str:
        return self.id

    @property
    def display_name(self) -> str:
        return str(self.claims.get("username") or self.id)


class Anonymous:
    """Nobody is signed in."""

    __slots__ = ()
    is_authenticated = False
    identity = ""
    display_name = ""
    credentials = Credentials()
    claims = NO_CLAIMS

    def __repr__(self) -> str:
        return "Anonymous()"


ANONYMOUS = Anonymous()


_USUAL = {  # by whether verified, and whether admin
    (False, False): Credentials(("authenticated",)),
    (True, False): Credentials(("authenticated", "verified")),
    (False, True): Credentials(("authenticated", "admin")),
    (True, True): Credentials(("authenticated", "verified", "admin")),
}


def credentials_of(claims: Mapping[str, object]) -> Credentials:
    """The scopes that the profile claims give: `authenticated`, `verified`, `admin`, and the words
    of a claim `scope` (RFC 9068 section 2.2.3), which can say none of these three."""
    usual = _USUAL[claims.get("isVerified") is True, claims.get("isAdmin") is True]
    more = claims.get("scope")
    if not isinstance(more, str):
        return usual
    words = [scope for scope in more.split() if scope not in OWN_SCOPES]
    return Credentials((*usual.scopes, *words))


class _Unsealed:
    """An `Identity` while it is filled. A frozen one sets each field by a call, and takes six times
    as long to make."""

    __slots__ = Identity.__slots__

    def __init__(self, claims: Claims) -> None:
        self.id = claims.subject
        self.session_id = claims.session_id
        self.generation = claims.generation
        self.epoch = claims.epoch
        self.expires_at = claims.expires_at
        self.auth_time = claims.auth_time
        self.claims = claims.profile
        self.credentials = credentials_of(claims.profile)


def identity_of(claims: Claims) -> Identity:
    """Who a verified access token speaks of."""
    filled: Any = _Unsealed(claims)
    filled.__class__ = Identity
    identity: Identity = filled
    return identity
