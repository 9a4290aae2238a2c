"""The owner's own account: names, password, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from authkit_asgi.accounts import User, public_profile
from authkit_asgi.core.fields import (
    Bio,
    ClearPassword,
    PersonName,
    Username,
    username_key,
)
from authkit_asgi.core.passwords import same
from authkit_asgi.errors import (
    CrossSite,
    InvalidInput,
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
    PasswordChanged,
    ProfileChanged,
)
from authkit_asgi.features import Plug, Services
from authkit_asgi.links import LINKS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import HOUR
from authkit_asgi.signin import TICKETS
from authkit_asgi.store import Table, Taken, Value
from authkit_asgi.web.routes import Call, Limit, Page, Panel, Reply, Route

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
            routes=(show, edit, password, delete),
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
                    path="/dashboard/settings/delete",
                    template="delete.html",
                    title="Delete account",
                    data=desk.page,
                    submit=delete,
                    then="/login",
                    done="deleted",
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
        return {"user": public_profile(await self._services.accounts.require(call.identity.id))}

    async def show(self, call: Call[None]) -> Reply:
        return Reply(
            message="Your account.",
            data={"user": public_profile(await self._services.accounts.require(call.identity.id))},
        )

    async def edit(self, call: Call[ProfileBody]) -> Reply:
        user = await self._services.accounts.require(call.identity.id)
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
            cookies=await self._services.new_claims(call, changed),
        )

    async def change_password(self, call: Call[ChangePasswordBody]) -> Reply:
        """The new hash and the end of all other sessions are one write (SECURITY S-11)."""
        services, body = self._services, call.body
        user = await services.accounts.reauthenticate(call.identity.id, body.currentPassword)
        # This worker may not have heard yet that the session is over: it must not spare itself.
        if await services.sessions.holder(call.identity.session_id, now=call.now) is None:
            raise NotSignedIn
        if same(body.newPassword, body.currentPassword):
            raise SamePassword
        context = (*user.context, services.settings.app_name)
        services.hashing.demand_strong(body.newPassword, context=context, field="newPassword")
        password_hash = await services.hashing.hash(body.newPassword)
        changed = await self._set_password(call, user, password_hash)
        services.sessions.revocations.note_user(changed, now=call.now)
        pair = None
        with suppress(StoreUnavailable):  # the session goes on with the tokens that it has
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

    async def _set_password(self, call: Call[Any], seen: User, password_hash: str) -> User:
        """Again when something else has raised the epoch meanwhile and spared this session, as
        ending the others does in another tab: who is signed in must not read "please sign in".
        """
        services, session_id = self._services, call.identity.session_id
        user: User | None = seen
        while user is not None and user.password_hash == seen.password_hash:
            changed = await services.accounts.change_and_end_sessions(
                user,
                {"password_hash": password_hash},
                now=services.clock(),  # hashing took a while, and workers read what is new by time
                spare=session_id,
                expect={"password_hash": seen.password_hash},
            )
            if changed is not None:
                return changed
            user = await services.sessions.holder(session_id, now=services.clock())
        raise NotSignedIn if user is None else WrongPassword

    async def delete(self, call: Call[PasswordBody]) -> Reply:
        services = self._services
        user = await services.accounts.reauthenticate(call.identity.id, call.body.password)
        deleted = await services.accounts.delete(user, now=services.clock())
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
