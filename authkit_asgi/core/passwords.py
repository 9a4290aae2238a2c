"""Passwords: what may become one, and what is kept of it. The only home of bcrypt.

bcrypt reads 72 bytes and not one more, so each password is first made 44 bytes long:

    $bcrypt-sha256$v=2,t=2b,r=12$<salt>$<digest>
    digest = bcrypt(base64(HMAC-SHA256(key=salt, password)), salt)

This is passlib's format, which others read too. Every new hash has it, not only those of long
passwords: one path to reason about, and no password's length shows in the store. The HMAC is keyed
with the salt, so a list of bare SHA-256 digests leaked elsewhere cannot be tried against ours.

Hashes brought along from other systems verify, and are `outdated`: the next sign-in, which has the
clear password in hand, replaces them. These are `$2a$`, `$2b$` and `$2y$`, also in Django's
`bcrypt$` and `bcrypt_sha256$`, and those of `foreign_hashes`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import string
import time
import unicodedata
from collections.abc import Iterable
from importlib import resources

import bcrypt

from authkit_asgi.core import foreign_hashes

MAX_LENGTH = 128  # code points. NIST SP 800-63B asks for 64 at least
MAX_BYTES = 1024

MAX_ROUNDS = 16  # about four seconds. A row that asks for more is not worked on

TOO_LONG = f"Use at most {MAX_LENGTH} characters."

_OURS = re.compile(
    r"\$bcrypt-sha256\$v=2,t=2b,r=([1-9][0-9]?)\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})"
)
_FOREIGN = re.compile(
    r"(?:bcrypt(?P<sha256>_sha256)?\$)?"  # Django's name for it
    r"(?P<plain>\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31})"
)
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
        foreign = foreign_hashes.read(stored or "")
        if foreign is not None and foreign.steps <= 2**MAX_ROUNDS:
            return self._verify_foreign(password, foreign)
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

    def _verify_foreign(self, password: str, foreign: foreign_hashes.ForeignHash) -> bool:
        """As long as one of ours when it does not match, in sixteenths: what another kind of hash
        takes beside a bcrypt depends on the processor, so the time itself is measured, against
        that of a bcrypt under the very same load."""
        began = time.perf_counter()
        if foreign.fits(password.encode()):
            return True
        spent = time.perf_counter() - began
        rounds = max(4, self.rounds - 4)
        parts, done, part = 2 ** (self.rounds - rounds), 0, 0.0
        while spent + done * part < parts * part or not done:
            bcrypt.hashpw(b"", b"$2b$%02d" % rounds + self._decoy_salt[6:])
            done += 1
            part = (time.perf_counter() - began - spent) / done
        return False

    def unfit(self, stored: str) -> str | None:
        """Why a hash from elsewhere cannot be taken over, as a sentence, or None.

        One that costs more than ours is refused: the time of a refusal would tell who has it
        (SECURITY E-02), and whoever wrote the file would say how busy this server is.
        """
        if lacking := foreign_hashes.lacking(stored):
            return f"{lacking}."
        steps = _steps_of(stored)
        if steps is None:
            return "This is no password hash that is known here."
        needed = (steps - 1).bit_length()
        if needed > MAX_ROUNDS:
            return "Checking this password hash would take longer than is ever spent on one."
        if needed > self.rounds:
            return (
                f"Checking this password hash costs more than AUTHKIT_BCRYPT_ROUNDS={self.rounds} "
                f"does. Set it to {needed}, until these people have signed in once."
            )
        return None

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
    if (rounds := _rounds_of(stored)) is None or rounds > MAX_ROUNDS:
        raise ValueError("not a password hash, or one beyond all bounds")
    ours, foreign = _OURS.fullmatch(stored), _FOREIGN.fullmatch(stored)
    if ours:
        salt, digest = ours[2], ours[3]
        return _shortened(password, salt.encode()), f"$2b${rounds:02}${salt}{digest}".encode()
    if foreign and foreign["sha256"]:
        secret = hashlib.sha256(password.encode()).hexdigest().encode()
        return secret, foreign["plain"].encode()
    # Other systems neither normalise nor read beyond 72 bytes. bcrypt itself takes "a" and "a\0a"
    # for the same: it repeats its input, joined by NULs, until it has 72 bytes.
    if foreign and "\0" not in password:
        return password.encode()[:_FOREIGN_MAX_BYTES], foreign["plain"].encode()
    raise ValueError("not a password hash")


def _rounds_of(stored: str) -> int | None:
    """The rounds of a bcrypt hash, whoever made it, or None."""
    if ours := _OURS.fullmatch(stored):
        return int(ours[1])
    foreign = _FOREIGN.fullmatch(stored)
    return int(foreign["plain"][4:6]) if foreign else None


def _steps_of(stored: str) -> int | None:
    """What checking a password against this costs, in steps of bcrypt, or None."""
    rounds = _rounds_of(stored)
    if rounds is not None:
        return 2**rounds if rounds >= 4 else None
    foreign = foreign_hashes.read(stored)
    return foreign.steps if foreign else None


def _repeats(folded: str, context: Iterable[str]) -> bool:
    """Whether the password is one of these words, perhaps with digits or signs at its end."""
    known = [_normal(word).casefold() for word in context]
    guesses = {part for word in known for part in (word, word.partition("@")[0]) if part}
    return folded in guesses or folded.rstrip(string.digits + string.punctuation) in guesses
