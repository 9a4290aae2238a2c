"""Mailed one-time tokens at work: the LINKS table. The rules are in `core.links`."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from authkit_asgi.accounts import Accounts, User
from authkit_asgi.core.fields import link_text
from authkit_asgi.core.links import RAW_BYTES, Link, digest_of, text_of
from authkit_asgi.errors import LinkInvalid, StoreUnavailable
from authkit_asgi.store import Store, Table

LINKS = Table(
    name="links",
    record=Link,
    indexes=(("user_id", "purpose"), ("purge_at",)),
    purge="purge_at",
)


NOBODYS_ADDRESS = "nobody@nowhere.invalid"  # RFC 2606 section 2: it never exists


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A link to mail: its `text`, which nobody keeps, and the `key` that makes its mail
    idempotent."""

    text: str = field(repr=False)
    key: str


class Links:
    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    async def issue(
        self,
        purpose: str,
        user: User,
        *,
        lifetime: float,
        now: float,
        target: str = "",
        keep_older: bool = False,
    ) -> Issued:
        """A new link. Older ones of the same purpose are void from now on (SECURITY V-07), unless
        `keep_older`."""
        if not keep_older:
            await self._store.delete(LINKS, {"user_id": user.id, "purpose": purpose})
        text = text_of(secrets.token_bytes(RAW_BYTES))
        link = Link(
            id=digest_of(text),
            purpose=purpose,
            user_id=user.id,
            email=user.email_key or "",
            target=target,
            epoch=user.epoch,
            created_at=now,
            expires_at=now + lifetime,
            purge_at=now + lifetime,
        )
        await self._store.insert(LINKS, link)
        return Issued(text=text, key=f"{purpose}/{link.id[:32]}")

    async def pretend(self, purpose: str, *, now: float) -> Issued:
        """The work of `issue` for nobody, so that the time it takes tells nothing (SECURITY
        E-03)."""
        await self._store.delete(LINKS, {"user_id": "", "purpose": purpose})
        text = text_of(secrets.token_bytes(RAW_BYTES))
        decoy = Link(
            id=digest_of(text),
            purpose=purpose,
            user_id="",
            email="",
            created_at=now,
            expires_at=now,
            purge_at=now,
        )
        await self._store.insert(LINKS, decoy)
        return Issued(text=text, key=f"{purpose}/{decoy.id[:32]}")

    async def read(
        self, purpose: str, text: object, *, now: float, bound: bool = True
    ) -> tuple[Link, User]:
        """The link and its account. Reading uses nothing up.

        `bound`: not after the account's password or address has changed since.

        Whoever uses it must write to the user's row with `expect` of what the link is bound to
        (`epoch`, `email_key`): that write decides of many parallel uses the one that counts
        (SECURITY V-04). Raises `LinkInvalid` for every reason alike (SECURITY V-05, V-10).
        """
        known = link_text(text)
        link = await self._store.get(LINKS, digest_of(known)) if known else None
        if link is None or link.purpose != purpose or now >= link.expires_at:
            raise LinkInvalid
        user = await self._accounts.by_id(link.user_id)
        if user is None:
            raise LinkInvalid
        if bound and (user.epoch, user.email_key) != (link.epoch, link.email):
            raise LinkInvalid
        return link, user

    async def void_newer(self, link: Link) -> None:
        """Remove the account's links of the same purpose that were made after this one."""
        same = {"user_id": link.user_id, "purpose": link.purpose}
        for other in await self._store.find(LINKS, same, limit=1000):
            if other.created_at > link.created_at:
                await self._store.delete(LINKS, {"id": other.id})

    async def discard(self, link: Link) -> None:
        """Tidy up after use: the link is void already, so an outage spoils nothing."""
        with suppress(StoreUnavailable):
            await self._store.delete(LINKS, {"id": link.id})
