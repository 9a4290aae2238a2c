"""Mailed links: what goes out, and what is kept of it."""

from __future__ import annotations

import hashlib
import re
import secrets

from authkit_asgi.core.links import RAW_BYTES, Link, digest_of, text_of


def test_the_text_survives_every_mail_program() -> None:
    texts = [text_of(secrets.token_bytes(RAW_BYTES)) for _ in range(500)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", text) for text in texts)
    assert len(set(texts)) == 500


def test_no_two_secrets_share_a_text() -> None:
    raw = bytes(RAW_BYTES)
    nearly = [raw[:i] + bytes([1 << bit]) + raw[i + 1 :] for i in range(32) for bit in range(8)]
    assert len({text_of(one) for one in [raw, *nearly]}) == 257


def test_the_row_keeps_a_digest_and_nothing_of_the_text() -> None:
    text = text_of(b"\xfb" * RAW_BYTES)
    row = Link(
        id=digest_of(text),
        purpose="verify-email",
        user_id="u",
        email="ada@example.test",
        created_at=0.0,
        expires_at=600.0,
    )
    assert row.id == hashlib.sha256(text.encode()).hexdigest()
    assert text not in repr(row)
    assert text[:8] not in repr(row)


def test_digests_differ_by_one_character() -> None:
    assert digest_of("a" * 43) != digest_of("a" * 42 + "b")
