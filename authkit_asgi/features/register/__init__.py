"""Make an account. Whether an address is known already is told to its owner alone, by mail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from authkit_asgi.core.fields import ClearPassword, EmailAddress, PersonName, Username
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import CrossSite, InvalidInput, TooMany, Unavailable, UsernameTaken
from authkit_asgi.events import Registered, RegistrationRepeated
from authkit_asgi.features import Plug, Services
from authkit_asgi.settings import HOUR
from authkit_asgi.store import Taken
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route


class RegisterBody(BaseModel):
    firstname: PersonName
    lastname: PersonName
    username: Username
    email: EmailAddress
    password: ClearPassword

    @property
    def context(self) -> tuple[str, ...]:
        """Words that make a poor password here (SECURITY W-11)."""
        local_part = self.email.partition("@")[0]
        return (self.username, self.email, local_part, self.firstname, self.lastname)


@dataclass(frozen=True, slots=True)
class Register:
    name = "register"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        route = Route(
            method="POST",
            path="/register",
            handler=_Desk(services).register,
            summary="Make an account",
            access=Access.PUBLIC,
            status=201,
            body=RegisterBody,
            refusals=(InvalidInput, UsernameTaken, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=20, per=HOUR, by="ip"), Limit(times=5, per=HOUR, by="email")),
        )
        page = Page(
            path="/register",
            template="register.html",
            title="Create your account",
            access=Access.AUTH,
            submit=route,
            then="/verify",
            done="check-mail",
        )
        return Plug(routes=(route,), pages=(page,), templates=Path(__file__).parent / "templates")


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def register(self, call: Call[RegisterBody]) -> Reply:
        """A known address gets the same answer after the same work (SECURITY E-03, E-06)."""
        services, body = self._services, call.body
        context = (*body.context, services.settings.app_name)
        services.hashing.demand_strong(body.password, context=context)
        password_hash = await services.hashing.hash(body.password)
        # Asked first, so that a username's answer never depends on whether the address is known.
        if await services.accounts.username_is_taken(body.username):
            raise UsernameTaken
        try:
            user = await services.accounts.create(
                firstname=body.firstname,
                lastname=body.lastname,
                username=body.username,
                email=body.email,
                password_hash=password_hash,
                now=call.now,
            )
        except Taken as taken:
            if taken.field == "username_key":
                raise UsernameTaken from None
            await self._known(call)
        else:
            await services.events.tell(
                Registered(at=call.now, user_id=user.id, visitor=call.visitor)
            )
        return Reply(status=201, message="Almost done: follow the link in the mail we sent you.")

    async def _known(self, call: Call[RegisterBody]) -> None:
        owner = await self._services.accounts.by_email(call.body.email)
        if owner is not None:
            await self._services.events.tell(
                RegistrationRepeated(at=call.now, user_id=owner.id, visitor=call.visitor)
            )
