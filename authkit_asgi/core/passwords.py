"""Passwords: what may become one, and what is kept of it. The only home of bcrypt.

bcrypt reads 72 bytes and not one more, so each password is first made 44 bytes long:

    $bcrypt-sha256$v=2,t=2b,r=12$<salt>$<digest>
    digest = bcrypt(base64(HMAC-SHA256(key=salt, password)), salt)

This is passlib's format, which others read too. Every new hash has it, not only those of long
passwords: one path to reason about, and no password's length shows in the store. The HMAC is keyed
with the salt, so a list of bare SHA-256 digests leaked elsewhere cannot be tried against ours.

`$2a$`, `$2b$` and `$2y$` hashes brought along from other systems verify, and are `outdated`: the
next sign-in, which has the clear password in hand, replaces them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import string
import unicodedata
from collections.abc import Iterable
from importlib import resources

import bcrypt

MAX_LENGTH = 128  # code points. NIST SP 800-63B asks for 64 at least
MAX_BYTES = 1024

TOO_LONG = f"Use at most {MAX_LENGTH} characters."

_OURS = re.compile(
    r"\$bcrypt-sha256\$v=2,t=2b,r=([1-9][0-9]?)\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})"
)
_FOREIGN = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")
_FOREIGN_MAX_BYTES = 72


class Passwords:
    """Hashes, verifies and judges. Slow on purpose, so call `hash` and `verify` in a thread."""

    def __init__(self, *, rounds: int, min_length: int) -> None:
        self.rounds = rounds
        self.min_length = min_length
        self._decoy_salt = bcrypt.gensalt(rounds)

    def hash(self, password: str) -> str:
        """What to keep of a password that `weakness` had nothing to say about."""
        problem = unusable(password)
        if problem:
            raise ValueError(problem)
        setting = bcrypt.gensalt(self.rounds)
        salt = setting[-22:]
        digest = bcrypt.hashpw(_shortened(password, salt), setting)[-31:]
        return f"$bcrypt-sha256$v=2,t=2b,r={self.rounds}${salt.decode()}${digest.decode()}"

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether `stored` was made from `password`. Never raises.

        Without a hash to compare with (no such user, no password set, a damaged row) it works as
        long as with one, so that the time tells nobody who has an account. What can be nobody's
        password returns at once: it does so whatever is stored, and so tells nothing either.
        """
        if unusable(password):
            return False
        try:
            secret, answer = _question(password, stored or "")
            matches = bcrypt.checkpw(secret, answer)
        except ValueError:
            bcrypt.hashpw(_shortened(password, b""), self._decoy_salt)
            return False
        if not matches:
            self._make_up_for(int(answer[4:6]))
        return matches

    def _make_up_for(self, rounds: int) -> None:
        """The work that a hash of fewer rounds has saved: otherwise each account from before the
        rounds were raised would refuse sooner than an address that nobody has.

        Each round doubles, so those from `rounds` on make up for it to the last step.
        """
        for missing in range(rounds, self.rounds):
            bcrypt.hashpw(b"", b"$2b$%02d" % missing + self._decoy_salt[6:])

    def outdated(self, stored: str) -> bool:
        """Whether to hash anew at the next sign-in.

        Fewer rounds than ours are too weak; with more, the time a sign-in takes would tell an
        account that exists from one that does not.
        """
        ours = _OURS.fullmatch(stored)
        return ours is None or int(ours[1]) != self.rounds

    def weakness(self, password: str, *, context: Iterable[str] = ()) -> str | None:
        """Why a person should not choose this password, as a sentence for them, or None.

        `context` is what a guesser knows: the site's name, the username, the e-mail address, names.
        """
        problem = unusable(password)
        if problem:
            return problem
        normal = _normal(password)
        if len(normal) > MAX_LENGTH:
            return TOO_LONG
        if len(normal) < self.min_length:
            return f"Use at least {self.min_length} characters."
        if normal.casefold() in common_passwords() or len(set(normal)) == 1:
            return "This password is one of the first that are tried. Choose another one."
        if _repeats(normal.casefold(), context):
            return "Do not use your name, your address or this site's name as the password."
        return None


def same(one: str, other: str) -> bool:
    """Whether these are one password, however a keyboard writes it."""
    return _normal(one) == _normal(other)


def unusable(password: str) -> str | None:
    """Why this can be nobody's password, as a sentence, or None.

    Asked before any account is looked up, so that the answer is the same whoever is named.
    """
    if not password:
        return "Enter a password."
    if len(password) > MAX_BYTES:  # before anything reads it: a megabyte costs nothing
        return TOO_LONG
    try:
        size = len(password.encode())
    except UnicodeEncodeError:  # a lone surrogate: JSON can spell one, UTF-8 cannot
        return "This password holds something that is not a character."
    return TOO_LONG if size > MAX_BYTES else None


@functools.cache
def common_passwords() -> frozenset[str]:
    """The passwords that are tried first; the file says where they come from. Read on first use."""
    text = resources.files("authkit_asgi.core").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("# "))


def _normal(password: str) -> str:
    # Keyboards write é as one code point or as two: both are the same password. Blanks stay.
    return unicodedata.normalize("NFKC", password)


def _shortened(password: str, salt: bytes) -> bytes:
    # base64, for raw digests may hold a NUL, at which C libraries stop reading.
    secret = _normal(password).encode()
    return base64.b64encode(hmac.digest(salt, secret, hashlib.sha256))


def _question(password: str, stored: str) -> tuple[bytes, bytes]:
    """What bcrypt is to compare: its input, its output. ValueError: nothing readable is stored."""
    ours = _OURS.fullmatch(stored)
    if ours:
        rounds, salt, digest = ours.groups()
        return _shortened(password, salt.encode()), f"$2b${rounds:0>2}${salt}{digest}".encode()
    # Other systems neither normalise nor read beyond 72 bytes. bcrypt itself takes "a" and "a\0a"
    # for the same: it repeats its input, joined by NULs, until it has 72 bytes.
    if _FOREIGN.fullmatch(stored) and "\0" not in password:
        return password.encode()[:_FOREIGN_MAX_BYTES], stored.encode()
    raise ValueError("not a password hash")


def _repeats(folded: str, context: Iterable[str]) -> bool:
    """Whether the password is one of these words, perhaps with digits or signs at its end."""
    known = [_normal(word).casefold() for word in context]
    guesses = {part for word in known for part in (word, word.partition("@")[0]) if part}
    return folded in guesses or folded.rstrip(string.digits + string.punctuation) in guesses
