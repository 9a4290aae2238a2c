"""Seals on messages that pass through somebody else's hands, so that only our workers can write
them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

SIZE = 32  # of an HMAC-SHA256, in bytes


class Seals:
    """Of several secrets the first seals and all are honoured, as with tokens. `purpose` makes the
    keys: a message sealed for one is worthless for any other, and no seal is a token's signature.
    """

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        label = f"authkit seal {purpose}".encode()
        self._keys = [hmac.digest(secret.encode(), label, "sha256") for secret in secrets]

    def sealed(self, message: bytes) -> bytes:
        return hmac.digest(self._keys[0], message, "sha256") + message

    def opened(self, sealed: bytes) -> bytes | None:
        """The message, or None: none of our workers wrote it."""
        seal, message = sealed[:SIZE], sealed[SIZE:]
        for key in self._keys:
            if hmac.compare_digest(hmac.digest(key, message, "sha256"), seal):
                return message
        return None
