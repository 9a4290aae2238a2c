"""Accounts: the USERS table and everything that writes to it.

Each change of an account is one write of one row. What must end sessions raises the user's `epoch`
in that same write: no crash can leave a new password beside a living old session.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from authkit_asgi.core.fields import email_key, username_key
from authkit_asgi.core.times import iso
from authkit_asgi.errors import BadCredentials, NotSignedIn, WrongPassword
from authkit_asgi.hashing import Hashing
from authkit_asgi.settings import DAY
from authkit_asgi.store import Store, Table, Value

# A deleted account's row stays as an empty shell, so that every worker hears of its end.
SHELL_LIFETIME = 2 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. Times are seconds since the epoch.

    `email_key` and `username_key` are the canonical forms that must be unique; None frees them.
    `epoch` is raised whenever all sessions must end, but for `spared` (a session's id), and
    `role_epoch` whenever what the account may do changes, which ends none. `epoch_at` is when
    either was raised last: by it the workers find what is new.
    """

    id: str
    firstname: str
    lastname: str
    username: str
    username_key: str | None
    email: str = field(repr=False)
    email_key: str | None = field(repr=False)
    password_hash: str | None = field(default=None, repr=False)
    bio: str = ""
    is_verified: bool = False
    is_admin: bool = False
    created_at: float
    last_login_at: float | None = None
    disabled_at: float | None = None
    deleted_at: float | None = None
    epoch: int = 0
    epoch_at: float | None = None
    role_epoch: int = 0
    spared: str = ""
    purge_at: float | None = None

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None

    @property
    def context(self) -> tuple[str, ...]:
        """Words that make a poor password for this account (SECURITY W-11)."""
        local_part = self.email.partition("@")[0]
        return (self.username, self.email, local_part, self.firstname, self.lastname)


def public_profile(user: User) -> dict[str, object]:
    """What the outside may see of an account. Never a hash, a key or an epoch (SECURITY G-07)."""
    return {
        "id": user.id,
        "firstname": user.firstname,
        "lastname": user.lastname,
        "username": user.username,
        "email": user.email,
        "bio": user.bio,
        "isVerified": user.is_verified,
        "isAdmin": user.is_admin,
        "createdAt": iso(user.created_at),
        "lastLoginAt": iso(user.last_login_at),
    }


USERS = Table(
    name="users",
    record=User,
    unique=("email_key", "username_key"),
    indexes=(("epoch_at",), ("created_at",), ("purge_at",)),
    purge="purge_at",
)


class Accounts:
    def __init__(self, store: Store, hashing: Hashing) -> None:
        self._store = store
        self._hashing = hashing

    async def by_id(self, user_id: str) -> User | None:
        """The account, or None: also when it was disabled or deleted."""
        user = await self._store.get(USERS, user_id)
        return user if user is not None and user.is_active else None

    async def by_email(self, email: str) -> User | None:
        key = email_key(email)
        # Compared once more here: a database's idea of equal may be wider than ours (SECURITY
        # N-09).
        found = await self._store.find(USERS, {"email_key": key}, limit=1)
        return next((user for user in found if user.email_key == key and user.is_active), None)

    async def by_any_id(self, user_id: str) -> User | None:
        """The row: also of an account that was disabled, and the shell of a deleted one."""
        return await self._store.get(USERS, user_id)

    async def by_any_email(self, key: str) -> User | None:
        """The row that holds this address, given as `email_key` has it: also of an account that
        was disabled."""
        found = await self._store.find(USERS, {"email_key": key}, limit=1)
        return found[0] if found else None

    async def username_is_taken(self, username: str) -> bool:
        return await self._store.count(USERS, {"username_key": username_key(username)}) > 0

    async def create(
        self,
        *,
        firstname: str,
        lastname: str,
        username: str,
        email: str,
        password_hash: str | None,
        now: float,
        is_verified: bool = False,
        is_admin: bool = False,
    ) -> User:
        """Raises `store.Taken` with `email_key` or `username_key`."""
        user = User(
            id=secrets.token_hex(16),
            firstname=firstname,
            lastname=lastname,
            username=username,
            username_key=username_key(username),
            email=email,
            email_key=email_key(email),
            password_hash=password_hash,
            is_verified=is_verified,
            is_admin=is_admin,
            created_at=now,
        )
        await self._store.insert(USERS, user)
        return user

    async def admit(self, user: User) -> None:
        """Add an account that has a past elsewhere: with its id, its times and its hash. Raises
        `store.Taken` with `id`, `email_key` or `username_key`."""
        await self._store.insert(USERS, user)

    async def authenticate(self, email: str, password: str) -> User:
        """The account that this pair opens.

        One answer and one duration, whatever was wrong: an unknown address, a wrong password, a
        disabled account, one without a password (SECURITY E-01, E-02). Raises `BadCredentials`.
        """
        user = await self.by_email(email)
        stored = user.password_hash if user else None
        if not await self._hashing.verify(password, stored) or user is None or stored is None:
            raise BadCredentials
        if self._hashing.outdated(stored):
            return await self._rehash(user, password)
        return user

    async def require(self, user_id: str) -> User:
        """The account of whoever is signed in. Raises `NotSignedIn` when it is gone."""
        user = await self.by_id(user_id)
        if user is None:
            raise NotSignedIn
        return user

    async def reauthenticate(self, user_id: str, password: str) -> User:
        """The account, after the password was asked for once more (SECURITY S-18).

        Raises `NotSignedIn` and `WrongPassword`.
        """
        user = await self.require(user_id)
        if not await self._hashing.verify(password, user.password_hash):
            raise WrongPassword
        return user

    async def change(
        self,
        user: User,
        change: Mapping[str, Value],
        *,
        expect: Mapping[str, Value] | None = None,
    ) -> User | None:
        """Change what ends no session. None when the account is gone. Raises `store.Taken`."""
        return await self._store.swap(
            USERS, user.id, expect={"deleted_at": None, **(expect or {})}, change=change
        )

    async def change_and_end_sessions(
        self,
        user: User,
        change: Mapping[str, Value],
        *,
        now: float,
        spare: str = "",
        expect: Mapping[str, Value] | None = None,
    ) -> User | None:
        """One write: the change, and the end of every session but `spare`, and of every open link.

        `now` is the time of the write, and not that of a request that began long before: by it the
        other workers find what is new.

        None when the account is no longer as `user` shows it. Raises `store.Taken`.
        """
        return await self._store.swap(
            USERS,
            user.id,
            expect={"epoch": user.epoch, "deleted_at": None, **(expect or {})},
            change={**change, "epoch": user.epoch + 1, "epoch_at": now, "spared": spare},
        )

    async def end_sessions(self, user_id: str, *, now: float) -> User | None:
        """End every session. None when the account is gone."""
        return await self._end_sessions(user_id, {}, now=now)

    async def disable(self, user_id: str, *, now: float) -> User | None:
        """Shut the account, and end every session, in one write. None when it is gone."""
        return await self._end_sessions(user_id, {"disabled_at": now}, now=now)

    async def enable(self, user_id: str) -> User | None:
        """Open it again. Its sessions stay over. None when it is gone."""
        expect: Mapping[str, Value] = {"deleted_at": None}
        return await self._store.swap(USERS, user_id, expect=expect, change={"disabled_at": None})

    async def set_admin(self, user_id: str, is_admin: bool, *, now: float) -> User | None:
        """Change the role. Sessions go on, and their access tokens are void: the next refresh
        brings what holds now (SECURITY S-12). None when the account is gone."""
        while (user := await self._store.get(USERS, user_id)) and user.deleted_at is None:
            changed = await self._store.swap(
                USERS,
                user_id,
                expect={"role_epoch": user.role_epoch, "deleted_at": None},
                change={
                    "is_admin": is_admin,
                    "role_epoch": user.role_epoch + 1,
                    "epoch_at": now,
                },
            )
            if changed is not None:
                return changed
        return None

    async def delete(
        self, user: User, *, now: float, expect: Mapping[str, Value] | None = None
    ) -> User | None:
        """Forget everything about the person, end every session and free both names, in one write.

        What stays is an empty shell, by which the other workers hear of it; `cleanup` removes it.
        """
        nothing: dict[str, Value] = {
            "firstname": "",
            "lastname": "",
            "username": "",
            "username_key": None,
            "email": "",
            "email_key": None,
            "password_hash": None,
            "bio": "",
            "is_admin": False,
            "last_login_at": None,
            "deleted_at": now,
            "purge_at": now + SHELL_LIFETIME,
        }
        return await self.change_and_end_sessions(user, nothing, now=now, expect=expect)

    async def _end_sessions(
        self, user_id: str, change: Mapping[str, Value], *, now: float
    ) -> User | None:
        while (user := await self._store.get(USERS, user_id)) and user.deleted_at is None:
            ended = await self.change_and_end_sessions(user, change, now=now)
            if ended is not None:
                return ended
        return None

    async def _rehash(self, user: User, password: str) -> User:
        better = await self._hashing.hash(password)
        # Only while it is still the hash that was verified: a password changed meanwhile stays
        # changed.
        changed = await self._store.swap(
            USERS,
            user.id,
            expect={"password_hash": user.password_hash},
            change={"password_hash": better},
        )
        return changed or user
