"""Prove once more who is signed in, before what a stolen or forgotten session must not do.

A `Rule(..., fresh="10m")` sends people here. It opens no session and ends none: the tokens of this
one say from then on that its holder was there (`auth_time`, RFC 9470).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from authkit_asgi.core.fields import ClearPassword
from authkit_asgi.core.times import iso
from authkit_asgi.errors import (
    CrossSite,
    InvalidInput,
    NotSignedIn,
    TooMany,
    Unavailable,
    WrongPassword,
)
from authkit_asgi.events import Reauthenticated
from authkit_asgi.features import Plug, Services
from authkit_asgi.settings import HOUR, MINUTE
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route

REAUTHENTICATE = "/reauthenticate"


class ReauthenticateBody(BaseModel):
    password: ClearPassword


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    name = "reauthenticate"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        route = Route(
            method="POST",
            path=REAUTHENTICATE,
            handler=desk.reauthenticate,
            summary="Enter the password once more, where a recent proof is asked for",
            body=ReauthenticateBody,
            refusals=(InvalidInput, WrongPassword, NotSignedIn, CrossSite, TooMany, Unavailable),
            limits=(
                # As for a sign-in: a stolen session must not guess on.
                Limit(times=100, per=HOUR, by="ip"),
                Limit(times=10, per=15 * MINUTE, by="user"),
            ),
        )
        page = Page(
            path=REAUTHENTICATE,
            template="reauthenticate.html",
            title="Is it you?",
            data=desk.page,
            submit=route,
            follows_next=True,
        )
        return Plug(routes=(route,), pages=(page,), templates=Path(__file__).parent / "templates")


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, call: Call[Any]) -> Mapping[str, Any]:
        user = await self._services.accounts.require(call.identity.id)
        return {"email": user.email}

    async def reauthenticate(self, call: Call[ReauthenticateBody]) -> Reply:
        services, who = self._services, call.identity
        user = await services.accounts.reauthenticate(who.id, call.body.password)
        pair = await services.sessions.renew(
            who.session_id, user, visitor=call.visitor, now=call.now
        )
        if pair is None:  # it has ended elsewhere, and this worker had not heard of it
            raise NotSignedIn
        await services.events.tell(
            Reauthenticated(
                at=call.now, user_id=user.id, session_id=who.session_id, visitor=call.visitor
            )
        )
        return Reply(
            message="Thank you.",
            data={"accessTokenExpiresAt": iso(pair.access_expires_at)},
            cookies=services.jar.set_pair(pair, now=call.now),
        )
