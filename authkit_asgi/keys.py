"""The keys of access tokens: PEM files that the settings name, read where a kit is built.

Key pairs let others verify what we sign: the private half stays here, the public one is published.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from authkit_asgi.core.tokens import ACCESS, KeyPair
from authkit_asgi.settings import Settings, SettingsError

logger = logging.getLogger("authkit_asgi.keys")

MAX_BYTES = 16 * 1024  # a PEM of either kind has a few hundred


def access_keys(settings: Settings) -> Sequence[str]:
    """What signs and verifies access tokens: the PEMs of `AUTHKIT_ACCESS_KEYS`, then the secrets of
    `AUTHKIT_TOKEN_SECRET`. The first that can sign signs.

    Logs a warning of files that others may read. Raises `SettingsError`, which names each file that
    is missing, or holds no key of Ed25519 or P-256.
    """
    pems: list[str] = []
    problems: list[str] = []
    signs = bool(settings.token_secret)
    for name in settings.access_keys:
        try:
            pem = _read(Path(name))
            signs |= KeyPair(ACCESS, pem).can_sign
            pems.append(pem)
        except ValueError as error:
            problems.append(f"AUTHKIT_ACCESS_KEYS: {name}: {error}")
    if not problems and not signs:
        problems.append(
            "AUTHKIT_ACCESS_KEYS: none of them is private, and without an AUTHKIT_TOKEN_SECRET "
            "nothing signs"
        )
    if problems:
        raise SettingsError(problems)
    for warning in exposed(settings):
        logger.warning(warning)
    return [*pems, *settings.token_secret]


def exposed(settings: Settings) -> list[str]:
    """A sentence for each private key that others on this machine may read, or replace."""
    return [
        f"AUTHKIT_ACCESS_KEYS: {name}: others may read this private key: chmod 600"
        for name in settings.access_keys
        if _is_exposed(Path(name))
    ]


def _is_exposed(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o077) and "PRIVATE KEY-----" in _read(path)
    except (OSError, ValueError):
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or "cannot be read") from None
    # What it says is not repeated: it may be a secret.
    if len(raw) > MAX_BYTES or not raw.isascii() or b"-----BEGIN " not in raw:
        raise ValueError("is not a PEM file")
    return raw[raw.index(b"-----BEGIN ") :].decode("ascii")
