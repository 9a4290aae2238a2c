"""What people may write into the fields of a request: types for pydantic models, and lookup keys.

Each type takes a string and nothing else. What it gives back it would take again, unchanged.
A model that holds a password sets `hide_input_in_errors`: pydantic quotes what it refuses.
"""

from __future__ import annotations

import re
import string
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from authkit_asgi.core.passwords import MAX_BYTES, unusable

MAX_EMAIL = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets

# Names that would speak for the site, or be mistaken for a page of it or for nobody.
RESERVED_USERNAMES = frozenset(
    {
        "abuse", "account", "accounts", "admin", "administrator", "admins", "anonymous", "api",
        "auth", "authkit", "billing", "bot", "contact", "dashboard", "everyone", "guest", "help",
        "helpdesk", "home", "hostmaster", "info", "login", "logout", "mail", "mailerdaemon", "me",
        "moderator", "noreply", "nobody", "null", "official", "operator", "owner", "postmaster",
        "profile", "register", "root", "security", "self", "settings", "signin", "signout",
        "signup", "staff", "superuser", "support", "sysadmin", "system", "team", "undefined",
        "user", "username", "users", "verify", "webmaster", "www",
    }
)  # fmt: skip

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINK = re.compile(r"[A-Za-z0-9_-]{1,200}")

# Mail servers of the past take `user%victim.com@relay` and `victim.com!user@relay` for a route, and
# some mail programs decode `=?utf-8?q?…?=` into another address than the one we checked.
_LOCAL_PART_TRICKS = ("%", "!", "=?")

# Control characters, line separators, and what turns the direction of the text around it (UAX 9):
# a name with one of these rearranges the page or the mail it is shown in.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Only ASCII is folded. Python lowers the KELVIN SIGN to a plain k: a key made that way would find
# another person's account (CVE-2019-19844).
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_WITHOUT_SIGNS = str.maketrans("", "", "._-")

_SENTENCES = {
    "missing": "This field is required.",
    "string_type": "This must be text.",
    "string_unicode": "This holds something that is not a character.",
    "string_too_short": "Use at least {min_length} characters.",
    "string_too_long": "Use at most {max_length} characters.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "extra_forbidden": "There is no such field.",
    "model_type": "Send a JSON object.",
    "model_attributes_type": "Send a JSON object.",
}


def email_key(email: str) -> str:
    """What an e-mail address is looked up by, and unique by; also of one that nobody checked.

    A domain has one key however it is spelled: `bücher.example`, `BÜCHER.example`, or in IDNA.
    """
    return (_ascii_address(email) or email).translate(_LOWER)


def username_key(username: str) -> str:
    """What a username is looked up by, and unique by."""
    return username.translate(_LOWER)


def link_text(value: object) -> str | None:
    """The text of a mailed link if it could be one, else None: nothing else reaches the store."""
    return value if isinstance(value, str) and _LINK.fullmatch(value) else None


def sentence_of(error: ErrorDetails) -> str:
    """What is wrong with a field, for the person who filled it in. Quotes nothing they wrote."""
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    return _SENTENCES.get(error["type"], "This is not right.").format_map(error.get("ctx", {}))


class _Clear(str):
    """A clear password: a string in all but its repr, which logs and tracebacks print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


def _email(value: str) -> str:
    address = _ascii_address(value)
    if address is None:
        raise ValueError("Enter an e-mail address, like ada@example.com.")
    if any(trick in address.partition("@")[0] for trick in _LOCAL_PART_TRICKS):
        raise ValueError("E-mail addresses with %, ! or =? in them are not taken here.")
    return address


def _ascii_address(text: str) -> str | None:
    """The one address this is, as given but for its domain, or None."""
    try:
        # `test_environment` lets the domain .test in, which nobody can own (RFC 6761 section 6.2).
        checked = validate_email(
            text.strip(" "),
            allow_smtputf8=False,
            check_deliverability=False,
            strict=True,
            test_environment=True,
        )
    except EmailNotValidError:
        return None
    address = checked.ascii_email
    return address if address and len(address) <= MAX_EMAIL else None


def _username(value: str) -> str:
    if not _USERNAME.fullmatch(value):
        raise ValueError(
            "Use the letters a to z, digits, dots, - and _, and begin with a letter or a digit."
        )
    if username_key(value).translate(_WITHOUT_SIGNS) in RESERVED_USERNAMES:
        raise ValueError("This username is reserved. Choose another one.")
    return value


def _one_line(value: str) -> str:
    if _UNSEEN.search(value):
        raise ValueError("This holds a character that cannot be seen. Type it anew.")
    return value


def _unix_lines(value: object) -> object:
    # A form sends \r\n where its author pressed Enter.
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


def _lines(value: str) -> str:
    _one_line(value.replace("\n", " "))
    return value


def _password(value: str) -> str:
    problem = unusable(value)
    if problem:
        raise ValueError(problem)
    return _Clear(value)


EmailAddress = Annotated[
    str,
    Strict(),
    StringConstraints(max_length=MAX_EMAIL),
    AfterValidator(_email),
    Field(json_schema_extra={"format": "email"}),
]
"""One address, as given but for its domain, which is lower case ASCII (IDNA)."""

Username = Annotated[
    str,
    Strict(),
    StringConstraints(strip_whitespace=True, min_length=3, max_length=30),
    AfterValidator(_username),
    Field(json_schema_extra={"pattern": f"^{_USERNAME.pattern}$"}),
]
"""ASCII only, so that few that differ look the same; without an @, so that none is an address."""

PersonName = Annotated[
    str,
    Strict(),
    StringConstraints(strip_whitespace=True, min_length=2, max_length=30),
    AfterValidator(_one_line),
]

Bio = Annotated[
    str,
    Strict(),
    StringConstraints(strip_whitespace=True, max_length=160),
    AfterValidator(_lines),
    BeforeValidator(_unix_lines),  # goes first, although it stands last
]
"""May have several lines."""

ClearPassword = Annotated[
    str,
    Strict(),
    AfterValidator(_password),
    Field(json_schema_extra={"format": "password", "writeOnly": True, "maxLength": MAX_BYTES}),
]
"""Just as typed, and good for signing in; `Passwords.weakness` judges the ones newly chosen."""

LinkToken = Annotated[
    str | None,
    BeforeValidator(link_text),
    WithJsonSchema({"type": "string", "pattern": f"^{_LINK.pattern}$"}),
]
"""Give it the default None: missing, malformed and unknown then are one thing, a `LinkInvalid`."""
