"""Prove a mailbox. A gate: until then nobody signs in, unless the settings say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from pydantic import BaseModel

from authkit_asgi.accounts import User
from authkit_asgi.core.fields import EmailAddress, LinkToken
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import (
    CrossSite,
    EmailNotVerified,
    InvalidInput,
    LinkInvalid,
    TooMany,
    Unavailable,
)
from authkit_asgi.events import EmailVerified, Event, Registered, RegistrationRepeated
from authkit_asgi.features import Plug, Services
from authkit_asgi.links import NOBODYS_ADDRESS, Issued
from authkit_asgi.mail import Button, Letter
from authkit_asgi.settings import HOUR, MINUTE
from authkit_asgi.signin import Attempt
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route

PURPOSE = "verify-email"


class EmailBody(BaseModel):
    email: EmailAddress


class TokenBody(BaseModel):
    token: LinkToken = None


@dataclass(frozen=True, slots=True)
class VerifyEmail:
    name = "verify_email"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        send = Route(
            method="POST",
            path="/user-verify/sent",
            handler=desk.send,
            summary="Mail a new link to confirm an e-mail address",
            access=Access.PUBLIC,
            body=EmailBody,
            refusals=(InvalidInput, CrossSite, TooMany, Unavailable),
            limits=(
                Limit(times=30, per=HOUR, by="ip"),
                Limit(times=3, per=10 * MINUTE, by="email"),
            ),
        )
        verify = Route(
            method="POST",
            path="/user-verify",
            handler=desk.verify,
            summary="Confirm an e-mail address with the mailed token",
            access=Access.PUBLIC,
            body=TokenBody,
            refusals=(LinkInvalid, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=60, per=HOUR, by="ip"),),
        )
        return Plug(
            routes=(send, verify),
            pages=(
                Page(
                    path="/verify",
                    template="verify.html",
                    title="Confirm your address",
                    access=Access.PUBLIC,
                    submit=send,
                    then="/verify",
                    done="check-mail",
                ),
                Page(
                    path="/verify-token",
                    template="verify_token.html",
                    title="Confirm your address",
                    access=Access.PUBLIC,
                    submit=verify,
                    then="/login",
                    done="verified",
                    holds_token=True,
                ),
            ),
            gates=(desk.gate,),
            listeners=(desk.hear,),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def gate(self, attempt: Attempt) -> str | None:
        if self._services.settings.require_verified_email and not attempt.user.is_verified:
            raise EmailNotVerified
        return None

    async def hear(self, event: Event) -> None:
        if isinstance(event, Registered):
            user = await self._services.accounts.by_id(event.user_id)
            if user is not None and not user.is_verified:
                await self._mail(user, now=event.at)
        elif isinstance(event, RegistrationRepeated):
            # As many writes as for a new account: each waits for the disk (SECURITY E-03).
            await self._services.links.pretend(PURPOSE, now=event.at)

    async def send(self, call: Call[EmailBody]) -> Reply:
        """One answer after the same work, whether the account exists or not (SECURITY E-03)."""
        user = await self._services.accounts.by_email(call.body.email)
        if user is None or user.is_verified:
            nobody = await self._services.links.pretend(PURPOSE, now=call.now)
            letter = self._letter("Nobody", "nobody", nobody)
            self._services.post(letter, to=NOBODYS_ADDRESS, key=nobody.key, pretend=True)
        else:
            await self._mail(user, now=call.now)
        return Reply(message="If this address waits for confirmation, a mail is on its way.")

    async def verify(self, call: Call[TokenBody]) -> Reply:
        services = self._services
        link, user = await services.links.read(PURPOSE, call.body.token, now=call.now)
        verified = await services.accounts.change(
            user,
            {"is_verified": True},
            expect={"is_verified": False, "email_key": link.email, "epoch": link.epoch},
        )
        if verified is None:
            raise LinkInvalid
        await services.links.discard(link)
        await services.events.tell(
            EmailVerified(at=call.now, user_id=user.id, visitor=call.visitor)
        )
        return Reply(message="Your e-mail address is confirmed.")

    async def _mail(self, user: User, *, now: float) -> None:
        lifetime = self._services.settings.verify_link_lifetime
        issued = await self._services.links.issue(PURPOSE, user, lifetime=lifetime, now=now)
        letter = self._letter(user.firstname, user.username, issued)
        self._services.post(letter, to=user.email, key=issued.key)

    def _letter(self, name: str, username: str, issued: Issued) -> Letter:
        services = self._services
        lifetime = services.settings.verify_link_lifetime
        query = urlencode({"token": issued.text, "type": "email"})
        return Letter(
            subject=f"Confirm your e-mail address for {services.settings.app_name}",
            name=name,
            paragraphs=(
                f"The account “{username}” was made with this address. "
                "Confirm that it is yours, and you can sign in.",
            ),
            button=Button(
                label="Confirm e-mail address",
                url=f"{services.pages_url}/verify-token?{query}",
            ),
            footnotes=(
                f"The link works once, for {round(lifetime / 60)} minutes.",
                "If you did not make this account, do nothing: without your confirmation it opens "
                "no door.",
            ),
        )
