"""A feature is a value that returns a value. The contract.

`Totp(issuer="Acme")` is a feature; its `plug(services)` returns a `Plug`: what it adds. Nothing
registers itself by being imported, and adding a feature edits no file of this library: hand yours
to `AuthKit(settings, features=[*default_features(), Yours()])`.

Two kinds of hook, and never a third in between: a *gate* may stop a sign-in by naming what is
missing, a *listener* hears what happened and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from authkit_asgi.accounts import Accounts, User
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.events import Events, Listener
from authkit_asgi.hashing import Hashing
from authkit_asgi.links import Links
from authkit_asgi.mail import Letter
from authkit_asgi.sessions import Sessions
from authkit_asgi.settings import Settings
from authkit_asgi.signin import Gate, SignIn
from authkit_asgi.store import Store, Table
from authkit_asgi.web.cookies import CookieJar
from authkit_asgi.web.routes import Call, Page, Panel, Route

Check = Callable[[Route, Call[Any]], Awaitable[None]]
Claims = Callable[[User], Mapping[str, object]]


class PostLetter(Protocol):
    def __call__(self, letter: Letter, *, to: str, key: str, pretend: bool = False) -> None:
        """Render a letter and put it into the outbox. Returns at once; never says whether it
        arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What features work with. Built by the kit, and nowhere else."""

    settings: Settings
    store: Store
    events: Events
    hashing: Hashing
    accounts: Accounts
    links: Links
    sessions: Sessions
    signin: SignIn
    jar: CookieJar
    post: PostLetter
    clock: Callable[[], float]

    @property
    def pages_url(self) -> str:
        """Where the pages stand, for links in mails: from the settings, never from a request
        (SECURITY R-04)."""
        return self.settings.base_url + self.settings.pages_path

    async def new_claims(self, call: Call[Any], user: User) -> tuple[str, ...]:
        """An access cookie with what has just changed, when the caller is this user. It ends when
        the one that the caller has would end.

        The change is written, so an outage now refuses nothing: the next refresh brings the claims.
        """
        if call.caller is None or call.caller.id != user.id:
            return ()
        access = None
        with suppress(StoreUnavailable):
            access = await self.sessions.reissue(call.caller, user, now=call.now)
        left = call.caller.expires_at - call.now
        return (self.jar.set_access(access, left),) if access and left > 0 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """What a feature adds.

    routes     of the JSON API            gates      may stop a sign-in, in order
    pages      HTML, below `pages_path`   checks     run before each route's handler, and may refuse
    panels     dashboard navigation       listeners  hear every event
    tables     the rows it owns           claims     more profile claims for access tokens
    templates  a folder of its own Jinja templates, for its pages
    """

    routes: Sequence[Route] = ()
    pages: Sequence[Page] = ()
    panels: Sequence[Panel] = ()
    tables: Sequence[Table[Any]] = ()
    gates: Sequence[Gate] = ()
    checks: Sequence[Check] = ()
    listeners: Sequence[Listener] = ()
    claims: Claims | None = None
    templates: Path | None = None


class Feature(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of features that must be there too."""
        ...

    def plug(self, services: Services) -> Plug: ...
