"""A forgotten password: a mailed link sets a new one, and ends every session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from pydantic import BaseModel

from authkit_asgi.accounts import User
from authkit_asgi.core.fields import ClearPassword, EmailAddress, LinkToken
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import CrossSite, InvalidInput, LinkInvalid, TooMany, Unavailable
from authkit_asgi.events import EmailVerified, PasswordReset, PasswordResetRequested
from authkit_asgi.features import Plug, Services
from authkit_asgi.links import NOBODYS_ADDRESS, Issued
from authkit_asgi.mail import Button, Letter
from authkit_asgi.settings import HOUR, MINUTE
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route

PURPOSE = "reset-password"


class ForgotBody(BaseModel):
    email: EmailAddress


class ResetBody(BaseModel):
    token: LinkToken = None
    password: ClearPassword


@dataclass(frozen=True, slots=True)
class ResetPassword:
    name = "reset_password"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        send = Route(
            method="POST",
            path="/forgot-password/sent",
            handler=desk.send,
            summary="Mail a link to choose a new password",
            access=Access.PUBLIC,
            body=ForgotBody,
            refusals=(InvalidInput, CrossSite, TooMany, Unavailable),
            limits=(
                Limit(times=30, per=HOUR, by="ip"),
                Limit(times=3, per=10 * MINUTE, by="email"),
            ),
        )
        reset = Route(
            method="POST",
            path="/forgot-password/verify",
            handler=desk.reset,
            summary="Set a new password with the mailed token",
            access=Access.PUBLIC,
            body=ResetBody,
            refusals=(LinkInvalid, InvalidInput, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=60, per=HOUR, by="ip"),),
        )
        return Plug(
            routes=(send, reset),
            pages=(
                Page(
                    path="/reset-password",
                    template="reset_password.html",
                    title="Choose a new password",
                    access=Access.PUBLIC,
                    submit=send,
                    then="/reset-password",
                    done="check-mail",
                ),
                Page(
                    path="/reset-password/verify",
                    template="reset_password_verify.html",
                    title="Choose a new password",
                    access=Access.PUBLIC,
                    submit=reset,
                    then="/login",
                    done="password-set",
                    holds_token=True,
                ),
            ),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def send(self, call: Call[ForgotBody]) -> Reply:
        """One answer after the same work, whether the account exists or not (SECURITY E-03)."""
        services = self._services
        user = await services.accounts.by_email(call.body.email)
        if user is None:
            nobody = await services.links.pretend(PURPOSE, now=call.now)
            letter = self._letter("Nobody", "nobody", nobody)
            services.post(letter, to=NOBODYS_ADDRESS, key=nobody.key, pretend=True)
        else:
            await self._mail(user, now=call.now)
            await services.events.tell(
                PasswordResetRequested(at=call.now, user_id=user.id, visitor=call.visitor)
            )
        return Reply(message="If there is an account with this address, a mail is on its way.")

    async def reset(self, call: Call[ResetBody]) -> Reply:
        """The password, the proof of the mailbox and the end of every session are one write.

        Whoever set a password before, on an account whose mailbox was never proved, is out with it
        (SECURITY V-14). It does not sign in: a second factor must not be led around (V-11).
        """
        services, body = self._services, call.body
        link, user = await services.links.read(PURPOSE, body.token, now=call.now)
        context = (*user.context, services.settings.app_name)
        services.hashing.demand_strong(body.password, context=context)
        password_hash = await services.hashing.hash(body.password)
        changed = await services.accounts.change_and_end_sessions(
            user,
            {"password_hash": password_hash, "is_verified": True},
            now=services.clock(),  # hashing took a while, and workers read what is new by time
            expect={"email_key": link.email},
        )
        if changed is None:
            raise LinkInvalid
        services.sessions.revocations.note_user(changed, now=call.now)
        await services.links.discard(link)
        if not user.is_verified:
            await services.events.tell(
                EmailVerified(at=call.now, user_id=user.id, visitor=call.visitor)
            )
        await services.events.tell(
            PasswordReset(at=call.now, user_id=user.id, visitor=call.visitor)
        )
        return Reply(message="Your new password is set. Please sign in with it.")

    async def _mail(self, user: User, *, now: float) -> None:
        lifetime = self._services.settings.reset_link_lifetime
        issued = await self._services.links.issue(PURPOSE, user, lifetime=lifetime, now=now)
        letter = self._letter(user.firstname, user.username, issued)
        self._services.post(letter, to=user.email, key=issued.key)

    def _letter(self, name: str, username: str, issued: Issued) -> Letter:
        services = self._services
        lifetime = services.settings.reset_link_lifetime
        query = urlencode({"token": issued.text, "type": "reset-password"})
        return Letter(
            subject=f"Choose a new password for {services.settings.app_name}",
            name=name,
            paragraphs=(
                f"Somebody, probably you, asked for a new password for the account “{username}”.",
            ),
            button=Button(
                label="Choose a new password",
                url=f"{services.pages_url}/reset-password/verify?{query}",
            ),
            footnotes=(
                f"The link works once, for {round(lifetime / 60)} minutes.",
                "If it was not you, do nothing: your password stays as it is.",
            ),
        )
