"""Makes key pairs for access tokens. Needs the extra `keys`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

try:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "Key pairs need the extra keys: pip install 'authkit-asgi[keys]'"
    ) from missing


def write_pair(private: Path, public: Path, algorithm: Literal["EdDSA", "ES256"]) -> None:
    """A new pair, as PEM files: the private one for the owner's eyes only.

    Raises `OSError` where one of them is there already, and writes neither: a key that signs is
    never replaced by mistake.
    """
    is_es256 = algorithm == "ES256"
    key = generate_private_key(SECP256R1()) if is_es256 else Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    known = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(public, known, 0o644)
    try:
        _write(private, secret, 0o600)
    except OSError:
        public.unlink()
        raise


def _write(path: Path, text: bytes, mode: int) -> None:
    # The mode is given as it is made: a moment later somebody may have opened it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text)
