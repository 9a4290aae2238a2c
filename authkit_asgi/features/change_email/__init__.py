"""Move an account to another e-mail address, and take that back from the old one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel

from authkit_asgi.accounts import User, public_profile
from authkit_asgi.core.fields import ClearPassword, EmailAddress, LinkToken, email_key
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import (
    CrossSite,
    InvalidInput,
    LinkInvalid,
    NotSignedIn,
    TooMany,
    Unavailable,
    WrongPassword,
)
from authkit_asgi.events import EmailChanged, EmailChangeRequested
from authkit_asgi.features import Plug, Services
from authkit_asgi.links import Issued
from authkit_asgi.mail import Button, Letter
from authkit_asgi.settings import DAY, HOUR
from authkit_asgi.store import Taken, Value
from authkit_asgi.web.routes import Call, Limit, Page, Reply, Route

CHANGE = "change-email"
REVERT = "revert-email"
REVERT_LIFETIME = 3 * DAY  # the old address may be read only after a weekend


class ChangeEmailBody(BaseModel):
    newEmail: EmailAddress  # noqa: N815 - the name of the JSON field
    password: ClearPassword


class TokenBody(BaseModel):
    token: LinkToken = None


@dataclass(frozen=True, slots=True)
class ChangeEmail:
    name = "change_email"
    needs = ("profile", "reset_password")

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        email = Route(
            method="POST",
            path="/change-email",
            handler=desk.change_email,
            summary="Mail a link to a new e-mail address",
            body=ChangeEmailBody,
            refusals=(InvalidInput, WrongPassword, NotSignedIn, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=20, per=HOUR, by="user"),),
        )
        email_verify = Route(
            method="POST",
            path="/change-email/verify",
            handler=desk.verify_email,
            summary="Confirm the new e-mail address with the mailed token",
            access=Access.PUBLIC,
            body=TokenBody,
            refusals=(LinkInvalid, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=60, per=HOUR, by="ip"),),
        )
        email_revert = Route(
            method="POST",
            path="/change-email/revert",
            handler=desk.revert_email,
            summary="Take a change of e-mail address back, from the old address",
            access=Access.PUBLIC,
            body=TokenBody,
            refusals=(LinkInvalid, CrossSite, TooMany, Unavailable),
            limits=(Limit(times=60, per=HOUR, by="ip"),),
        )
        return Plug(
            routes=(email, email_verify, email_revert),
            pages=(
                Page(
                    path="/dashboard/settings/email",
                    template="email.html",
                    title="E-mail address",
                    data=desk.page,
                    submit=email,
                    then="/dashboard/settings/security",
                    done="email-change",
                ),
                Page(
                    path="/change-email/verify",
                    template="change_email_verify.html",
                    title="Confirm your new e-mail address",
                    access=Access.PUBLIC,
                    submit=email_verify,
                    then="/dashboard",
                    done="email-changed",
                    holds_token=True,
                ),
                Page(
                    path="/change-email/revert",
                    template="change_email_revert.html",
                    title="Keep your e-mail address",
                    access=Access.PUBLIC,
                    submit=email_revert,
                    then="/reset-password",
                    done="email-changed",
                    holds_token=True,
                ),
            ),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, call: Call[Any]) -> Mapping[str, Any]:
        user = await self._services.accounts.require(call.identity.id)
        return {"user": public_profile(user)}

    async def change_email(self, call: Call[ChangeEmailBody]) -> Reply:
        """Nothing changes before the new mailbox is proved; whether it is taken is told to
        nobody."""
        services, body = self._services, call.body
        user = await services.accounts.reauthenticate(call.identity.id, body.password)
        if email_key(body.newEmail) == user.email_key:
            raise InvalidInput(fields={"newEmail": "This is your address already."})
        # Issued in any case, which voids the link before it: what that one does tells nothing then.
        # Of an address with an account nobody gets the text.
        lifetime = services.settings.verify_link_lifetime
        issued = await services.links.issue(
            CHANGE, user, lifetime=lifetime, now=call.now, target=body.newEmail
        )
        holder = await services.accounts.by_email(body.newEmail)
        if holder is None or self._holds_nothing(holder):
            self._mail_new_address(user, body.newEmail, issued)
        await services.events.tell(
            EmailChangeRequested(at=call.now, user_id=user.id, visitor=call.visitor)
        )
        return Reply(message="We have sent a link to your new address.")

    async def verify_email(self, call: Call[TokenBody]) -> Reply:
        """A new address is another `email_key`: that voids every open link of the account but the
        ones that take such a move back."""
        services = self._services
        link, user = await services.links.read(CHANGE, call.body.token, now=call.now)
        moved: dict[str, Value] = {
            "email": link.target,
            "email_key": email_key(link.target),
            "is_verified": True,
        }
        bound: dict[str, Value] = {"email_key": link.email, "epoch": link.epoch}
        # Before the move, so that nothing can come between that and its notice. Until it is mailed
        # nobody knows its text.
        way_back = await services.links.issue(
            REVERT,
            user,
            lifetime=REVERT_LIFETIME,
            now=call.now,
            target=user.email,
            keep_older=True,
        )
        changed = await self._displacing(
            link.target,
            lambda: services.accounts.change(user, moved, expect=bound),
            now=call.now,
        )
        if changed is None:
            raise LinkInvalid
        self._mail_old_address(user, way_back)
        await services.links.discard(link)
        await self._tell_changed(call, user, link.target)
        return Reply(
            message="Your e-mail address is changed.",
            cookies=await services.new_claims(call, changed),
        )

    async def revert_email(self, call: Call[TokenBody]) -> Reply:
        """Whoever moved the account away was no friend, and knew the password: every session ends,
        and nobody signs in before a new password is set by a link (SECURITY V-13).

        Whatever was done to the account meanwhile, this link works: whoever moved the account away
        could void any other. And the older link wins, for from the second move on the thief holds
        one, too.
        """
        services = self._services
        link, user = await services.links.read(REVERT, call.body.token, now=call.now, bound=False)
        await services.links.void_newer(link)
        changed = await self._take_back(user, link.target, now=call.now)
        services.sessions.revocations.note_user(changed, now=call.now)
        await services.links.discard(link)
        await self._tell_changed(call, user, link.target)
        return Reply(message="Your old e-mail address is back. Choose a new password now.")

    async def _take_back(self, user: User, target: str, *, now: float) -> User:
        accounts, at_home = self._services.accounts, email_key(target)
        change: dict[str, Value] = {"email": target, "email_key": at_home, "password_hash": None}
        current: User | None = user
        # Again when the account was changed in between: whoever holds it may be busy.
        while current is not None and current.email_key != at_home:
            changed = await self._displacing(
                target, partial(self._home, current, change, now=now), now=now
            )
            if changed is not None:
                return changed
            current = await accounts.by_id(user.id)
        raise LinkInvalid

    async def _home(self, seen: User, change: Mapping[str, Value], *, now: float) -> User | None:
        return await self._services.accounts.change_and_end_sessions(
            seen, change, now=now, expect={"email_key": seen.email_key}
        )

    async def _displacing(
        self, target: str, write: Callable[[], Awaitable[User | None]], *, now: float
    ) -> User | None:
        """`write` what moves an account to `target`, whose mailbox was just proved.

        An account that was made with this address and never proved it must not stand in the way:
        otherwise anybody could block an address by registering with it.
        """
        try:
            return await write()
        except Taken:
            holder = await self._services.accounts.by_email(target)
            if holder is None or not self._holds_nothing(holder):
                raise LinkInvalid from None
        # Its owner may prove it at this very moment, and then it stays.
        await self._services.accounts.delete(holder, now=now, expect={"is_verified": False})
        try:
            return await write()
        except Taken:
            raise LinkInvalid from None

    def _holds_nothing(self, holder: User) -> bool:
        """Nobody could ever sign in to this account: its address was not proved."""
        return self._services.settings.require_verified_email and not holder.is_verified

    async def _tell_changed(self, call: Call[Any], user: User, target: str) -> None:
        await self._services.events.tell(
            EmailChanged(
                at=call.now,
                user_id=user.id,
                visitor=call.visitor,
                old_email=user.email,
                new_email=target,
            )
        )

    def _mail_new_address(self, user: User, target: str, issued: Issued) -> None:
        minutes = round(self._services.settings.verify_link_lifetime / 60)
        letter = Letter(
            subject=f"Confirm your new e-mail address for {self._services.settings.app_name}",
            name=user.firstname,
            paragraphs=(f"Confirm that the account “{user.username}” may move to this address.",),
            button=Button(label="Confirm new address", url=self._link("verify", issued)),
            footnotes=(
                f"The link works once, for {minutes} minutes.",
                "If you do not know this account, do nothing.",
            ),
        )
        self._services.post(letter, to=target, key=issued.key)

    def _mail_old_address(self, user: User, issued: Issued) -> None:
        letter = Letter(
            subject=f"Your {self._services.settings.app_name} e-mail address was changed",
            name=user.firstname,
            paragraphs=(
                f"The account “{user.username}” has another e-mail address now.",
                "If it was not you, take it back: that ends every session.",
            ),
            button=Button(label="Keep this address", url=self._link("revert", issued)),
            footnotes=(f"The link works once, for {round(REVERT_LIFETIME / DAY)} days.",),
        )
        self._services.post(letter, to=user.email, key=issued.key)

    def _link(self, step: str, issued: Issued) -> str:
        query = urlencode({"token": issued.text})
        return f"{self._services.pages_url}/change-email/{step}?{query}"
