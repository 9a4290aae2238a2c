"""The owner's own account: names, password, e-mail address, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel

from authkit_asgi.accounts import User, public_profile
from authkit_asgi.core.fields import (
    Bio,
    ClearPassword,
    EmailAddress,
    LinkToken,
    PersonName,
    Username,
    email_key,
    username_key,
)
from authkit_asgi.core.passwords import same
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import (
    CrossSite,
    InvalidInput,
    LinkInvalid,
    NotSignedIn,
    SamePassword,
    StoreUnavailable,
    TooMany,
    Unavailable,
    UsernameTaken,
    WrongPassword,
)
from authkit_asgi.events import (
    AccountDeleted,
    EmailChanged,
    EmailChangeRequested,
    PasswordChanged,
    ProfileChanged,
)
from authkit_asgi.features import Plug, Services
from authkit_asgi.links import LINKS, Issued
from authkit_asgi.mail import Button, Letter
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import DAY, HOUR
from authkit_asgi.signin import TICKETS
from authkit_asgi.store import Table, Taken, Value
from authkit_asgi.web.routes import Call, Limit, Page, Panel, Reply, Route

CHANGE = "change-email"
REVERT = "revert-email"
REVERT_LIFETIME = 3 * DAY  # the old address may be read only after a weekend

# ruff: noqa: N815 - the names of JSON fields are the seed's


class ProfileBody(BaseModel):
    """Only what is given is changed."""

    firstname: PersonName = ""
    lastname: PersonName = ""
    username: Username = ""
    bio: Bio = ""


class ChangePasswordBody(BaseModel):
    currentPassword: ClearPassword
    newPassword: ClearPassword


class ChangeEmailBody(BaseModel):
    newEmail: EmailAddress
    password: ClearPassword


class TokenBody(BaseModel):
    token: LinkToken = None


class PasswordBody(BaseModel):
    password: ClearPassword


@dataclass(frozen=True, slots=True)
class Profile:
    name = "profile"
    needs = ("login", "reset_password")

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        guesses = (Limit(times=20, per=HOUR, by="user"),)  # a stolen session must not guess on
        show = Route(
            method="GET",
            path="/profile",
            handler=desk.show,
            summary="My account",
            refusals=(NotSignedIn, Unavailable),
        )
        edit = Route(
            method="PATCH",
            path="/profile",
            handler=desk.edit,
            summary="Change names or bio",
            body=ProfileBody,
            refusals=(InvalidInput, NotSignedIn, UsernameTaken, CrossSite, Unavailable),
        )
        password = Route(
            method="POST",
            path="/change-password",
            handler=desk.change_password,
            summary="Change the password; other sessions end",
            body=ChangePasswordBody,
            refusals=(
                InvalidInput,
                SamePassword,
                WrongPassword,
                NotSignedIn,
                CrossSite,
                TooMany,
                Unavailable,
            ),
            limits=guesses,
        )
        email = Route(
            method="POST",
            path="/change-email",
            handler=desk.change_email,
            summary="Mail a link to a new e-mail address",
            body=ChangeEmailBody,
            refusals=(InvalidInput, WrongPassword, NotSignedIn, CrossSite, TooMany, Unavailable),
            limits=guesses,
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
        delete = Route(
            method="POST",
            path="/delete-account",
            handler=desk.delete,
            summary="Delete the account and what it holds",
            body=PasswordBody,
            refusals=(InvalidInput, WrongPassword, NotSignedIn, CrossSite, TooMany, Unavailable),
            limits=guesses,
        )
        return Plug(
            routes=(show, edit, password, email, email_verify, email_revert, delete),
            pages=(
                Page(
                    path="/dashboard/settings",
                    template="settings.html",
                    title="Profile",
                    data=desk.page,
                    submit=edit,
                    then="/dashboard/settings",
                    done="saved",
                ),
                Page(
                    path="/dashboard/settings/security",
                    template="security.html",
                    title="Security",
                    data=desk.page,
                    submit=password,
                    then="/dashboard/settings/security",
                    done="password-changed",
                ),
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
                    path="/dashboard/settings/delete",
                    template="delete.html",
                    title="Delete account",
                    data=desk.page,
                    submit=delete,
                    then="/login",
                    done="deleted",
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
            panels=(
                Panel(label="Profile", path="/dashboard/settings", order=10),
                Panel(label="Security", path="/dashboard/settings/security", order=20),
            ),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, call: Call[Any]) -> Mapping[str, Any]:
        return {"user": public_profile(await self._user(call))}

    async def show(self, call: Call[None]) -> Reply:
        return Reply(message="Your account.", data={"user": public_profile(await self._user(call))})

    async def edit(self, call: Call[ProfileBody]) -> Reply:
        user = await self._user(call)
        change: dict[str, Value] = call.body.model_dump(exclude_unset=True)
        if "username" in change:
            change["username_key"] = username_key(call.body.username)
        try:
            changed = await self._services.accounts.change(user, change) if change else user
        except Taken:
            raise UsernameTaken from None
        if changed is None:
            raise NotSignedIn
        await self._services.events.tell(
            ProfileChanged(at=call.now, user_id=user.id, visitor=call.visitor)
        )
        return Reply(
            message="Saved.",
            data={"user": public_profile(changed)},
            cookies=await self._new_claims(call, changed),
        )

    async def change_password(self, call: Call[ChangePasswordBody]) -> Reply:
        """The new hash and the end of all other sessions are one write (SECURITY S-11)."""
        services, body = self._services, call.body
        user = await self._proved(call, body.currentPassword)
        if same(body.newPassword, body.currentPassword):
            raise SamePassword
        context = (*user.context, services.settings.app_name)
        services.hashing.demand_strong(body.newPassword, context=context, field="newPassword")
        password_hash = await services.hashing.hash(body.newPassword)
        changed = await services.accounts.change_and_end_sessions(
            user,
            {"password_hash": password_hash},
            now=call.now,
            spare=call.identity.session_id,
            expect={"password_hash": user.password_hash},
        )
        if changed is None:  # something else ended this session, or changed the password, just now
            raise NotSignedIn
        services.sessions.revocations.note_user(changed, now=call.now)
        pair = await services.sessions.renew(
            call.identity.session_id, changed, visitor=call.visitor, now=call.now
        )
        await services.events.tell(
            PasswordChanged(
                at=call.now,
                user_id=user.id,
                session_id=call.identity.session_id,
                visitor=call.visitor,
            )
        )
        return Reply(
            message="Your password is changed. Your other sessions are over.",
            cookies=services.jar.set_pair(pair, now=call.now) if pair else (),
        )

    async def change_email(self, call: Call[ChangeEmailBody]) -> Reply:
        """Nothing changes before the new mailbox is proved; whether it is taken is told to
        nobody."""
        services = self._services
        user = await self._proved(call, call.body.password)
        target = call.body.newEmail
        if email_key(target) == user.email_key:
            raise InvalidInput(fields={"newEmail": "This is your address already."})
        # Issued in any case, which voids the link before it: what that one does tells nothing then.
        # Of an address with an account nobody gets the text.
        lifetime = services.settings.verify_link_lifetime
        issued = await services.links.issue(
            CHANGE, user, lifetime=lifetime, now=call.now, target=target
        )
        if await services.accounts.by_email(target) is None:
            self._mail_new_address(user, target, issued)
        await services.events.tell(
            EmailChangeRequested(at=call.now, user_id=user.id, visitor=call.visitor)
        )
        return Reply(message="We have sent a link to your new address.")

    async def verify_email(self, call: Call[TokenBody]) -> Reply:
        """A new address is another `email_key`, so every open link of the account is void with
        it."""
        services = self._services
        link, user = await services.links.read(CHANGE, call.body.token, now=call.now)
        changed = await self._move(user, link.target, expect={"epoch": link.epoch})
        await services.links.discard(link)
        issued = await services.links.issue(
            REVERT, changed, lifetime=REVERT_LIFETIME, now=call.now, target=user.email
        )
        self._mail_old_address(user, issued)
        await services.events.tell(
            EmailChanged(
                at=call.now,
                user_id=user.id,
                visitor=call.visitor,
                old_email=user.email,
                new_email=link.target,
            )
        )
        return Reply(
            message="Your e-mail address is changed.", cookies=await self._new_claims(call, changed)
        )

    async def revert_email(self, call: Call[TokenBody]) -> Reply:
        """Whoever moved the account away was no friend, and knew the password: every session ends,
        and nobody signs in before a new password is set by a link (SECURITY V-13)."""
        services = self._services
        link, user = await services.links.read(REVERT, call.body.token, now=call.now)
        try:
            changed = await services.accounts.change_and_end_sessions(
                user,
                {
                    "email": link.target,
                    "email_key": email_key(link.target),
                    "password_hash": None,
                },
                now=call.now,
                expect={"email_key": link.email},
            )
        except Taken:
            raise LinkInvalid from None
        if changed is None:
            raise LinkInvalid
        services.sessions.revocations.note_user(changed, now=call.now)
        await services.links.discard(link)
        await services.events.tell(
            EmailChanged(
                at=call.now,
                user_id=user.id,
                visitor=call.visitor,
                old_email=user.email,
                new_email=link.target,
            )
        )
        return Reply(message="Your old e-mail address is back. Choose a new password now.")

    async def delete(self, call: Call[PasswordBody]) -> Reply:
        services = self._services
        user = await self._proved(call, call.body.password)
        deleted = await services.accounts.delete(user, now=call.now)
        if deleted is None:
            raise NotSignedIn
        services.sessions.revocations.note_user(deleted, now=call.now)
        await self._forget(user)
        await services.events.tell(
            AccountDeleted(at=call.now, user_id=user.id, email=user.email, visitor=call.visitor)
        )
        return Reply(message="Your account is deleted.", cookies=services.jar.clear())

    async def _forget(self, user: User) -> None:
        """Sessions and links are void already, but their rows hold addresses of the person."""
        tables: tuple[Table[Any], ...] = (SESSIONS, LINKS, TICKETS)
        with suppress(StoreUnavailable):  # what stays is purged in time
            for table in tables:
                await self._services.store.delete(table, {"user_id": user.id})

    async def _user(self, call: Call[Any]) -> User:
        user = await self._services.accounts.by_id(call.identity.id)
        if user is None:
            raise NotSignedIn
        return user

    async def _proved(self, call: Call[Any], password: str) -> User:
        """The user, after the password was asked for once more (SECURITY S-18)."""
        user = await self._user(call)
        if not await self._services.accounts.confirm_password(user, password):
            raise WrongPassword
        return user

    async def _move(self, user: User, target: str, *, expect: Mapping[str, Value]) -> User:
        change: dict[str, Value] = {
            "email": target,
            "email_key": email_key(target),
            "is_verified": True,
        }
        try:
            changed = await self._services.accounts.change(
                user, change, expect={"email_key": user.email_key, **expect}
            )
        except Taken:
            raise LinkInvalid from None
        if changed is None:
            raise LinkInvalid
        return changed

    async def _new_claims(self, call: Call[Any], user: User) -> tuple[str, ...]:
        """An access cookie with what has just changed, when the caller is this user."""
        if call.caller is None or call.caller.id != user.id:
            return ()
        access = await self._services.sessions.reissue(call.caller, user, now=call.now)
        lifetime = self._services.settings.access_token_lifetime
        return (self._services.jar.set_access(access, lifetime),) if access else ()

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
