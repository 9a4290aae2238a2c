"""AuthKit: builds the services, plugs the features, hands out middleware, API and pages.

Everything is wired here, and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf

import anyio.to_thread

from authkit_asgi.about import __version__
from authkit_asgi.accounts import USERS, Accounts, User, public_profile
from authkit_asgi.broadcast import Broadcast
from authkit_asgi.broadcast.urls import broadcast_from_settings
from authkit_asgi.core.demands import NOTHING
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.core.paths import Access, PathRules
from authkit_asgi.core.tokens import ACCESS, REFRESH, Tokens
from authkit_asgi.events import Events
from authkit_asgi.features import Claims, Feature, Plug, Services
from authkit_asgi.features.change_email import ChangeEmail
from authkit_asgi.features.limits import Limits
from authkit_asgi.features.login import Login
from authkit_asgi.features.notices import Notices
from authkit_asgi.features.pages import Dashboard
from authkit_asgi.features.profile import Profile
from authkit_asgi.features.reauthenticate import REAUTHENTICATE, Reauthenticate
from authkit_asgi.features.register import Register
from authkit_asgi.features.reset_password import ResetPassword
from authkit_asgi.features.sessions import SessionList
from authkit_asgi.features.verify_email import VerifyEmail
from authkit_asgi.flights import Flights
from authkit_asgi.guard_services import GuardServices
from authkit_asgi.hashing import Hashing
from authkit_asgi.keys import access_keys
from authkit_asgi.links import LINKS, Links
from authkit_asgi.mail import Letter, Mailer
from authkit_asgi.mail.compose import Brand, compose
from authkit_asgi.mail.outbox import Outbox
from authkit_asgi.mail.urls import mailer_from_url
from authkit_asgi.middleware import AuthMiddleware, Mode
from authkit_asgi.patience import in_time
from authkit_asgi.purging import Purging
from authkit_asgi.sessions import SESSIONS, Sessions
from authkit_asgi.settings import Settings
from authkit_asgi.signin import TICKETS, Gate, SignIn
from authkit_asgi.store import Store, Table
from authkit_asgi.store.patient import PatientStore
from authkit_asgi.store.urls import store_from_url
from authkit_asgi.web.api import build_api
from authkit_asgi.web.asgi import ASGIApp, Receive, Scope, Send
from authkit_asgi.web.calls import Desk
from authkit_asgi.web.cookies import CookieJar
from authkit_asgi.web.jwks import JWKS_PATH, PublicKeys
from authkit_asgi.web.openapi import openapi_route
from authkit_asgi.web.pages import build_pages
from authkit_asgi.web.routes import Page, Route


def default_features() -> list[Feature]:
    """What is on without being asked for. Order matters: gates are asked in this order."""
    return [
        Limits(),
        Login(),
        VerifyEmail(),
        Register(),
        ResetPassword(),
        Profile(),
        ChangeEmail(),
        SessionList(),
        Reauthenticate(),
        Notices(),
        Dashboard(),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How well this worker knows what happened in others, for a gauge.

    `revocations_age`: seconds since it last read from the store which sessions ended, which it does
    on the way of a request; None before the first. `broadcast`: whether it hears of them at once;
    None where no Redis is set.
    """

    revocations_age: float | None
    broadcast: bool | None


class AuthKit:
    """`store`, `mailer` and `broadcast` are made from the settings' URLs when they are not given.

    `clock` returns seconds since the epoch. Nothing is connected until the first request, or
    start-up.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        features: Iterable[Feature] | None = None,
        store: Store | None = None,
        mailer: Mailer | None = None,
        broadcast: Broadcast | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or Settings()
        self.store = store or store_from_url(self.settings.database_url)
        self.mailer = mailer or mailer_from_url(
            self.settings.mail_url,
            sender=self.settings.mail_from,
            resend_api_key=self.settings.resend_api_key,
        )
        self.broadcast = broadcast or broadcast_from_settings(self.settings)
        self.outbox = Outbox(self.mailer)
        self.clock = clock
        self.events = Events()
        self._gates: list[Gate] = []
        self._claims: list[Claims] = []
        self.services = self._services()
        chosen = default_features() if features is None else list(features)
        self._plugs = _plugged(chosen, self.services)
        self._take_in(self._plugs)
        self.tables = _tables(self._plugs)
        self.guard = GuardServices(
            settings=self.settings,
            tokens=self._tokens,
            sessions=self.services.sessions,
            events=self.events,
            jar=self.services.jar,
            purging=Purging(self.services.store, self.tables),
            clock=clock,
            start=self.start,
            stop=self.close,
            own_paths=(JWKS_PATH, self.settings.api_path, self.settings.pages_path),
        )
        self._started = False
        self._starts: Flights[None] = Flights()
        self._home = self.settings.pages_path + "/dashboard"
        self.api, self.pages = self._apps()
        self.jwks = PublicKeys(self._tokens.public_keys(ACCESS))

    async def start(self) -> None:
        """Open the store. Safe to call at any time, and often: the first call does it.

        Raises `StoreUnavailable`; the next call tries again.
        """
        if not self._started:
            await in_time(lambda: self._starts.run("start", self._open))

    async def _open(self) -> None:
        if self.broadcast is not None:
            self.broadcast.open(self._hear, self.services.sessions.revocations.expire)
        await self.store.open(self.tables)
        self._started = True

    async def close(self) -> None:
        """Deliver what is in the outbox, and let go of threads and connections. `start` begins
        anew."""
        self._started = False
        await anyio.to_thread.run_sync(self.outbox.close)
        if self.broadcast is not None:
            await anyio.to_thread.run_sync(self.broadcast.close)
        self.services.hashing.close()
        await self.store.close()

    def health(self) -> Health:
        """Reads nothing, and may be asked at any time."""
        return Health(
            revocations_age=self.services.sessions.revocations.age(self.clock()),
            broadcast=None if self.broadcast is None else self.broadcast.is_connected,
        )

    def _hear(self, message: bytes) -> None:
        self.services.sessions.revocations.hear(message, now=self.clock())

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
        """`app` with API, pages and public keys beside it, and the guard around all of them."""
        own = ((self.settings.api_path, self.api), (self.settings.pages_path, self.pages))

        def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            # Most requests are for the app, and most servers know of no root.
            if scope["type"] == "http" and (
                scope["path"].startswith(self.guard.own_paths) or scope.get("root_path")
            ):
                if _inside(scope) == JWKS_PATH:
                    return self.jwks(scope, receive, send)
                for prefix, target in own:
                    if _is_below(scope, prefix):
                        return target(_mounted(scope, prefix), receive, send)
            return app(scope, receive, send)

        guard = AuthMiddleware(dispatch, kit=self, rules=rules, mode=mode)
        guard.wrapped = app
        guard.beside = tuple((target, prefix) for prefix, target in own)
        return guard

    def rules_for(self, rules: PathRules) -> PathRules:
        """The app's rules together with those of the kit's own routes, which say their own
        access."""
        self._demand_means(rules)
        own = rules.with_own(
            self._own_access(),
            pages=self.settings.pages_path,
            free=(self.settings.api_path + REAUTHENTICATE,),
        )
        self._home = own.home
        return own

    def _demand_means(self, rules: PathRules) -> None:
        """What no token can ever show, or no page cure, would keep everybody out: that is a
        mistake. Raises `ValueError`."""
        demand = NOTHING
        for _, one in rules.demands:
            demand |= one
        for wanted, claim, option in (
            (demand.verified, "isVerified", "verified=True"),
            ("admin" in demand.scopes, "isAdmin", 'scope="admin"'),
        ):
            if wanted and claim not in self.settings.token_claims:
                raise ValueError(f"Rule(..., {option}) needs {claim} among AUTHKIT_TOKEN_CLAIMS")
        has_page = any(page.path == REAUTHENTICATE for page in self._pages())
        if demand.fresh < inf and not has_page and not rules.has_own_reauthentication:
            raise ValueError(
                "Rule(..., fresh=...) needs the feature Reauthenticate, "
                "or PathRules(reauthenticate=...)"
            )

    def _services(self) -> Services:
        settings = self.settings
        passwords = Passwords(
            rounds=settings.bcrypt_rounds, min_length=settings.password_min_length
        )
        hashing = Hashing(passwords)
        store = PatientStore(self.store)
        accounts = Accounts(store, hashing)
        self._tokens = Tokens(
            settings.origin,
            {ACCESS: access_keys(settings), REFRESH: settings.refresh_token_secret},
            # No cap for refresh tokens: the session's row knows its end, and a lifetime that was
            # lowered must not sign out whoever has a longer one.
            {ACCESS: settings.access_token_lifetime},
        )
        sessions = Sessions(store, accounts, self._tokens, self.events, settings, self._claims_of)
        if self.broadcast is not None:
            sessions.revocations.tell = self.broadcast.tell
        return Services(
            settings=settings,
            store=store,
            events=self.events,
            hashing=hashing,
            accounts=accounts,
            links=Links(store, accounts),
            sessions=sessions,
            signin=SignIn(store, accounts, sessions, self.events, self._gates),
            jar=CookieJar(settings),
            post=self._post,
            clock=self.clock,
        )

    def _take_in(self, plugs: Iterable[Plug]) -> None:
        for plug in plugs:
            self._gates.extend(plug.gates)
            if plug.claims is not None:
                self._claims.append(plug.claims)
            for listener in plug.listeners:
                self.events.listen(listener)

    def _claims_of(self, user: User) -> dict[str, object]:
        profile = public_profile(user)
        claims = {name: profile[name] for name in self.settings.token_claims}
        for more in self._claims:
            claims.update(more(user))
        return claims

    def _post(self, letter: Letter, *, to: str, key: str, pretend: bool = False) -> None:
        brand = Brand(name=self.settings.app_name, url=self.settings.base_url)
        mail = compose(letter, to=to, key=key, brand=brand)
        if pretend:
            self.outbox.pretend()
        else:
            self.outbox.post(mail)

    def _apps(self) -> tuple[ASGIApp, ASGIApp]:
        desk = Desk(
            settings=self.settings,
            events=self.events,
            jar=self.services.jar,
            checks=[check for plug in self._plugs for check in plug.checks],
            clock=self.clock,
            start=self.start,
        )
        api = build_api(self.routes, desk)
        pages = build_pages(
            self._pages(),
            [panel for plug in self._plugs for panel in plug.panels],
            [plug.templates for plug in self._plugs if plug.templates],
            desk,
            home=lambda: self._home,
        )
        return api, pages

    @property
    def routes(self) -> list[Route]:
        """All routes of the JSON API."""
        routes = [route for plug in self._plugs for route in plug.routes]
        return [*routes, openapi_route(routes, self.settings, version=__version__)]

    def _pages(self) -> list[Page]:
        return [page for plug in self._plugs for page in plug.pages]

    def _own_access(self) -> dict[str, Access]:
        own: dict[str, Access] = {
            self.settings.pages_path + "/assets/*": Access.PUBLIC,
            JWKS_PATH: Access.EXCLUDED,  # it may be cached, so no cookie may come with it
        }
        placed = (
            (self.settings.api_path, self.routes),
            (self.settings.pages_path, self._pages()),
        )
        for prefix, things in placed:
            for thing in things:
                fixed, parameter, _ = (prefix + thing.path).partition("{")
                if parameter and thing.access is not Access.PROTECTED:
                    raise ValueError(f"{thing.path}: only protected routes may have parameters")
                pattern = fixed + "*" if parameter else fixed
                if own.setdefault(pattern, thing.access) is not thing.access:
                    raise ValueError(f"{pattern}: its routes differ in who may call them")
        return own


def _plugged(features: Iterable[Feature], services: Services) -> list[Plug]:
    features = list(features)
    names = [feature.name for feature in features]
    for feature in features:
        if names.count(feature.name) > 1:
            raise ValueError(f"feature {feature.name!r} is there twice")
        for needed in feature.needs:
            if needed not in names:
                raise ValueError(f"feature {feature.name!r} needs {needed!r}")
    return [feature.plug(services) for feature in features]


def _tables(plugs: Iterable[Plug]) -> list[Table[object]]:
    own: list[Table[object]] = [USERS, SESSIONS, LINKS, TICKETS]
    return [*own, *(table for plug in plugs for table in plug.tables)]


def _inside(scope: Scope) -> str:
    """The path within the app: some servers leave the app's root in, some cut it off."""
    path, root = scope["path"], _root(scope)
    return str(path[len(root) :] if root and path.startswith(root + "/") else path)


def _is_below(scope: Scope, prefix: str) -> bool:
    path = _inside(scope)
    return path == prefix or path.startswith(prefix + "/")


def _mounted(scope: Scope, prefix: str) -> Scope:
    """The scope of what is mounted at `prefix`: with its root in the path, as routers want it."""
    root = _root(scope)
    return {**scope, "path": root + _inside(scope), "root_path": root + prefix}


def _root(scope: Scope) -> str:
    """The app's root without a slash at its end: `//user/login` would be a host named `user`."""
    return str(scope.get("root_path", "")).rstrip("/")
