"""Access and refresh tokens: signed here, read here, and nowhere else. The only home of PyJWT.

A token is a JWT (RFC 7519), but it is not read as a general decoder would read one. We mint every
token that we accept, so nothing that an attacker wrote is parsed before its signature holds:

1. size and alphabet: at most 4096 bytes of `[A-Za-z0-9_-]` in three non-empty segments;
2. the header segment equals, byte for byte, one of the few that we write: that tells kind and key,
   and no `alg`, `kid`, `jku`, `jwk`, `zip` or `crit` of anybody's is ever looked at (RFC 8725 3.1,
   3.10);
3. the signature over the exact bytes, in constant time, in its one canonical spelling;
4. the claims, each of its exact type.

Each kind has its own `typ`, `aud` and key, so none can pass as another (RFC 8725 3.11, 3.12).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from jwt.algorithms import Algorithm, HMACAlgorithm

MAX_BYTES = 4096
MAX_INTEGER = 2**53  # beyond it JSON integers are not exact everywhere (RFC 8259 section 6)
SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# Workers' clocks differ a little: a token that another one has just issued must not be refused
# for being from the future. `exp` gets no leeway (RFC 7519 section 4.1.4 allows none to be given).
CLOCK_SKEW = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """`has_id`: each token of this kind carries a `jti` of its own (RFC 7519 section 4.1.7)."""

    name: str
    typ: str
    has_id: bool = False


ACCESS = Kind("access", "at+jwt")  # RFC 9068 section 2.1
REFRESH = Kind("refresh", "rt+jwt", has_id=True)
TEXTS = ("iss", "aud", "sub", "sid")
WHOLE_NUMBERS = ("gen", "epoch", "iat", "exp")
REGISTERED = frozenset((*TEXTS, *WHOLE_NUMBERS, "jti"))
TOKEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says. Times are whole seconds since the epoch. `profile` is
    read-only. `token_id` is empty for a kind whose tokens have none."""

    subject: str
    session_id: str
    generation: int
    epoch: int
    issued_at: int
    expires_at: int
    token_id: str = ""
    profile: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of one kind: its header segment says which, in bytes that nobody else chose."""

    kind: Kind
    header: bytes
    algorithm: Algorithm = field(repr=False)
    secret: bytes = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        return _encode(self.algorithm.sign(message, self.secret))

    def holds(self, message: bytes, signature: bytes) -> bool:
        # Compared as text, so that no second spelling of one signature passes.
        return hmac.compare_digest(self.sign(message), signature)


class Tokens:
    """Mints and reads. Of several secrets of a kind the first signs and all verify."""

    def __init__(
        self,
        issuer: str,
        secrets: Mapping[Kind, Sequence[str]],
        max_lifetime: Mapping[Kind, float] | None = None,
    ) -> None:
        self._issuer = issuer
        self._keys: dict[bytes, Key] = {}
        self._signing: dict[Kind, Key] = {}
        self._max_lifetime = dict(max_lifetime or {})
        for kind, kind_secrets in secrets.items():
            keys = [_hmac_key(kind, secret) for secret in kind_secrets]
            self._signing[kind] = keys[0]
            self._keys.update((key.header, key) for key in keys)

    def mint(self, kind: Kind, claims: Claims) -> str:
        """The token as text. Profile claims never override a registered one."""
        payload = {
            **{name: value for name, value in claims.profile.items() if name not in REGISTERED},
            "iss": self._issuer,
            "aud": self._audience(kind),
            "sub": claims.subject,
            "sid": claims.session_id,
            "gen": claims.generation,
            "epoch": claims.epoch,
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            **({"jti": claims.token_id} if kind.has_id else {}),
        }
        key = self._signing[kind]
        # In UTF-8: escaped, a name or bio of emoji takes three times the room, and browsers drop a
        # cookie of more than 4096 bytes.
        text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        message = key.header + b"." + _encode(text.encode())
        return (message + b"." + key.sign(message)).decode("ascii")

    def read(
        self, kind: Kind, token: bytes | None, *, now: float, expired_too: bool = False
    ) -> Claims | None:
        """The claims of a token of ours of this kind, or None. `expired_too`: also after its
        end."""
        payload = self._verified_payload(kind, token)
        claims = self._claims(kind, payload) if payload is not None else None
        if claims is None or claims.issued_at > now + CLOCK_SKEW:
            return None
        if now >= claims.expires_at and not expired_too:
            return None
        return claims

    def _verified_payload(self, kind: Kind, token: bytes | None) -> bytes | None:
        if not token or len(token) > MAX_BYTES:
            return None
        parts = SHAPE.fullmatch(token)
        if parts is None:
            return None
        header, payload, signature = parts.groups()
        key = self._keys.get(header)
        if key is None or key.kind is not kind:
            return None
        return payload if key.holds(token[: parts.end(2)], signature) else None

    def _claims(self, kind: Kind, segment: bytes) -> Claims | None:
        try:
            payload = _frozen(_parsed(_decode(segment)))
        except (ValueError, RecursionError):
            return None
        if not isinstance(payload, MappingProxyType) or not _well_typed(payload, kind):
            return None
        if payload["iss"] != self._issuer or payload["aud"] != self._audience(kind):
            return None
        longest = self._max_lifetime.get(kind)
        if longest is not None and payload["exp"] - payload["iat"] > longest + 1:
            return None
        profile = {name: claim for name, claim in payload.items() if name not in REGISTERED}
        return Claims(
            subject=payload["sub"],
            session_id=payload["sid"],
            generation=payload["gen"],
            epoch=payload["epoch"],
            issued_at=payload["iat"],
            expires_at=payload["exp"],
            token_id=payload.get("jti", ""),
            profile=MappingProxyType(profile),
        )

    def _audience(self, kind: Kind) -> str:
        return f"{self._issuer}/{kind.name}"


def _hmac_key(kind: Kind, secret: str) -> Key:
    # The key id says which secret, and nothing about it; the kind is part of both, so that even one
    # secret given for two kinds would make two keys.
    raw = hmac.digest(secret.encode(), f"authkit {kind.typ} key".encode(), "sha256")
    key_id = hashlib.sha256(raw + b"kid").hexdigest()[:12]
    header = {"alg": "HS256", "kid": key_id, "typ": kind.typ}
    segment = _encode(json.dumps(header, separators=(",", ":")).encode())
    return Key(kind, segment, HMACAlgorithm(HMACAlgorithm.SHA256), raw)


def _encode(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def _decode(segment: bytes) -> bytes:
    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def _parsed(raw: bytes) -> object:
    """Strict JSON in UTF-8. Raises `ValueError` for what a general decoder is kind to (SECURITY
    T-12, T-13)."""
    parsed: object = _DECODER.decode(raw.decode("utf-8"))
    if b"\\u" in raw:  # half of a surrogate pair is no text, and no database could hold it
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    return parsed


def _well_typed(payload: Mapping[str, Any], kind: Kind) -> bool:
    # `type() is int`, because True is an int to isinstance, and 1.0 equals 1.
    return (
        all(type(payload.get(name)) is str and payload[name] for name in TEXTS)
        and all(
            type(payload.get(name)) is int and 0 <= payload[name] <= MAX_INTEGER
            for name in WHOLE_NUMBERS
        )
        and (_is_token_id(payload.get("jti")) if kind.has_id else "jti" not in payload)
    )


def _is_token_id(value: object) -> bool:
    return type(value) is str and TOKEN_ID.fullmatch(value) is not None


def _no_duplicates(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"duplicate member {name!r}")
        found[name] = value
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def _frozen(value: object) -> Any:
    """A claim as something that no request can change for the next one (SECURITY T-18)."""
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(inner) for inner in value)
    return value
