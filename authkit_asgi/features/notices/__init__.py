"""Mails that tell an owner what happened to the account: often the only warning of a theft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_asgi.accounts import User
from authkit_asgi.core.times import iso
from authkit_asgi.events import (
    AccountDeleted,
    EmailChangeRequested,
    Event,
    PasswordChanged,
    PasswordReset,
    RegistrationRepeated,
    SessionReused,
)
from authkit_asgi.features import Plug, Services
from authkit_asgi.mail import Button, Letter


@dataclass(frozen=True, slots=True)
class Notices:
    """OWASP ASVS 6.3.7: after a change of what signs in, and after suspicious use."""

    name = "notices"
    needs = ("reset_password",)

    def plug(self, services: Services) -> Plug:
        return Plug(listeners=(_Writer(services).hear,))


class _Writer:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._letters: dict[type[Event], Callable[[Event, User], Letter]] = {
            PasswordChanged: self._password_changed,
            PasswordReset: self._password_changed,
            SessionReused: self._session_reused,
            RegistrationRepeated: self._registration_repeated,
            EmailChangeRequested: self._email_change_requested,
        }

    async def hear(self, event: Event) -> None:
        if isinstance(event, AccountDeleted):
            self._post(event, event.email, self._account_deleted())
        elif write := self._letters.get(type(event)):
            user = await self._services.accounts.by_id(event.user_id)
            if user is not None:
                self._post(event, user.email, write(event, user))

    def _post(self, event: Event, to: str, letter: Letter) -> None:
        key = f"notice/{type(event).__name__}/{event.user_id}/{event.session_id}/{event.at:.3f}"
        self._services.post(letter, to=to, key=key)

    def _password_changed(self, event: Event, user: User) -> Letter:
        return Letter(
            subject=f"Your {self._app} password was changed",
            name=user.firstname,
            paragraphs=(
                f"The password of your account “{user.username}” was changed{_where(event)}.",
                "If it was not you, choose a new one now: that ends every session.",
            ),
            button=self._new_password(),
        )

    def _session_reused(self, event: Event, user: User) -> Letter:
        return Letter(
            subject=f"We ended a session of your {self._app} account",
            name=user.firstname,
            paragraphs=(
                "A sign-in of yours was used from two places, as happens when somebody has copied "
                f"it{_where(event)}. We ended it; other sessions go on.",
                "Please sign in again. If you see anything that you do not know, choose a new "
                "password: that ends every session.",
            ),
            button=self._new_password(),
        )

    def _registration_repeated(self, event: Event, user: User) -> Letter:
        return Letter(
            subject=f"You already have an account at {self._app}",
            name=user.firstname,
            paragraphs=(
                "Somebody, probably you, wanted to register with this address. It has an account "
                f"already: “{user.username}”. Nothing was changed.",
                "You can sign in. If you do not know the password, or never confirmed the address, "
                "choose a new password.",
            ),
            button=self._new_password(),
            footnotes=("If it was not you, there is nothing to do.",),
        )

    def _email_change_requested(self, event: Event, user: User) -> Letter:
        return Letter(
            subject=f"Your {self._app} e-mail address is about to change",
            name=user.firstname,
            paragraphs=(
                f"Somebody who knows the password of “{user.username}” asked to move the account "
                f"to another address{_where(event)}. It changes when the new address is confirmed.",
                "If it was not you, choose a new password now: that voids the change and ends "
                "every session.",
            ),
            button=self._new_password(),
        )

    def _account_deleted(self) -> Letter:
        return Letter(
            subject=f"Your {self._app} account is deleted",
            paragraphs=("Your account and what it held about you are deleted, as you asked.",),
        )

    def _new_password(self) -> Button:
        return Button(
            label="Choose a new password", url=f"{self._services.pages_url}/reset-password"
        )

    @property
    def _app(self) -> str:
        return self._services.settings.app_name


def _where(event: Event) -> str:
    at = (iso(event.at) or "").replace("T", " ").replace("Z", " UTC")
    place = f" from {event.visitor.ip}" if event.visitor.ip else ""
    return f" ({at}{place})"
