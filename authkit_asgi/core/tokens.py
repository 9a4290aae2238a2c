"""Access and refresh tokens: signed here, read here, and nowhere else. The only home of PyJWT.

A token is a JWT (RFC 7519), but it is not read as a general decoder would read one. We mint every
token that we accept, so nothing that an attacker wrote is parsed before its signature holds:

1. size: at most 4096 bytes;
2. the header segment equals, byte for byte, one of the few that we write: that tells kind and key,
   and no `alg`, `kid`, `jku`, `jwk`, `zip` or `crit` of anybody's is ever looked at (RFC 8725 3.1,
   3.10);
3. the signature over the exact bytes, in constant time, in its one canonical spelling. What we
   sign is two segments of `[A-Za-z0-9_-]`: no other alphabet, and no third, gets past that;
4. the claims, each of its exact type. What is spelled as we spell it is matched by a pattern, which
   is quick; any other spelling is read as strict JSON, and means the same either way.

Each kind has its own `typ`, `aud` and key, so none can pass as another (RFC 8725 3.11, 3.12).
"""

from __future__ import annotations

import hmac
import json
import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from json.encoder import encode_basestring
from types import MappingProxyType
from typing import Any, Protocol

from jwt import InvalidKeyError, get_algorithm_by_name
from jwt.algorithms import has_crypto

MAX_BYTES = 4096
MAX_INTEGER = 2**53  # beyond it JSON integers are not exact everywhere (RFC 8259 section 6)

# Workers' clocks differ a little: a token that another one has just issued must not be refused
# for being from the future. `exp` gets no leeway (RFC 7519 section 4.1.4 allows none to be given).
CLOCK_SKEW = 10


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Equal to itself alone. `has_id`: each token of this kind carries a `jti` of its own (RFC 7519
    section 4.1.7)."""

    name: str
    typ: str
    has_id: bool = False


ACCESS = Kind("access", "at+jwt")  # RFC 9068 section 2.1
REFRESH = Kind("refresh", "rt+jwt", has_id=True)
REGISTERED = frozenset(
    ("iss", "aud", "sub", "sid", "gen", "epoch", "iat", "exp", "jti", "auth_time")
)
TOKEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


# What `_spelled` writes behind issuer and audience: texts of ASCII without an escape, and numbers
# that no reader of JSON could take for anything else, below 2**53.
_PLAIN_TEXT, _NUMBER = r'"([ !#-\[\]-~]+)"', "(0|[1-9][0-9]{0,14})"
REST = {
    has_id: re.compile(
        f'"sub":{_PLAIN_TEXT},"sid":{_PLAIN_TEXT},"gen":{_NUMBER},"epoch":{_NUMBER},'
        f'"iat":{_NUMBER},"exp":{_NUMBER}(?:,"auth_time":{_NUMBER})?{named}}}'
    )
    for has_id, named in ((False, "()"), (True, f',"jti":"({TOKEN_ID.pattern})"'))
}
NO_PROFILE: Mapping[str, object] = MappingProxyType({})


@dataclass(slots=True)
class Claims:
    """What a verified token says. Times are whole seconds since the epoch. `profile` is
    read-only. `token_id` is empty for a kind whose tokens have none. `auth_time` is when the holder
    last proved who it is (RFC 9068 section 2.2.1); 0, where that is not told: long ago.

    Not frozen, which would make it four times as slow to build: it serves one reading, and what is
    remembered is the `Identity` made of it."""

    subject: str
    session_id: str
    generation: int
    epoch: int
    issued_at: int
    expires_at: int
    token_id: str = ""
    profile: Mapping[str, object] = field(default_factory=dict, repr=False)
    auth_time: int = 0


class Key(Protocol):
    """A key of one kind: its header segment says which, in bytes that nobody else chose."""

    kind: Kind
    header: bytes

    @property
    def can_sign(self) -> bool: ...

    def sign(self, message: bytes) -> bytes:
        """The signature as text. Raises `TypeError` for a key that can only verify."""
        ...

    def holds(self, message: bytes, signature: bytes) -> bool: ...


class SecretKey:
    """HS256 (RFC 7518 section 3.2): HMAC (RFC 2104) whose key is hashed already, so that only the
    message is left. Half the time of `hmac.digest`, which hashes the key for each message."""

    __slots__ = ("_inner", "_outer", "header", "kind", "secret")

    can_sign = True

    def __init__(self, kind: Kind, secret: str) -> None:
        # The key id says which secret, and nothing about it; the kind is part of both, so that even
        # one secret given for two kinds would make two keys.
        self.secret = hmac.digest(secret.encode(), f"authkit {kind.typ} key".encode(), "sha256")
        self.kind = kind
        self.header = _header(kind, "HS256", sha256(self.secret + b"kid").hexdigest()[:12])
        padded = self.secret.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def sign(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return _encode(outer.digest())

    def holds(self, message: bytes, signature: bytes) -> bool:
        # Compared as text, so that no second spelling of one signature passes.
        return hmac.compare_digest(self.sign(message), signature)


class KeyPair:
    """Ed25519 (RFC 8037) or P-256 (RFC 7518 section 3.4), private or only its public half.

    Raises `ValueError` for any other key, and without the extra `keys`.
    """

    __slots__ = ("_algorithm", "_key", "header", "jwk", "kind")

    def __init__(self, kind: Kind, key: str | Mapping[str, object]) -> None:
        name, self._algorithm, self._key = _loaded(key)
        public = getattr(self._key, "public_key", lambda: self._key)()
        members = self._algorithm.to_jwk(public, as_dict=True)
        # The key id is the key's thumbprint (RFC 7638): whoever has the key knows its header.
        thumbprint = _encode(
            sha256(_plain({name: members[name] for name in sorted(members)}).encode()).digest()
        ).decode()
        self.kind = kind
        self.header = _header(kind, name, thumbprint)
        self.jwk = {**members, "use": "sig", "alg": name, "kid": thumbprint}  # RFC 7517 section 4

    @property
    def can_sign(self) -> bool:
        return hasattr(self._key, "public_key")

    def sign(self, message: bytes) -> bytes:
        if not self.can_sign:
            raise TypeError("a public key verifies; it cannot sign")
        return _encode(self._algorithm.sign(message, self._key))

    def holds(self, message: bytes, signature: bytes) -> bool:
        try:
            raw = _decode(signature)
        except ValueError:
            return False
        return _encode(raw) == signature and self._algorithm.verify(message, self._key, raw)


class Tokens:
    """Mints and reads. Of several keys of a kind the first that can signs, and all verify.

    A key is a secret (HS256), a PEM or a JWK (EdDSA, ES256), of which a public one cannot sign.
    """

    def __init__(
        self,
        issuer: str,
        secrets: Mapping[Kind, Sequence[str | Mapping[str, object]]],
        max_lifetime: Mapping[Kind, float] | None = None,
    ) -> None:
        self._issuer = issuer
        self._keys: dict[bytes, Key] = {}
        self._signing: dict[Kind, Key] = {}
        self._from_us = {kind: (issuer, f"{issuer}/{kind.name}") for kind in secrets}
        self._spelled_from_us = {
            kind: f'"iss":{_text(issuer)},"aud":{_text(audience)},'
            for kind, (issuer, audience) in self._from_us.items()
        }
        longest = max_lifetime or {}
        # A second more than the lifetime: both ends are whole seconds.
        self._max_lifetime = {kind: longest.get(kind, math.inf) + 1 for kind in secrets}
        for kind, kind_secrets in secrets.items():
            self.use(kind, kind_secrets)

    def use(self, kind: Kind, secrets: Sequence[str | Mapping[str, object]]) -> bool:
        """From here on these keys of a kind, and no others: whether one that verified is gone.

        Whoever remembers what was read before must then forget it (SECURITY T-15). Without any key
        nothing of the kind is read.
        """
        keys = {key.header: key for key in (_key(kind, secret) for secret in secrets)}
        before = {header: key for header, key in self._keys.items() if key.kind is kind}
        self._keys = {header: self._keys[header] for header in self._keys.keys() - before} | keys
        for key in list(keys.values())[:1]:
            self._signing[kind] = next((one for one in keys.values() if one.can_sign), key)
        return not before.keys() <= keys.keys()

    def knows(self, token: bytes) -> bool:
        """Whether the token names a key of ours. It says nothing of its signature."""
        return token[: token.find(b".")] in self._keys

    def public_keys(self, kind: Kind) -> list[dict[str, str]]:
        """What others need to verify tokens of this kind, each a JWK (RFC 7517). Secrets are not
        among them."""
        keys = [key for key in self._keys.values() if key.kind is kind]
        return [key.jwk for key in keys if isinstance(key, KeyPair)]

    def mint(self, kind: Kind, claims: Claims) -> str:
        """The token as text. Profile claims never override a registered one."""
        key = self._signing[kind]
        message = key.header + b"." + _encode(self._spelled(kind, claims).encode())
        return (message + b"." + key.sign(message)).decode("ascii")

    def _spelled(self, kind: Kind, claims: Claims) -> str:
        """The claims as JSON, in UTF-8 and without white space: escaped, a name or bio of emoji
        takes three times the room, and browsers drop a cookie of more than 4096 bytes."""
        profile = [
            f"{_text(name)}:{_json(value)},"
            for name, value in claims.profile.items()
            if name not in REGISTERED
        ]
        named = f',"jti":{_text(claims.token_id)}' if kind.has_id else ""
        proved = f',"auth_time":{claims.auth_time}' if claims.auth_time else ""
        return (
            f"{{{''.join(profile)}{self._spelled_from_us[kind]}"
            f'"sub":{_text(claims.subject)},"sid":{_text(claims.session_id)},'
            f'"gen":{claims.generation},"epoch":{claims.epoch},'
            f'"iat":{claims.issued_at},"exp":{claims.expires_at}{proved}{named}}}'
        )

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
        message, _, signature = token.rpartition(b".")
        header, _, payload = message.partition(b".")
        key = self._keys.get(header)
        if key is None or key.kind is not kind:
            return None
        return payload if key.holds(message, signature) else None

    def _claims(self, kind: Kind, segment: bytes) -> Claims | None:
        try:
            text = _decode(segment).decode()
            claims = self._as_spelled(kind, text) or self._as_json(kind, text)
        except (ValueError, RecursionError):
            return None
        if claims is None or claims.expires_at - claims.issued_at > self._max_lifetime[kind]:
            return None
        return claims

    def _as_spelled(self, kind: Kind, text: str) -> Claims | None:
        """The claims as `_spelled` writes them: profile, issuer and audience, and the rest. None
        says nothing of the token: it may be spelled another way."""
        before, from_us, after = text.rpartition(self._spelled_from_us[kind])
        rest = REST[kind.has_id].fullmatch(after) if from_us else None
        if rest is None:
            return None
        profile = NO_PROFILE
        if before != "{":
            if before[-1:] != ",":
                return None
            profile = _parsed(before[:-1] + "}")
            # `{,` is no beginning of an object, and a registered name would come twice.
            if not profile or not REGISTERED.isdisjoint(profile):
                return None
        subject, session_id, generation, epoch, issued_at, expires_at, proved, token_id = (
            rest.groups("0")
        )
        return Claims(
            subject,
            session_id,
            int(generation),
            int(epoch),
            int(issued_at),
            int(expires_at),
            token_id,
            profile,
            int(proved),
        )

    def _as_json(self, kind: Kind, text: str) -> Claims | None:
        parsed = _parsed(text)
        if type(parsed) is not MappingProxyType:
            return None
        payload = parsed.copy()
        try:
            texts = subject, session_id = payload.pop("sub"), payload.pop("sid")
            generation, epoch = payload.pop("gen"), payload.pop("epoch")
            issued_at, expires_at = payload.pop("iat"), payload.pop("exp")
            token_id = payload.pop("jti") if kind.has_id else ""
            from_us = payload.pop("iss"), payload.pop("aud")
            auth_time = payload.pop("auth_time", 0)
        except KeyError:
            return None
        # `type() is int`, because True is an int to isinstance, and 1.0 equals 1.
        if not type(generation) is type(epoch) is type(issued_at) is type(expires_at) is int:
            return None
        if type(auth_time) is not int:
            return None
        numbers = (generation, epoch, issued_at, expires_at, auth_time)
        if min(numbers) < 0 or max(numbers) > MAX_INTEGER:
            return None
        if not type(subject) is type(session_id) is str or "" in texts:
            return None
        if from_us != self._from_us[kind]:
            return None
        if not _is_token_id(token_id) if kind.has_id else "jti" in payload:
            return None
        return Claims(
            subject,
            session_id,
            generation,
            epoch,
            issued_at,
            expires_at,
            token_id,
            MappingProxyType(payload),
            auth_time,
        )


def _header(kind: Kind, algorithm: str, key_id: str) -> bytes:
    return _encode(_plain({"alg": algorithm, "kid": key_id, "typ": kind.typ}).encode())


def _key(kind: Kind, key: str | Mapping[str, object]) -> Key:
    if isinstance(key, str) and not key.lstrip().startswith("-----BEGIN "):
        return SecretKey(kind, key)
    return KeyPair(kind, key)


CURVES = {"Ed25519": "EdDSA", "P-256": "ES256"}


def _loaded(key: str | Mapping[str, object]) -> tuple[str, Any, Any]:
    """Algorithm by name, PyJWT's implementation of it, and its key, from a PEM or a JWK."""
    if not has_crypto:
        raise ValueError("Key pairs need the extra keys: pip install 'authkit-asgi[keys]'")
    for name in CURVES.values():
        algorithm: Any = get_algorithm_by_name(name)
        try:
            loaded = algorithm.prepare_key(key) if isinstance(key, str) else algorithm.from_jwk(key)
            if CURVES.get(algorithm.to_jwk(loaded, as_dict=True)["crv"]) == name:
                return name, algorithm, loaded
        except (ValueError, TypeError, InvalidKeyError):
            continue
    raise ValueError("not a key of Ed25519 or P-256, in PEM or as a JWK")


# RFC 4648 section 5 by way of section 4, whose functions are the quicker ones.
def _encode(raw: bytes) -> bytes:
    text = b2a_base64(raw, newline=False)
    return text.replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")


def _decode(segment: bytes) -> bytes:
    return a2b_base64(segment.replace(b"-", b"+").replace(b"_", b"/") + b"==")


def _parsed(text: str) -> Any:
    """Strict JSON, and nothing in it that a request could change for the next one (SECURITY T-18).
    Raises `ValueError` for what a general decoder is kind to (SECURITY T-12, T-13)."""
    parsed, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("more than one value")
    if "\\u" in text:  # half of a surrogate pair is no text, and no database could hold it
        json.dumps(parsed, default=dict, ensure_ascii=False).encode()
    return _frozen(parsed) if "[" in text else parsed


def _is_token_id(value: object) -> bool:
    return type(value) is str and TOKEN_ID.fullmatch(value) is not None


def _object(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return MappingProxyType(found)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
_text = encode_basestring
_WORDS = {None: "null", True: "true", False: "false"}
_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _json(value: object) -> str:
    if type(value) is str:
        return _text(value)
    if value is None or type(value) is bool:
        return _WORDS[value]
    return str(value) if type(value) is int else _plain(value)


def _frozen(value: Any) -> Any:
    """Objects are read-only already; lists are not."""
    if type(value) is list:
        return tuple([_frozen(inner) for inner in value])
    if type(value) is MappingProxyType:
        return MappingProxyType({name: _frozen(inner) for name, inner in value.items()})
    return value
