"""Tokens: what we did not sign for this use is nobody's; what we did is read without a fault."""

from __future__ import annotations

import json
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from authkit_asgi.core.tokens import (
    ACCESS,
    MAX_INTEGER,
    REFRESH,
    Claims,
    Kind,
    Tokens,
    _decode,
    _encode,
)
from tests.fuzz.mutating import EXAMPLES, mutations, without_growth
from tests.strict_tokens import StrictTokens

NOW = 1_800_000_000
SECRETS = {
    kind: (secrets.token_urlsafe(40), secrets.token_urlsafe(40)) for kind in (ACCESS, REFRESH)
}
TOKENS = Tokens("https://app.example.com", SECRETS)
STRICT = StrictTokens("https://app.example.com", SECRETS)
PROFILE = {"username": "ada", "email": "ada@example.com", "isVerified": True, "isAdmin": False}
GOOD = {
    kind: TOKENS.mint(
        kind,
        Claims("user", "session", 3, 1, NOW - 60, NOW + 600, "A" * 22 if kind.has_id else "", {}),
    ).encode()
    for kind in (ACCESS, REFRESH)
}
NAMED = TOKENS.mint(
    ACCESS, Claims("user", "session", 3, 1, NOW - 60, NOW + 600, "", PROFILE)
).encode()
WORDS = (
    b".",
    b"=",
    b"e30",  # {}
    b"eyJhbGciOiJub25lIn0",  # {"alg":"none"}
    b"eyJhbGciOiJub25lIn0.e30.",
    GOOD[ACCESS].split(b".")[0],
    GOOD[REFRESH].split(b".")[0],
    GOOD[ACCESS].split(b".")[1],
)
FOUND = [b"", b".", b"..", b"...", b"eyJhbGciOiJub25lIn0.e30.", b"\xef\xbb\xbf" + GOOD[ACCESS]]
JSON_WORDS = (
    b'"sub"',
    b'"exp"',
    b'"gen":1.0',
    b'"epoch":true',
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b'"\\ud800"',
    b"\\u0022",
    b',"sub":"other"',
    b"-1",
    b"0",
    b'""',
)


@pytest.mark.parametrize("kind", [ACCESS, REFRESH], ids=lambda kind: kind.name)
def test_no_mutation_of_a_token_is_accepted(kind: Kind) -> None:
    """T-01, T-02, T-03, T-04, T-05, T-06, T-23, and B-09."""
    good = {GOOD[kind], NAMED} if kind is ACCESS else {GOOD[kind]}
    accepted = 0
    with without_growth():
        for token in mutations(kind.name, [*GOOD.values(), NAMED, *FOUND], WORDS):
            claims = TOKENS.read(kind, token, now=NOW)
            assert (claims is not None) is (token in good), token
            accepted += claims is not None
    assert accepted


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="EdDSA"),
        pytest.param(ec.generate_private_key(ec.SECP256R1()), id="ES256"),
    ],
)
def test_no_mutation_of_a_token_of_a_key_pair_is_accepted(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    """T-01, T-02, T-03, T-04, T-05, T-19, and B-09: a signature has one spelling there, too."""
    tokens = Tokens("https://app.example.com", {ACCESS: (pem(key), secrets.token_urlsafe(40))})
    claims = Claims("user", "session", 3, 1, NOW - 60, NOW + 600, "", {})
    good = tokens.mint(ACCESS, claims).encode()
    padded = [good + b"=", good + b"==", good[:-1] + bytes([good[-1] ^ 1])]
    words = (*WORDS, *good.split(b"."))
    with without_growth():
        # A tenth of the others: a signature of a pair takes a hundred times as long to judge.
        for token in mutations("pair", [good, *padded, *FOUND], words, EXAMPLES // 10):
            assert (tokens.read(ACCESS, token, now=NOW) is not None) is (token == good), token


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def payload_of(token: bytes) -> bytes:
    return _decode(token.split(b".")[1])


def signed(payload: bytes, kind: Kind) -> bytes:
    """Whatever it says, in our name: as only a fault of ours could sign it."""
    key = TOKENS._signing[kind]
    message = key.header + b"." + _encode(payload)
    return message + b"." + key.sign(message)


@pytest.mark.parametrize(("kind", "other"), [(ACCESS, REFRESH), (REFRESH, ACCESS)])
def test_what_one_kinds_key_signed_is_nothing_of_another(kind: Kind, other: Kind) -> None:
    """T-06: even if it says all that the other kind says."""
    payload = payload_of(GOOD[kind])
    assert TOKENS.read(kind, signed(payload, kind), now=NOW) is not None
    assert TOKENS.read(kind, signed(payload, other), now=NOW) is None
    assert TOKENS.read(other, signed(payload, other), now=NOW) is None


@pytest.mark.parametrize("kind", [ACCESS, REFRESH], ids=lambda kind: kind.name)
def test_even_what_we_signed_is_judged(kind: Kind) -> None:
    """T-07, T-08, T-09, T-10, T-12, T-13: no fault, and whole numbers and texts only."""
    payloads = [payload_of(GOOD[kind])]
    if kind is ACCESS:
        payloads.append(payload_of(NAMED))
    accepted = 0
    with without_growth():
        for payload in mutations(f"signed {kind.name}", payloads, JSON_WORDS, EXAMPLES):
            token = signed(payload, kind)
            claims = TOKENS.read(kind, token, now=NOW)
            assert claims == STRICT.read(kind, token, now=NOW), payload
            if claims is None:
                continue
            accepted += 1
            said = json.loads(payload, object_pairs_hook=once)
            assert said["iss"] == "https://app.example.com"
            assert said["aud"] == f"https://app.example.com/{kind.name}"
            assert type(said["exp"]) is type(said["iat"]) is int
            assert NOW < claims.expires_at == said["exp"] <= MAX_INTEGER
            assert claims.issued_at == said["iat"] <= NOW + 10
            assert 0 <= claims.generation == said["gen"]
            assert claims.subject == said["sub"]
            assert claims.session_id == said["sid"]
            assert isinstance(claims.subject, str)
            assert claims.subject.encode()
    assert accepted
