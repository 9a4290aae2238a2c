"""Password hashes of other systems that are not bcrypt: PBKDF2 as Django writes it, and Argon2.

    pbkdf2_sha256$<iterations>$<salt>$<digest>        and pbkdf2_sha1
    $argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<digest>        Django puts `argon2` in front

Nothing here makes such a hash: they are read until their owners have signed in once. What one may
cost stands in the hash itself, so whoever wrote the file decides it: each is weighed in steps of
bcrypt (r rounds are 2**r steps) before it is worked on, and `Passwords` draws the line.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

LACKING = "Argon2 hashes need a library: pip install 'authkit-asgi[argon2]'"

# One step of bcrypt takes about as long as 250 iterations of PBKDF2, or 50 KiB of one Argon2 pass,
# where the processor knows SHA. A fifth is granted on top: Django 6.0's 1,200,000 iterations and
# PHP's four passes over 64 MiB pass for twelve rounds.
ITERATIONS_PER_STEP = 300
KIBIBYTES_PER_STEP = 64

# However few the passes: this much is held for each hash under way. Django takes 100 MiB.
MAX_KIBIBYTES = 128 * 1024
MAX_LANES = 16  # each is a thread while it lasts

# In each pass four threads are started for each lane. With little memory to work on that is what
# takes the time: a pass over 128 KiB in 16 lanes costs 70 steps, and not two.
KIBIBYTES_PER_LANE = 1024

_PBKDF2 = re.compile(r"pbkdf2_(sha256|sha1)\$([1-9][0-9]{0,9})\$([^$\s]{1,128})\$([A-Za-z0-9+/=]+)")
_PBKDF2_BYTES = {"sha256": 32, "sha1": 20}
_ARGON2 = re.compile(
    r"(?:argon2)?\$argon2(?P<kind>id|i|d)\$(?:v=(?P<version>16|19)\$)?"
    r"m=(?P<memory>[1-9][0-9]{0,9}),t=(?P<passes>[1-9][0-9]{0,9}),p=(?P<lanes>[1-9][0-9]{0,2})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{16,86})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignHash:
    """`steps` is what checking a password costs, in steps of bcrypt."""

    digest: bytes
    steps: int
    derive: Callable[[bytes], bytes]

    def fits(self, password: bytes) -> bool:
        try:
            return hmac.compare_digest(self.derive(password), self.digest)
        except Exception:
            # The library's own errors, no memory left among them. They are not told apart from a
            # wrong password, because then they would tell who has such a hash.
            return False


def read(stored: str) -> ForeignHash | None:
    """The hash, or None: of another kind, damaged, or of a library that is missing."""
    found = _PBKDF2.fullmatch(stored)
    try:
        if found:
            return _pbkdf2(found)
        found = _ARGON2.fullmatch(stored)
        return _argon2(found) if found else None
    except (binascii.Error, ValueError):
        return None


def lacking(stored: str) -> str | None:
    """What to install before this hash can be read, as a sentence without its end, or None."""
    return LACKING if _ARGON2.fullmatch(stored) and not _library() else None


def _pbkdf2(found: re.Match[str]) -> ForeignHash:
    name, iterations, salt = found[1], int(found[2]), found[3].encode()
    digest = base64.b64decode(found[4], validate=True)
    if len(digest) != _PBKDF2_BYTES[name]:  # a longer one would multiply the work
        raise ValueError("not a digest of this kind")
    return ForeignHash(
        digest=digest,
        steps=-(-iterations // ITERATIONS_PER_STEP),
        derive=lambda password: hashlib.pbkdf2_hmac(name, password, salt, iterations),
    )


def _argon2(found: re.Match[str]) -> ForeignHash | None:
    argon2 = _library()
    if argon2 is None:
        return None
    memory, passes, lanes = (int(found[name]) for name in ("memory", "passes", "lanes"))
    if memory > MAX_KIBIBYTES or lanes > MAX_LANES or memory < 8 * lanes:
        raise ValueError("more than is spent on one hash, or less than Argon2 works with")
    salt, digest = _unpadded(found["salt"]), _unpadded(found["digest"])
    kind, hashed = argon2.Type[found["kind"].upper()], argon2.low_level.hash_secret_raw
    version = int(found["version"] or 16)  # the first version did not say so

    def derive(password: bytes) -> bytes:
        derived: bytes = hashed(
            password,
            salt,
            time_cost=passes,
            memory_cost=memory,
            parallelism=lanes,
            hash_len=len(digest),
            type=kind,
            version=version,
        )
        return derived

    weight = memory if lanes == 1 else max(memory, lanes * KIBIBYTES_PER_LANE)
    steps = -(-weight * passes // KIBIBYTES_PER_STEP)
    return ForeignHash(digest=digest, steps=steps, derive=derive)


@functools.cache
def _library() -> ModuleType | None:
    """Of the extra: imported when the first Argon2 hash is met."""
    try:
        return import_module("argon2")
    except ModuleNotFoundError:
        return None


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
