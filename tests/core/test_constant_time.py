"""How signatures are compared (SECURITY T-16). Time itself is too noisy to ask on a shared machine:
what is watched is the comparison."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from authkit_asgi.core import foreign_hashes, seals, tokens
from authkit_asgi.core.tokens import ACCESS, Claims, Tokens

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz-A"
CLAIMS = Claims("user", "session", 0, 0, 1_000, 2_000, "", {})


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What was compared in constant time."""
    pairs: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def watching(one: Any, other: Any) -> bool:
        pairs.append((one, other))
        return real(one, other)

    for module in (tokens, seals, foreign_hashes):
        monkeypatch.setattr(module.hmac, "compare_digest", watching)
    return pairs


class Unequal(bytes):
    """Bytes that nobody may compare by themselves: `==` stops at the first difference."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared byte by byte")


@pytest.mark.parametrize("place", [0, 20, 42])
def test_a_signature_is_compared_in_constant_time(
    place: int, compared: list[tuple[bytes, bytes]]
) -> None:
    """T-16: whole, whether the first byte is wrong or the last."""
    made = Tokens("https://app.example.com", {ACCESS: (SECRET,)})
    token = made.mint(ACCESS, CLAIMS).encode()
    message, _, signature = token.rpartition(b".")
    other = b"A" if signature[place : place + 1] != b"A" else b"B"
    forged = signature[:place] + other + signature[place + 1 :]
    assert made.read(ACCESS, token, now=1_500) is not None
    assert made.read(ACCESS, message + b"." + forged, now=1_500) is None
    assert [other for _, other in compared] == [signature, forged]
    assert {len(mine) for mine, _ in compared} == {len(signature)}


def test_nothing_else_compares_a_signature() -> None:
    """T-16: the signature is only handed on."""
    key = tokens.SecretKey(ACCESS, SECRET)
    message = b"header.payload"
    assert key.holds(message, Unequal(key.sign(message)))
    assert not key.holds(message, Unequal(b"A" * 43))
