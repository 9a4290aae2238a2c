"""Mailed one-time tokens. The raw text goes out in a mail; its digest alone is kept.

A link is bound to what it was made for: its purpose, the account, the address it was sent to, and
the user's epoch. A password change raises the epoch, so it voids every outstanding link of the
account without touching one, and using a link changes what it is bound to, so none works twice.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass

RAW_BYTES = 32  # 256 bits from the system's generator; ASVS 7.2.3 asks for 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`id` is the digest: from the row the text cannot be made. `email` is the account's address
    when the link was made, `target` what it is about when that is something else (a new
    address)."""

    id: str
    purpose: str
    user_id: str
    email: str
    target: str = ""
    epoch: int = 0
    created_at: float
    expires_at: float
    purge_at: float | None = None


def text_of(raw: bytes) -> str:
    """What goes into the mail: letters, digits, `-` and `_` only, so that no mail program breaks
    it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
