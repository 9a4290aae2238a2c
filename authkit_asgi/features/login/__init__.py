"""Sign in, sign out, and the explicit refresh. The seed's `/login`, `/logout` and `/token`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Strict, StringConstraints

from authkit_asgi.accounts import public_profile
from authkit_asgi.core.fields import ClearPassword
from authkit_asgi.core.paths import Access
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.times import iso
from authkit_asgi.errors import (
    BadCredentials,
    CrossSite,
    EmailNotVerified,
    InvalidInput,
    NotSignedIn,
    StoreUnavailable,
    TooMany,
    Unavailable,
)
from authkit_asgi.events import SignedOut
from authkit_asgi.features import Plug, Services
from authkit_asgi.sessions import REPLACED
from authkit_asgi.settings import HOUR, MINUTE
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route

# Looser than an EmailAddress: an account that came from another system keeps the address it had.
Identifier = Annotated[
    str, Strict(), StringConstraints(strip_whitespace=True, min_length=1, max_length=254)
]


class LoginBody(BaseModel):
    email: Identifier
    password: ClearPassword
    rememberMe: bool = False  # noqa: N815 - the seed's field name


@dataclass(frozen=True, slots=True)
class Login:
    name = "login"
    needs = ()

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        login = Route(
            method="POST",
            path="/login",
            handler=desk.login,
            summary="Sign in with e-mail address and password",
            # Not looked at: whoever signs in is about to be somebody else.
            access=Access.EXCLUDED,
            body=LoginBody,
            refusals=(
                InvalidInput,
                BadCredentials,
                EmailNotVerified,
                CrossSite,
                TooMany,
                Unavailable,
            ),
            limits=(
                # The address first: who is refused for it locks no more accounts (SECURITY L-07).
                Limit(times=100, per=HOUR, by="ip"),
                Limit(times=10, per=15 * MINUTE, by="email"),
            ),
        )
        logout = Route(
            method="POST",
            path="/logout",
            handler=desk.logout,
            summary="End this session and clear the cookies",
            access=Access.EXCLUDED,
            refusals=(CrossSite, Unavailable),
        )
        token = Route(
            method="POST",
            path="/token",
            handler=desk.token,
            summary="Exchange the refresh token for a new pair",
            access=Access.EXCLUDED,
            refusals=(NotSignedIn, CrossSite, Unavailable),
        )
        return Plug(
            routes=(login, logout, token),
            pages=(
                Page(
                    path="/login",
                    template="login.html",
                    title="Sign in",
                    access=Access.AUTH,
                    submit=login,
                    follows_next=True,
                ),
                Page(
                    path="/logout",
                    template="logout.html",
                    title="Sign out",
                    access=Access.EXCLUDED,
                    submit=logout,
                    then="/login",
                    done="signed-out",
                ),
            ),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def login(self, call: Call[LoginBody]) -> Reply:
        opened = await self._services.signin.with_password(
            call.body.email,
            call.body.password,
            remember=call.body.rememberMe,
            visitor=call.visitor,
            now=call.now,
        )
        # Its cookies are about to be overwritten: nobody could use or end it any more. Refused now,
        # the browser would have neither the old session nor the new one.
        with suppress(StoreUnavailable):
            await self._end_presented(call, reason=REPLACED)
        return Reply(
            message="Signed in.",
            data={"user": public_profile(opened.user)},
            cookies=self._services.jar.set_pair(opened.pair, now=call.now),
        )

    async def logout(self, call: Call[None]) -> Reply:
        for ended in await self._end_presented(call, reason="signed out"):
            await self._services.events.tell(
                SignedOut(
                    at=call.now, user_id=ended.user_id, session_id=ended.id, visitor=call.visitor
                )
            )
        return Reply(message="Signed out.", cookies=self._services.jar.clear())

    async def token(self, call: Call[None]) -> Reply:
        services = self._services
        refreshed = await services.sessions.refresh(
            call.refresh_token, visitor=call.visitor, now=call.now
        )
        if refreshed.pair is None:
            raise NotSignedIn(cookies=services.jar.clear() if refreshed.ours else ())
        return Reply(
            message="Access token refreshed.",
            data={"accessTokenExpiresAt": iso(refreshed.pair.access_expires_at)},
            cookies=services.jar.set_pair(refreshed.pair, now=call.now),
        )

    async def _end_presented(self, call: Call[Any], *, reason: str) -> list[Session]:
        """Two cookies may be of two sessions: both are in this browser, and both end."""
        sessions = self._services.sessions
        presented = sessions.presented(call.access_token, call.refresh_token)
        closed = [
            await sessions.close(session_id, reason=reason, now=self._services.clock())
            for session_id in presented
        ]
        return [session for session in closed if session is not None]
