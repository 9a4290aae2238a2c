"""What becomes of a person from elsewhere: an account of ours, or a reason why not.

A person is lost by nothing that can be mended later: a name that is missing or strange is mended
here, and noted. What decides who they are and how they get in (the address, the hash, the flags) is
never guessed: it is right, or the row is skipped with its reason.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from authkit_asgi.accounts import User
from authkit_asgi.core.fields import (
    Bio,
    EmailAddress,
    PersonName,
    Username,
    email_key,
    sentence_of,
    username_key,
)
from authkit_asgi.importing import Person
from authkit_asgi.settings import DAY

MAX_HASH = 512  # characters; the longest that is known here has about 250

_EMAIL = TypeAdapter[str](EmailAddress)
_USERNAME = TypeAdapter[str](Username)
_NAME = TypeAdapter[str](PersonName)
_BIO = TypeAdapter[str](Bio)

# Ids that no two systems give to different people: a UUID, MongoDB's, or one of ours.
_SAFE_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24}|[0-9a-f]{32}"
)
_NOT_IN_USERNAMES = re.compile(r"[^A-Za-z0-9._-]+")
_FIRST_SIGNS = "._-"
MAX_USERNAME = 30
DIGITS_AND_LETTERS = string.ascii_lowercase + string.digits


class Skipped(Exception):
    """Why a row is not taken: a code for programs, a sentence for people."""

    def __init__(self, code: str, tells: str) -> None:
        super().__init__(tells)
        self.code = code
        self.tells = tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator decided. `unfit` says why a hash cannot be taken, or nothing. `secret`
    keeps the address of a row without an id from being guessed by the id that is made of it."""

    system: str
    secret: str
    unfit: Callable[[str], str | None]
    now: float
    assume_verified: bool = False
    drop_unfit_passwords: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """`has_id`: the row has one of its own, by which it is known here; otherwise its address is
    all there is."""

    user: User
    notes: tuple[str, ...]
    has_id: bool


def judge(person: Person, terms: Terms) -> Judged:
    """The account, and what is different in it. Raises `Skipped`."""
    notes: list[str] = []
    email = _email(person.email)
    password_hash = _password_hash(person.password_hash, terms, notes)
    verified = terms.assume_verified or _flag(person.is_verified, "isVerified", default=False)
    admin = _flag(person.is_admin, "isAdmin", default=False)
    if admin and not verified:
        # As `make-admin` has it: the address may be a stranger's who typed it in.
        notes.append("Not an admin here, for the address is not confirmed: see make-admin.")
    active = _flag(person.is_active, "isActive", default=True)
    username = _username(person.username, email, notes)
    user = User(
        id=_id(person.id, email_key(email), terms),
        firstname=_name(person.firstname, notes) or username,
        lastname=_name(person.lastname, notes),
        username=username,
        username_key=username_key(username),
        email=email,
        email_key=email_key(email),
        password_hash=password_hash,
        bio=_bio(person.bio, notes),
        is_verified=verified,
        is_admin=admin and verified,
        created_at=_time(person.created_at, "createdAt", terms.now) or terms.now,
        last_login_at=_time(person.last_login_at, "lastLoginAt", terms.now),
        disabled_at=None if active else terms.now,
    )
    return Judged(user, tuple(notes), has_id=person.id not in (None, ""))


def usernames(first: str) -> Iterator[str]:
    """The name, and others like it that may be free. Ends: the last ones are random."""
    yield first
    for number in range(2, 10):
        yield f"{first[: MAX_USERNAME - 1]}{number}"
    for _ in range(5):
        ending = "".join(secrets.choice(DIGITS_AND_LETTERS) for _ in range(6))
        yield f"{first[: MAX_USERNAME - 7]}-{ending}"


def _id(value: object, address: str, terms: Terms) -> str:
    """The same for the same row, so that a second run finds it: kept when it is a UUID or
    MongoDB's, else derived from what it is there, for `1` is somebody in every system.

    Without one, from the address: a person who has another address by now, or has left, would
    otherwise come in once more by the old one, and with the old password.
    """
    if value is None or value == "":
        message = f"authkit import {address}".encode()
        return hmac.digest(terms.secret.encode(), message, "sha256").hex()[:32]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Skipped("invalid_id", "The id is neither text nor a whole number.")
    text = str(value)
    if _SAFE_ID.fullmatch(text.lower()):
        return text.lower()
    return hashlib.sha256(f"{terms.system}:{text}".encode(errors="replace")).hexdigest()[:32]


def _email(value: object) -> str:
    if value is None or value == "":
        raise Skipped("no_email", "There is no e-mail address, and nobody signs in without one.")
    try:
        return _EMAIL.validate_python(value)
    except ValidationError as error:
        raise Skipped("invalid_email", sentence_of(error.errors()[0])) from None


def _password_hash(value: object, terms: Terms, notes: list[str]) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_HASH:
        why: str | None = "This is no password hash that is known here."
    else:
        why = terms.unfit(value)
        if why is None:
            return value
    if not terms.drop_unfit_passwords:
        raise Skipped("unfit_password", why or "")
    notes.append("Without the password: its owner sets a new one by mail.")
    return None


def _flag(value: object, name: str, *, default: bool) -> bool:
    if value is None:
        return default
    if value in (0, 1) and isinstance(value, int):  # SQLite has no booleans
        return bool(value)
    raise Skipped("invalid_flag", f"{name} is neither true nor false.")


def _time(value: object, name: str, now: float) -> float | None:
    """Seconds since the epoch. A time without a zone is UTC: so Django and SQLite keep them."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= now + DAY:
        raise Skipped("invalid_time", f"{name} is no time that can have been.")
    return float(value)


def _username(value: object, email: str, notes: list[str]) -> str:
    if value is None or value == "":
        return _made_username(email.partition("@")[0])
    try:
        return _USERNAME.validate_python(value)
    except ValidationError:
        text = value if isinstance(value, str) else ""
        made = _made_username(text.partition("@")[0] or email.partition("@")[0])
        notes.append(f"The username is {made}: the old one is not possible here.")
        return made


def _made_username(text: str) -> str:
    made = _NOT_IN_USERNAMES.sub("-", text).strip(_FIRST_SIGNS)[:MAX_USERNAME]
    for tried in (made, f"{made[: MAX_USERNAME - 5]}-user", f"user-{made[: MAX_USERNAME - 5]}"):
        try:
            return _USERNAME.validate_python(tried)
        except ValidationError:
            continue
    return "user-" + "".join(secrets.choice(DIGITS_AND_LETTERS) for _ in range(6))


def _name(value: object, notes: list[str]) -> str:
    """May be a single letter, or none at all: people are called what they are called. Their next
    visit to the settings asks for what is missing."""
    if value is None or value == "":
        return ""
    text = value.strip() if isinstance(value, str) else "\0"
    try:
        name = _NAME.validate_python(text[:30].ljust(2, "x"))
    except ValidationError:
        notes.append("Without a name that cannot be shown.")
        return ""
    if len(text) > 30:
        notes.append("A name is cut at 30 characters.")
    return name if len(text) > 1 else text


def _bio(value: object, notes: list[str]) -> str:
    if value is None or value == "":
        return ""
    try:
        text = value.strip() if isinstance(value, str) else value
        return _BIO.validate_python(text[:160] if isinstance(text, str) else text)
    except ValidationError:
        notes.append("Without a bio that cannot be shown.")
        return ""
    finally:
        if isinstance(value, str) and len(value.strip()) > 160:
            notes.append("The bio is cut at 160 characters.")
