"""Tokens: what was minted is read as it was meant, and nothing else is read at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from authkit_asgi.core.tokens import (
    ACCESS,
    CLOCK_SKEW,
    MAX_BYTES,
    MAX_INTEGER,
    REFRESH,
    REGISTERED,
    Claims,
    Kind,
    SecretKey,
    Tokens,
)
from tests.strict_tokens import StrictTokens

ISSUER = "https://app.example"
NOW = 1_800_000_000
HOUR = 3600
TICKET = Kind("ticket", "tt+jwt")  # a third kind, as a feature might bring one
SECRETS = {
    ACCESS: ("a-canary-of-the-access-tokens-000",),
    REFRESH: ("a-canary-of-the-refresh-tokens-00",),
    TICKET: ("a-canary-of-the-ticket-tokens-000",),
}
KINDS = tuple(SECRETS)
LONGEST = {ACCESS: HOUR, REFRESH: 30 * 24 * HOUR}
TOKENS = Tokens(ISSUER, SECRETS, LONGEST)
STRICT = StrictTokens(ISSUER, SECRETS, LONGEST)
CLAIMS = Claims(
    subject="user-1",
    session_id="session-1",
    generation=3,
    epoch=2,
    issued_at=NOW,
    expires_at=NOW + HOUR,
    profile={"username": "ada", "isAdmin": False},
)
PAYLOAD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": f"{ISSUER}/access",
    "sub": "user-1",
    "sid": "session-1",
    "gen": 3,
    "epoch": 2,
    "iat": NOW,
    "exp": NOW + HOUR,
}


def encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def decode(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def signed(payload: bytes, kind: Kind = ACCESS, tokens: Tokens = TOKENS) -> bytes:
    """A token with our own signature, whatever its payload says."""
    key = tokens._signing[kind]
    message = key.header + b"." + encode(payload)
    return message + b"." + key.sign(message)


def saying(**changes: object) -> bytes:
    """A signed access token whose payload differs from a good one; None leaves a member out."""
    payload = {**PAYLOAD, **changes}
    return signed(json.dumps({k: v for k, v in payload.items() if v is not None}).encode())


def text(**raw: str) -> bytes:
    """As `saying`, with members spelled by hand: `exp="1e9"`."""
    members = {name: json.dumps(value) for name, value in PAYLOAD.items()} | raw
    return signed(("{" + ",".join(f'"{k}":{v}' for k, v in members.items()) + "}").encode())


def minted(kind: Kind = ACCESS, tokens: Tokens = TOKENS, **changes: Any) -> bytes:
    named = {"token_id": "id-1"} if kind.has_id else {}
    return tokens.mint(kind, replace(CLAIMS, **{**named, **changes})).encode()


def read(token: bytes | None, kind: Kind = ACCESS, now: float = NOW) -> Claims | None:
    return TOKENS.read(kind, token, now=now)


def header_of(token: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(decode(token.split(b".")[0]))
    return loaded


# --- what is minted -----------------------------------------------------------------------------


def test_what_is_minted_is_read() -> None:
    assert read(minted()) == CLAIMS


def test_a_payload_written_by_hand_is_read() -> None:
    """The helper above makes good tokens, so that what it makes badly is refused for its reason."""
    assert read(saying()) == replace(CLAIMS, profile={})
    assert read(text()) == replace(CLAIMS, profile={})


def test_a_token_is_a_plain_jwt() -> None:
    header, payload, _ = minted().split(b".")
    assert json.loads(decode(header)).keys() == {"alg", "kid", "typ"}
    assert json.loads(decode(payload)) == {"username": "ada", "isAdmin": False, **PAYLOAD}


def test_nothing_secret_is_in_a_repr() -> None:
    key = TOKENS._signing[ACCESS]
    assert isinstance(key, SecretKey)
    shown = repr((TOKENS, key, CLAIMS))
    assert "canary" not in shown
    assert repr(key.secret)[2:-1] not in shown
    assert "ada" not in shown


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "gen", "epoch", "iat", "exp", "jti"])
def test_profile_claims_never_override_a_registered_one(name: str) -> None:
    claims = read(minted(profile={name: "evil", "username": "ada"}))
    assert claims == replace(CLAIMS, profile={"username": "ada"})


def test_profile_claims_keep_their_types() -> None:
    """1, 1.0 and True are equal, but not the same."""
    values = (None, True, False, 0, 1, -1, 2**80, 1.0, 1.5, "", "1", "zoë 🦉", 'a "b"\\\n')
    profile = {f"claim {number}": value for number, value in enumerate(values)}
    claims = read(minted(profile=profile))
    assert claims is not None
    assert repr(dict(claims.profile)) == repr(profile)


def test_profile_claims_cannot_be_changed_for_the_next_request() -> None:
    """T-18."""
    claims = read(minted(profile={"team": {"roles": ["reader"]}, "tags": [{"a": 1}]}))
    assert claims is not None
    profile: Any = claims.profile
    with pytest.raises(TypeError):
        profile["isAdmin"] = True
    with pytest.raises(TypeError):
        profile["team"]["roles"] = ("admin",)
    assert profile["team"]["roles"] == ("reader",)
    with pytest.raises(TypeError):
        profile["tags"][0]["a"] = 2


# --- kinds, issuers and keys --------------------------------------------------------------------


@pytest.mark.parametrize("verifier", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_verifier_refuses_every_other_kind(kind: Kind, verifier: Kind) -> None:
    """T-06, S-14."""
    assert (read(minted(kind), verifier) is not None) is (kind is verifier)


@pytest.mark.parametrize("verifier", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kinds_stay_apart_even_when_they_share_a_secret(kind: Kind, verifier: Kind) -> None:
    """T-06: a setting gone wrong must not turn an access token into a refresh token."""
    shared = Tokens(ISSUER, dict.fromkeys(KINDS, SECRETS[ACCESS]))
    token = minted(kind, shared)
    assert (shared.read(verifier, token, now=NOW) is not None) is (kind is verifier)


def test_a_header_of_one_kind_under_the_key_of_another_is_refused() -> None:
    """T-06: header, key and audience must all agree."""
    access, refresh = TOKENS._signing[ACCESS], TOKENS._signing[REFRESH]
    message = access.header + b"." + encode(json.dumps(PAYLOAD).encode())
    assert read(message + b"." + refresh.sign(message)) is None
    named = {**PAYLOAD, "jti": "id-1"}
    assert read(signed(json.dumps(named).encode(), REFRESH), REFRESH) is None  # aud: access


def test_another_installation_with_the_same_secret_is_refused() -> None:
    """T-07."""
    other = Tokens("https://other.example", SECRETS)
    assert other.read(ACCESS, minted(), now=NOW) is None


def test_of_several_secrets_the_first_signs_and_all_verify() -> None:
    """T-15."""
    old, new = SECRETS[ACCESS][0], "the-new-secret-of-the-access-tokens"
    before = Tokens(ISSUER, {ACCESS: (old,)})
    between = Tokens(ISSUER, {ACCESS: (new, old)})
    after = Tokens(ISSUER, {ACCESS: (new,)})
    by_old = before.mint(ACCESS, CLAIMS).encode()
    by_new = between.mint(ACCESS, CLAIMS).encode()
    assert between.read(ACCESS, by_old, now=NOW) == CLAIMS
    assert between.read(ACCESS, by_new, now=NOW) == CLAIMS
    assert after.read(ACCESS, by_new, now=NOW) == CLAIMS
    assert after.read(ACCESS, by_old, now=NOW) is None  # removed: refused at once
    assert before.read(ACCESS, by_new, now=NOW) is None


# --- forged headers -----------------------------------------------------------------------------


def with_header(**changes: object) -> bytes:
    """A good payload under another header, correctly signed with our own key."""
    key = TOKENS._signing[ACCESS]
    header = {**header_of(minted()), **changes}
    stated = {name: value for name, value in header.items() if value is not None}
    message = encode(json.dumps(stated, separators=(",", ":")).encode())
    message += b"." + encode(json.dumps(PAYLOAD).encode())
    return message + b"." + key.sign(message)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"alg": "none"}, id="T-01 none"),
        pytest.param({"alg": "nOnE"}, id="T-01 none in another case"),
        pytest.param({"alg": "hs256"}, id="T-01 lower case"),
        pytest.param({"alg": "HS384"}, id="T-01 HS384"),
        pytest.param({"alg": "RS256"}, id="T-01 RS256"),
        pytest.param({"alg": "EdDSA"}, id="T-01 EdDSA"),
        pytest.param({"alg": None}, id="T-01 no alg"),
        pytest.param({"alg": ["HS256"]}, id="T-01 a list"),
        pytest.param({"jwk": {"kty": "oct", "k": "AAAA"}}, id="T-02 jwk"),
        pytest.param({"jku": "https://evil.example/jwks"}, id="T-02 jku"),
        pytest.param({"x5u": "https://evil.example/cert"}, id="T-02 x5u"),
        pytest.param({"x5c": ["AAAA"]}, id="T-02 x5c"),
        pytest.param({"crit": ["exp"]}, id="T-03 crit"),
        pytest.param({"crit": []}, id="T-03 empty crit"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="T-03 b64"),
        pytest.param({"zip": "DEF"}, id="T-03 zip"),
        pytest.param({"enc": "A128GCM", "alg": "dir"}, id="T-23 JWE"),
        pytest.param({"kid": None}, id="T-04 no kid"),
        pytest.param({"kid": "unknown"}, id="T-04 unknown kid"),
        pytest.param({"kid": "../../etc/passwd"}, id="T-04 path"),
        pytest.param({"kid": "' OR 1=1 --"}, id="T-04 SQL"),
        pytest.param({"kid": 7}, id="T-04 number"),
        pytest.param({"kid": {"a": 1}}, id="T-04 object"),
        pytest.param({"typ": "JWT"}, id="T-06 JWT"),
        pytest.param({"typ": "rt+jwt"}, id="T-06 another kind"),
        pytest.param({"typ": None}, id="T-06 no typ"),
        pytest.param({"cty": "JWT"}, id="one member more"),
    ],
)
def test_no_header_but_ours_is_looked_at(changes: dict[str, object]) -> None:
    assert read(with_header(**changes)) is None


def test_the_same_header_in_other_bytes_is_refused() -> None:
    """T-12: order, white space and doubled members are all other bytes."""
    key = TOKENS._signing[ACCESS]
    header = header_of(minted())
    assert read(with_header()) is not None
    spellings = [
        json.dumps(header),
        json.dumps(dict(reversed(header.items())), separators=(",", ":")),
        json.dumps(header, separators=(",", ":"))[:-1] + ',"alg":"HS256"}',
    ]
    for spelling in spellings:
        message = encode(spelling.encode()) + b"." + encode(json.dumps(PAYLOAD).encode())
        assert read(message + b"." + key.sign(message)) is None


def test_an_unsigned_token_is_refused() -> None:
    """T-01."""
    header, payload, signature = minted().split(b".")
    nothing = encode(b'{"alg":"none"}')
    assert read(nothing + b"." + payload + b".") is None
    assert read(header + b"." + payload + b".") is None
    assert read(header + b"." + payload) is None
    assert read(nothing + b"." + payload + b"." + signature) is None


def test_the_secret_itself_is_not_the_key() -> None:
    """What an attacker who learns one secret signs by hand under HS256 needs our header, too."""
    header, payload, _ = minted().split(b".")
    message = header + b"." + payload
    raw = hmac.digest(SECRETS[ACCESS][0].encode(), message, hashlib.sha256)
    assert read(message + b"." + encode(raw)) is None


# --- spellings ----------------------------------------------------------------------------------


def test_the_signature_has_one_spelling() -> None:
    """T-19: its last character carries two unused bits, so three more texts decode the same."""
    token = minted()
    twins = [
        token[:-1] + bytes([last])
        for last in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    same = [one for one in twins if decode(one.split(b".")[2]) == decode(token.split(b".")[2])]
    assert len(same) == 4
    assert [one for one in twins if read(one)] == [token]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: token + b"=", id="padding"),
        pytest.param(lambda token: token.replace(b".", b"=.", 1), id="padded header"),
        pytest.param(lambda token: token + b".", id="a dot more"),
        pytest.param(lambda token: b"." + token, id="a dot before"),
        pytest.param(lambda token: token.replace(b".", b"..", 1), id="a doubled dot"),
        pytest.param(lambda token: token + b".AAAA", id="four segments"),
        pytest.param(lambda token: token + b".AAAA.AAAA", id="T-23 five segments"),
        pytest.param(lambda token: token + b"\n", id="a line feed"),
        pytest.param(lambda token: token + b" ", id="a space behind"),
        pytest.param(lambda token: b" " + token, id="a space before"),
        pytest.param(lambda token: token + b"\x00", id="a NUL"),
        pytest.param(lambda token: b'"' + token + b'"', id="quotes"),
        pytest.param(lambda token: b"Bearer " + token, id="a scheme"),
        pytest.param(lambda token: token.replace(b"_", b"/").replace(b"-", b"+") + b"+", id="b64"),
        pytest.param(lambda token: token.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(lambda token: b"\xef\xbb\xbf" + token, id="a BOM"),
        pytest.param(lambda token: token + b"\xff", id="not ASCII"),
        pytest.param(lambda token: token.replace(b".", b"%2e"), id="percent"),
        pytest.param(lambda token: b"", id="nothing"),
        pytest.param(lambda token: b"..", id="dots"),
        pytest.param(lambda token: token + token, id="twice"),
    ],
)
def test_a_token_has_one_spelling(spoil: Callable[[bytes], bytes]) -> None:
    """T-05."""
    assert read(spoil(minted())) is None


def test_no_token_is_no_token() -> None:
    assert read(None) is None


def test_a_token_may_have_4096_bytes_and_not_one_more() -> None:
    """T-05."""
    fitting = [minted(profile={"x": "y" * length}) for length in range(2600, 2900)]
    lengths = {len(token) for token in fitting if read(token)}
    assert max(lengths) == MAX_BYTES
    assert {len(token) for token in fitting if not read(token)}
    assert min(len(token) for token in fitting if not read(token)) > MAX_BYTES


# --- claims -------------------------------------------------------------------------------------

NUMBERS = ("gen", "epoch", "iat", "exp")
NOT_WHOLE = {
    "float": f"{NOW}.0",
    "exponent": "18e8",
    "string": f'"{NOW}"',
    "true": "true",
    "null": "null",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "negative": "-1",
    "over 2^53": str(MAX_INTEGER + 1),
    "huge": "9" * 400,
    "array": f"[{NOW}]",
    "object": "{}",
}


@pytest.mark.parametrize("spelling", NOT_WHOLE.values(), ids=NOT_WHOLE.keys())
@pytest.mark.parametrize("name", NUMBERS)
def test_whole_numbers_are_whole_numbers(name: str, spelling: str) -> None:
    """T-09."""
    assert read(text(**{name: spelling})) is None


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid"])
@pytest.mark.parametrize("value", ["", 1, True, [], ["user-1"], {}, 1.5], ids=repr)
def test_texts_are_texts(name: str, value: object) -> None:
    assert read(saying(**{name: value})) is None


@pytest.mark.parametrize("name", PAYLOAD)
def test_no_registered_claim_may_be_missing(name: str) -> None:
    """T-08."""
    assert read(saying(**{name: None})) is None


def refresh_saying(**raw: str) -> bytes:
    """A signed refresh token with members spelled by hand, among them no `jti` but that."""
    members = {name: json.dumps(value) for name, value in PAYLOAD.items()}
    members |= {"aud": json.dumps(f"{ISSUER}/refresh"), **raw}
    payload = "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"
    return signed(payload.encode(), REFRESH)


@pytest.mark.parametrize("token_id", ["a", "Zm9v-_9", "x" * 64])
def test_a_refresh_token_names_itself(token_id: str) -> None:
    """T-08."""
    expected = replace(CLAIMS, token_id=token_id)
    assert read(minted(REFRESH, token_id=token_id), REFRESH) == expected
    by_hand = refresh_saying(jti=json.dumps(token_id))
    assert read(by_hand, REFRESH) == replace(expected, profile={})


@pytest.mark.parametrize(
    "spelling",
    ['""', "null", "7", "true", '["a"]', "{}", f'"{"x" * 65}"', '"a b"', r'"a\n"', '"ä"', '"a.b"'],
)
def test_an_odd_name_of_a_refresh_token_is_refused(spelling: str) -> None:
    """T-08, T-09: it is kept in a row, so no database may stumble over it."""
    assert read(refresh_saying(jti=spelling), REFRESH) is None


def test_a_refresh_token_without_a_name_is_refused() -> None:
    """T-08."""
    assert read(refresh_saying(), REFRESH) is None
    assert read(minted(REFRESH, token_id=""), REFRESH) is None


def test_an_access_token_has_no_name() -> None:
    assert read(saying(jti="id-1")) is None
    assert read(minted(token_id="id-1")) == CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": ISSUER + "/"}, id="iss with a slash"),
        pytest.param({"iss": ISSUER.upper()}, id="iss in upper case"),
        pytest.param({"iss": ISSUER[:-1]}, id="a prefix of iss"),
        pytest.param({"iss": [ISSUER]}, id="iss in a list"),
        pytest.param({"aud": ISSUER}, id="a prefix of aud"),
        pytest.param({"aud": f"{ISSUER}/refresh"}, id="aud of another kind"),
        pytest.param({"aud": [f"{ISSUER}/access"]}, id="aud in a list"),
        pytest.param({"aud": f"{ISSUER}/accessory"}, id="aud with more"),
    ],
)
def test_issuer_and_audience_are_compared_exactly(changes: dict[str, object]) -> None:
    """T-07."""
    assert read(saying(**changes)) is None


def good_text() -> str:
    return json.dumps(PAYLOAD)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(good_text()[:-1].encode() + b',"exp":9007199254740991}', id="T-12 doubled"),
        pytest.param(good_text()[:-1].encode() + b',"a":{"b":1,"b":2}}', id="T-12 doubled within"),
        pytest.param(good_text()[:-1].encode() + b',"a":1,"\\u0061":2}', id="T-12 by escape"),
        pytest.param(good_text()[:-1].encode() + b',"x":NaN}', id="T-13 NaN"),
        pytest.param(good_text()[:-1].encode() + b',"x":-Infinity}', id="T-13 Infinity"),
        pytest.param(good_text()[:-1].encode() + b',"x":[1,{"y":NaN}]}', id="T-13 NaN within"),
        pytest.param(good_text().encode("utf-16"), id="T-05 UTF-16"),
        pytest.param(good_text().encode("utf-16-le"), id="T-05 UTF-16 without a BOM"),
        pytest.param(good_text().encode("utf-32"), id="T-05 UTF-32"),
        pytest.param(b"\xef\xbb\xbf" + good_text().encode(), id="T-05 BOM"),
        pytest.param(good_text()[:-1].encode() + b',"x":"\xff"}', id="not UTF-8"),
        pytest.param(good_text().encode() + b"{}", id="two values"),
        pytest.param(good_text()[:-1].encode() + b",}", id="a comma more"),
        pytest.param(f"[{good_text()}]".encode(), id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="a string"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00" * 8, id="zeros"),
        pytest.param(b"9" * 2900, id="T-13 a long number"),
        pytest.param(b"[" * 2900, id="T-13 deep and unclosed"),
        pytest.param(b"[" * 1400 + b"]" * 1400, id="T-13 deep"),
        pytest.param(b'{"a":' * 500 + b"1" + b"}" * 500, id="T-13 deep objects"),
    ],
)
def test_a_payload_is_one_strict_json_object(payload: bytes) -> None:
    """Under our own signature: not even a mistake of ours is read kindly."""
    assert read(signed(payload)) is None


@pytest.mark.parametrize("depth", [1, 50, 300, 450, 600, 900, 990, 1100])
def test_deep_profile_claims_raise_nothing(depth: int) -> None:
    """T-13."""
    deep = good_text()[:-1] + ',"x":' + "[" * depth + "]" * depth + "}"
    claims = read(signed(deep.encode()))
    assert claims is not None or depth > 50


@pytest.mark.parametrize("name", ["sub", "sid", "iss", "aud", "username"])
def test_a_lone_surrogate_is_no_text(name: str) -> None:
    """T-13: no database and no answer could hold it, so the fault would show up elsewhere."""
    assert read(text(**{name: r'"\ud800"'})) is None


def test_text_beyond_the_basic_plane_is_read() -> None:
    claims = read(minted(profile={"username": "zoë 🦉"}))
    assert claims is not None
    assert claims.profile["username"] == "zoë 🦉"


# --- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "alive"),
    [
        pytest.param(NOW - CLOCK_SKEW, True, id="T-10 issued by a clock within the skew"),
        pytest.param(NOW - CLOCK_SKEW - 0.1, False, id="T-10 issued by a clock beyond the skew"),
        pytest.param(NOW, True, id="at once"),
        pytest.param(NOW + HOUR - 0.001, True, id="just before its end"),
        pytest.param(NOW + HOUR, False, id="T-10 exactly at its end"),
        pytest.param(NOW + HOUR + 1, False, id="after its end"),
    ],
)
def test_a_token_lives_from_its_issue_to_its_end(at: float, alive: bool) -> None:
    assert (read(minted(), now=at) is not None) is alive


def test_an_expired_token_is_read_by_those_who_ask_for_it() -> None:
    later = NOW + 10 * HOUR
    assert TOKENS.read(ACCESS, minted(), now=later) is None
    assert TOKENS.read(ACCESS, minted(), now=later, expired_too=True) == CLAIMS


def test_a_token_from_the_future_is_not_read_even_by_those() -> None:
    assert TOKENS.read(ACCESS, minted(), now=NOW - HOUR, expired_too=True) is None


@pytest.mark.parametrize(
    ("lifetime", "alive"), [(HOUR, True), (HOUR + 1, True), (HOUR + 2, False), (10**9, False)]
)
def test_a_lifetime_over_the_maximum_is_refused(lifetime: int, alive: bool) -> None:
    """T-11. One second is for rounding: both ends are whole."""
    assert (read(minted(expires_at=NOW + lifetime)) is not None) is alive


# --- the oracle, and a flood of mutations -------------------------------------------------------


def oracle(token: bytes, kind: Kind = ACCESS) -> dict[str, Any]:
    """PyJWT's own opinion. Raises what it raises."""
    key = TOKENS._signing[kind]
    assert isinstance(key, SecretKey)
    options: Any = {
        "require": ["exp", "iat", "aud", "iss", "sub"],
        "verify_exp": False,  # our `now` is an argument
        "verify_iat": False,
    }
    decoded: dict[str, Any] = jwt.decode(
        token,
        key.secret,
        algorithms=["HS256"],
        audience=f"{ISSUER}/{kind.name}",
        issuer=ISSUER,
        options=options,
    )
    return decoded


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
CHANGES = st.dictionaries(st.sampled_from([*PAYLOAD, "username", "team"]), JSON_VALUES)


@settings(max_examples=300, deadline=None)
@given(changes=CHANGES, drop=st.sets(st.sampled_from(list(PAYLOAD)), max_size=1))
def test_what_we_accept_the_oracle_accepts_with_the_same_claims(
    changes: dict[str, object], drop: set[str]
) -> None:
    payload = {name: value for name, value in {**PAYLOAD, **changes}.items() if name not in drop}
    token = signed(json.dumps(payload).encode())
    claims = read(token)
    if claims is None:
        return
    assert oracle(token) == payload
    assert (claims.subject, claims.session_id) == (payload["sub"], payload["sid"])
    assert (claims.generation, claims.epoch) == (payload["gen"], payload["epoch"])
    assert (claims.issued_at, claims.expires_at) == (payload["iat"], payload["exp"])


def test_the_oracle_reads_what_we_mint() -> None:
    assert oracle(minted()) == {"username": "ada", "isAdmin": False, **PAYLOAD}


def mutations(token: bytes, count: int) -> Iterator[bytes]:
    dice = random.Random(20)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \x00\xff"
    for _ in range(count):
        spoiled = bytearray(token)
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            place = dice.randrange(len(spoiled))
            what = dice.randrange(4)
            if what == 0:
                spoiled[place] = dice.choice(alphabet)
            elif what == 1:
                spoiled.insert(place, dice.choice(alphabet))
            elif what == 2:
                del spoiled[place]
            else:
                end = dice.randrange(place, min(place + 40, len(spoiled)))
                spoiled[place:end] = bytes(reversed(spoiled[place:end]))
        yield bytes(spoiled)


def test_of_twenty_thousand_mutations_none_is_accepted() -> None:
    """Each either is the good token itself, or is refused without an exception."""
    good = {minted(), minted(REFRESH, expires_at=NOW + 2 * HOUR)}
    for token in good:
        for spoiled in mutations(token, 10_000):
            if spoiled not in good:
                assert read(spoiled) is None
                assert read(spoiled, REFRESH) is None


# --- a hundred thousand tokens, read by us and by PyJWT ------------------------------------------

SPELLINGS = {
    "iss": (json.dumps(ISSUER), '"https://other.example"', "null", f'["{ISSUER}"]'),
    "aud": (f'"{ISSUER}/access"', f'["{ISSUER}/access"]', f'"{ISSUER}/refresh"', f'"{ISSUER}"'),
    "sub": ('"user-1"', r'"user\u002d1"', '""', "1", r'"a\":"', '"ü"', "null"),
    "sid": ('"session-1"', '"s\\t1"', "true", '{"a":1}'),
    "gen": ("3", "3.0", "3e0", "-0", "-1", '"3"', "true", "9007199254740993", "03"),
    "epoch": ("2", "0", "2.5", "null"),
    "iat": (str(NOW), f"{NOW}.0", str(NOW - 60), '"now"'),
    "exp": (str(NOW + HOUR), f'"{NOW + HOUR}"', f"{NOW + HOUR}.5", "Infinity", str(NOW - 1)),
    "username": ('"ada"', r'"a\":\"b"', '"a\\": "', '{"a":{"a":1}}', "[1,[2]]", "NaN", "1e400"),
}


def spelled_at_random(dice: random.Random) -> bytes:
    """A payload of good, odd and bad members, at times doubled, reordered, or spaced."""
    odd = dice.choice((0, 0, 1, 2))
    members = [(name, spellings[0]) for name, spellings in SPELLINGS.items()]
    for place in dice.sample(range(len(members)), odd):
        name = members[place][0]
        members[place] = (name, dice.choice(SPELLINGS[name]))
    if dice.random() < 0.15:
        members.append(dice.choice(members))
    if dice.random() < 0.1:
        members.pop(dice.randrange(len(members)))
    if dice.random() < 0.3:
        dice.shuffle(members)
    colon = dice.choice((":", ":", ":", " :", "\n:", ": ", "\t: "))
    text = "{" + dice.choice((",", ", ")).join(f'"{n}"{colon}{v}' for n, v in members) + "}"
    return (text + dice.choice(("", "", "", "", " ", "}", "{}"))).encode()


def test_a_hundred_thousand_tokens_against_the_oracle() -> None:
    """T-05, T-08, T-09, T-12, T-13: what we accept PyJWT accepts with the same claims; and what it
    takes beyond that we refuse for a reason."""
    dice = random.Random(23)
    accepted = 0
    for _ in range(50_000):
        payload = spelled_at_random(dice)
        token = signed(payload)
        claims = read(token)
        assert claims == STRICT.read(ACCESS, token, now=NOW), payload
        if claims is None:
            continue
        accepted += 1
        theirs = oracle(token)
        assert (claims.subject, claims.session_id) == (theirs.pop("sub"), theirs.pop("sid"))
        assert (claims.generation, claims.epoch) == (theirs.pop("gen"), theirs.pop("epoch"))
        assert (claims.issued_at, claims.expires_at) == (theirs.pop("iat"), theirs.pop("exp"))
        assert (theirs.pop("iss"), theirs.pop("aud")) == (ISSUER, f"{ISSUER}/access")
        assert theirs.keys() == claims.profile.keys()
        names = [name for name, _ in json.loads(payload, object_pairs_hook=list)]
        assert len(names) == len(set(names))  # T-12: PyJWT takes the last of two
    assert 10_000 < accepted < 40_000
    good = minted()
    for spoiled in mutations(good, 50_000):
        if read(spoiled) is None:
            continue
        assert spoiled == good
        oracle(spoiled)


# --- the quick reader, and the strict one ---------------------------------------------------------

TEXTS = (
    "user-1",
    "0123456789abcdef0123456789abcdef",
    "zoë 🦉",
    'a","sub":"evil',
    "back\\slash",
    "line\nfeed",
    "a b",
    "\x7f",
    "{",
    "[]",
    "١",
)
WHOLE = (0, 1, 9, 10, NOW, NOW + HOUR, 10**15 - 1, 10**15, MAX_INTEGER, MAX_INTEGER + 1)
VALUES: tuple[object, ...] = (
    *(*TEXTS, "", True, False, None, 0, -1, 1.5, 2**80),
    *([], [1, [2, {"a": []}]], {}, {"a": {"b": 1}}, {"iss": ISSUER, "sub": "nested"}),
)
NAMES = (
    "username",
    "isAdmin",
    "team",
    "",
    "naïve",
    'quo"te',
    "subject",
    "a:b",
    "iss ",
    *REGISTERED,
)
EDITS = (
    *(
        "0",
        "00",
        "-",
        "+",
        ".0",
        "e0",
        "1",
        "٣",
        "NaN",
        "Infinity",
        "true",
        "null",
        "\ufeff",
        "\x00",
    ),
    *(" ", "\n", "\t", ",", ",,", ":", '"', '""', "\\", '\\"', "\\u0061", "\\ud800", "\\n", "/"),
    *("{", "}", "{}", "[", "]", "{,", ",}", "}{", '"a":1,', ',"sub":"evil"', ',"jti":"id-2"'),
    *('"gen":3,', ',"auth_time":1', ',"auth_time":01', f'"iss":"{ISSUER}",', '"exp":9,'),
)


def spelled_as_ours(dice: random.Random, kind: Kind) -> str:
    """A payload as we write it, of good and of odd claims."""
    names = dice.sample(NAMES, dice.choice((0, 1, 1, 2, 3)))

    def one(usual: int, values: Sequence[Any]) -> Any:
        """Mostly one of the first few."""
        return dice.choice(values[:usual] if dice.random() < 0.8 else values)

    claims = Claims(
        subject=one(2, TEXTS),
        session_id=one(2, TEXTS),
        generation=one(4, WHOLE),
        epoch=one(4, WHOLE),
        issued_at=NOW,
        expires_at=NOW + one(2, (1, HOUR, 2 * HOUR)),
        token_id=one(2, ("id-1", "A" * 64, "A" * 65, "")) if kind.has_id else "",
        profile={name: dice.choice(VALUES) for name in names},
        auth_time=one(2, (0, NOW, 10**15)),
    )
    return TOKENS._spelled(kind, claims)


def edited(dice: random.Random, text: str) -> str:
    """With something put in, taken out, or said again: mostly where one claim ends."""
    ends = [place for place, letter in enumerate(text) if letter in '{},:"']
    at = dice.choice(ends) + dice.randrange(2) if ends else 0
    what = dice.randrange(6)
    if what == 0:
        return text[:at] + text[at + dice.choice((1, 1, 2, 9)) :]
    if what == 1:
        to = dice.choice(ends) if ends else 0
        return text[:at] + text[min(at, to) : max(at, to)] + text[at:]
    if what == 2:
        return text[:at] + dice.choice(EDITS) + text[at + 1 :]
    return text[:at] + dice.choice(EDITS) + text[at:]


def read_only(value: Any) -> bool:
    if isinstance(value, MappingProxyType):
        return all(map(read_only, value.values()))
    if isinstance(value, tuple):
        return all(map(read_only, value))
    return value is None or isinstance(value, str | int | float)


def test_of_a_hundred_thousand_payloads_the_quick_reader_says_what_the_strict_one_says() -> None:
    """T-09, T-12, T-13, T-18: signed with the right key, and spelled as ours, or nearly. PyJWT has
    its say on each that is accepted."""
    dice = random.Random(29)
    quick = strict = refused = 0
    for number in range(100_000):
        kind = (ACCESS, REFRESH)[number % 2]
        text = spelled_as_ours(dice, kind)
        for _ in range(dice.choice((0, 0, 1, 1, 1, 2))):
            text = edited(dice, text)
        token = signed(text.encode(), kind)
        claims, measure = (tokens.read(kind, token, now=NOW) for tokens in (TOKENS, STRICT))
        assert claims == measure, text
        if claims is None or measure is None:
            refused += 1
            continue
        # 1, 1.0 and True are equal, and so are two mappings of another order.
        assert repr(claims.profile) == repr(measure.profile), text
        assert read_only(claims.profile), text
        if TOKENS._as_spelled(kind, text):
            quick += 1
        else:
            strict += 1
        said = oracle(token, kind)
        names = [name for name, _ in json.loads(text, object_pairs_hook=list)]
        assert len(names) == len(set(names)), text
        assert (said.pop("sub"), said.pop("sid")) == (claims.subject, claims.session_id)
        assert (said.pop("gen"), said.pop("epoch")) == (claims.generation, claims.epoch)
        assert (said.pop("iat"), said.pop("exp")) == (claims.issued_at, claims.expires_at)
        assert said.pop("auth_time", 0) == claims.auth_time
        assert said.pop("jti", "") == claims.token_id
        assert said.keys() - {"iss", "aud"} == claims.profile.keys()
    assert min(quick, strict, refused) > 5_000, (quick, strict, refused)


FROM_US = f'"iss":"{ISSUER}","aud":"{ISSUER}/access",'
WHO = '"sub":"user-1","sid":"session-1",'
WHEN = f'"gen":3,"epoch":2,"iat":{NOW},"exp":{NOW + HOUR}'


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("{," + FROM_US + WHO + WHEN + "}", id="a comma and no claim before it"),
        pytest.param("{ ," + FROM_US + WHO + WHEN + "}", id="a space and a comma"),
        pytest.param('{"a":1,,' + FROM_US + WHO + WHEN + "}", id="two commas"),
        pytest.param('{"a":1' + FROM_US + WHO + WHEN + "}", id="no comma"),
        pytest.param('{"a":1 ' + FROM_US + WHO + WHEN + "}", id="a space for a comma"),
        pytest.param('{"a":1},' + FROM_US + WHO + WHEN + "}", id="closed before"),
        pytest.param('{"a":{"b":1,' + FROM_US + WHO + WHEN + "}", id="within another"),
        pytest.param('{"a":[{"b":1,' + FROM_US + WHO + WHEN + "}", id="within a list"),
        pytest.param('[{"a":1,' + FROM_US + WHO + WHEN + "}", id="a list"),
        pytest.param('"a":1,' + FROM_US + WHO + WHEN + "}", id="never opened"),
        pytest.param(" " + "{" + FROM_US + WHO + WHEN + "}", id="a space first"),
        pytest.param(FROM_US + WHO + WHEN + "}", id="nothing before"),
        pytest.param(WHO + WHEN + "}", id="T-07 nobody's, and never opened"),
        pytest.param("{" + WHO + WHEN + "}", id="T-07 nobody's"),
        pytest.param('{"a":1,"a":2,' + FROM_US + WHO + WHEN + "}", id="T-12 doubled"),
        pytest.param('{"a" :1,"a":2,' + FROM_US + WHO + WHEN + "}", id="T-12 doubled, spaced"),
        pytest.param('{"\\u0061":1,"a":2,' + FROM_US + WHO + WHEN + "}", id="T-12 by escape"),
        pytest.param('{"a":{"b":1,"b":1},' + FROM_US + WHO + WHEN + "}", id="T-12 within"),
        pytest.param('{"sub":"x",' + FROM_US + WHO + WHEN + "}", id="T-12 sub"),
        pytest.param('{"s\\u0075b":"x",' + FROM_US + WHO + WHEN + "}", id="T-12 sub by escape"),
        pytest.param('{"exp":1,' + FROM_US + WHO + WHEN + "}", id="T-12 exp"),
        pytest.param("{" + FROM_US + FROM_US + WHO + WHEN + "}", id="T-12 iss and aud"),
        pytest.param('{"jti":"id-1",' + FROM_US + WHO + WHEN + "}", id="a name it has not"),
        pytest.param('{"auth_time":true,' + FROM_US + WHO + WHEN + "}", id="T-09 auth_time before"),
        pytest.param('{"a":NaN,' + FROM_US + WHO + WHEN + "}", id="T-13 NaN"),
        pytest.param('{"a":"\\ud800",' + FROM_US + WHO + WHEN + "}", id="T-13 half a pair"),
        pytest.param('{"\\udc00":1,' + FROM_US + WHO + WHEN + "}", id="T-13 half a pair as a name"),
        pytest.param('{"a":"\n",' + FROM_US + WHO + WHEN + "}", id="a bare line feed"),
        pytest.param("{" + FROM_US + WHO + WHEN + ',"auth_time":01}', id="a zero first"),
        pytest.param("{" + FROM_US + WHO + WHEN + ',"jti":"id-1"}', id="a name behind"),
        pytest.param("{" + FROM_US + WHO + WHEN + "}\n", id="a line feed behind"),
        pytest.param("{" + FROM_US + WHO + WHEN + "},", id="a comma behind"),
        pytest.param("{" + FROM_US + WHO + WHEN.replace(":3,", ":٣,") + "}", id="another digit"),
        pytest.param("{" + FROM_US + WHO + WHEN.replace(":3,", ":03,") + "}", id="a leading zero"),
        pytest.param("{" + FROM_US + WHO + WHEN.replace(":3,", ":3_0,") + "}", id="an underscore"),
        pytest.param("{" + FROM_US + WHO + WHEN.replace(":3,", ":-3,") + "}", id="below nothing"),
        pytest.param(
            "{" + FROM_US + WHO.replace("user-1", 'user-1"') + WHEN + "}", id="a quote too many"
        ),
        pytest.param(
            "{" + FROM_US + WHO.replace("user-1", "user-1\\") + WHEN + "}", id="an open text"
        ),
        pytest.param(
            "{" + FROM_US + WHO.replace("user-1", "user\t1") + WHEN + "}", id="a bare tab"
        ),
        pytest.param("{" + FROM_US + WHO.replace("user-1", "") + WHEN + "}", id="nobody"),
    ],
)
def test_nearly_spelled_as_ours_is_not_as_good(payload: str) -> None:
    """What a pattern might let through and strict JSON, or the look at each claim, would not."""
    assert read(signed(payload.encode())) is None
    assert STRICT.read(ACCESS, signed(payload.encode()), now=NOW) is None


@pytest.mark.parametrize(
    ("before", "behind", "told"),
    [
        pytest.param('"a":1 ,\n', "", {"profile": {"a": 1}}, id="spaces around a comma"),
        pytest.param(' "a" : 1,', "", {"profile": {"a": 1}}, id="spaces within"),
        pytest.param("\n", "", {}, id="a line feed and no claim"),
        pytest.param('"auth_time":7,', "", {"auth_time": 7}, id="auth_time before"),
        pytest.param("", ',"auth_time":0', {}, id="no auth_time"),
        pytest.param("", ',"auth_time":7', {"auth_time": 7}, id="auth_time behind"),
        pytest.param("", ',"a":1', {"profile": {"a": 1}}, id="a claim behind"),
        pytest.param('"":1,', "", {"profile": {"": 1}}, id="a name of nothing"),
        pytest.param(
            f'"a":{{{FROM_US}{WHO}{WHEN}}},',
            "",
            {"profile": {"a": {**PAYLOAD}}},
            id="the same once more, within",
        ),
        pytest.param(
            '"a":"' + FROM_US.replace('"', '\\"') + '",',
            "",
            {"profile": {"a": FROM_US}},
            id="as a text",
        ),
    ],
)
def test_another_spelling_is_as_good(before: str, behind: str, told: dict[str, Any]) -> None:
    """No verdict hangs on whether a token is spelled as ours."""
    token = signed(f"{{{before}{FROM_US}{WHO}{WHEN}{behind}}}".encode())
    assert read(token) == replace(CLAIMS, **{"profile": {}, **told})
    assert STRICT.read(ACCESS, token, now=NOW) == read(token)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_we_mint_is_read_the_quick_way(kind: Kind) -> None:
    """Else nobody would notice that it is not."""

    class Quick(Tokens):
        def _as_json(self, kind: Kind, text: str) -> Claims | None:
            raise AssertionError(text)

    quick = Quick(ISSUER, SECRETS, LONGEST)
    odd = {
        "username": "zoë 🦉",
        "bio": 'a "quoted"\nline',
        "": None,
        "n": 10**20,
        "tags": [{"a": 1}],
    }
    for profile, auth_time in (({}, 0), (odd, 0), (odd, NOW), ({}, NOW)):
        token = minted(kind, profile=profile, auth_time=auth_time)
        claims = quick.read(kind, token, now=NOW)
        assert claims == STRICT.read(kind, token, now=NOW)
        assert claims is not None
        assert claims.profile == {**profile, **({"tags": ({"a": 1},)} if profile else {})}
        assert (claims.auth_time, claims.subject) == (auth_time, "user-1")


def test_every_good_payload_is_accepted_however_its_names_are_spaced() -> None:
    """The quick count of names may only ever send a token to the slow reader, never refuse it."""
    for colon in (":", " :", "\n:", "\t:\r", ": "):
        payload = "{" + ",".join(f'"{n}"{colon}{json.dumps(v)}' for n, v in PAYLOAD.items()) + "}"
        assert read(signed(payload.encode())) == replace(CLAIMS, profile={})
        doubled = payload[:-1] + f',"gen"{colon}4' + "}"
        assert read(signed(doubled.encode())) is None
    for name in ('a":"b', 'x": y', 'tail" '):
        assert read(minted(profile={"username": name})) is not None


@pytest.mark.parametrize("size", [0, 1, 55, 63, 64, 65, 447, 4000])
def test_signatures_are_those_of_pyjwt(size: int) -> None:
    """RFC 7518 section 3.2."""
    key = TOKENS._signing[ACCESS]
    assert isinstance(key, SecretKey)
    message = b"m" * size
    algorithm = jwt.get_algorithm_by_name("HS256")
    assert key.sign(message) == encode(algorithm.sign(message, key.secret))
    assert key.holds(message, key.sign(message))
    assert not key.holds(message + b"m", key.sign(message))


# --- key pairs -----------------------------------------------------------------------------------

PAIRS: dict[str, Callable[[], Any]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "Ed448": ed448.Ed448PrivateKey.generate,
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


def private_pem(key: Any) -> str:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    text: str = key.private_bytes(*form).decode()
    return text


def public_pem(key: Any) -> str:
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text: str = key.public_key().public_bytes(*form).decode()
    return text


def tokens_with(*keys: str | dict[str, str]) -> Tokens:
    return Tokens(ISSUER, {ACCESS: keys}, LONGEST)


@pytest.mark.parametrize("name", PAIRS)
def test_a_key_pair_signs_and_its_public_half_verifies(name: str) -> None:
    """T-01: and PyJWT, which reads the same JWK, agrees."""
    pair = PAIRS[name]()
    ours = tokens_with(private_pem(pair))
    token = ours.mint(ACCESS, CLAIMS).encode()
    (jwk,) = ours.public_keys(ACCESS)
    for reader in (ours, tokens_with(public_pem(pair)), tokens_with(jwk)):
        assert reader.read(ACCESS, token, now=NOW) == CLAIMS
    assert header_of(token) == {"alg": name, "kid": jwk["kid"], "typ": "at+jwt"}
    options: Any = {"verify_exp": False, "verify_iat": False}
    theirs = jwt.decode(
        token, jwt.PyJWK(jwk), algorithms=[name], audience=f"{ISSUER}/access", options=options
    )
    assert theirs["sub"] == CLAIMS.subject


@pytest.mark.parametrize("name", PAIRS)
def test_a_published_key_is_public(name: str) -> None:
    pair = PAIRS[name]()
    for tokens in (tokens_with(private_pem(pair)), tokens_with(public_pem(pair))):
        (jwk,) = tokens.public_keys(ACCESS)
        assert "d" not in jwk
        assert (jwk["alg"], jwk["use"]) == (name, "sig")
        assert jwk["kid"] == thumbprint(jwk)
    assert TOKENS.public_keys(ACCESS) == []


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 section 3, written once more."""
    needed = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y")}[jwk["kty"]]
    text = "{" + ",".join(f'"{name}":"{jwk[name]}"' for name in needed) + "}"
    return encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("name", PAIRS)
def test_a_public_key_signs_nothing(name: str) -> None:
    with pytest.raises(TypeError, match="cannot sign"):
        tokens_with(public_pem(PAIRS[name]())).mint(ACCESS, CLAIMS)


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_key_is_taken(name: str) -> None:
    """T-01."""
    pair = OTHERS[name]()
    for key in (private_pem(pair), public_pem(pair)):
        with pytest.raises(ValueError, match="not a key of Ed25519 or P-256"):
            tokens_with(key)


@pytest.mark.parametrize("name", PAIRS)
def test_a_public_key_is_no_secret(name: str) -> None:
    """T-01: what anybody may know must sign nothing, under HS256 neither (CVE-2016-10555)."""
    pair = PAIRS[name]()
    reader = tokens_with(public_pem(pair))
    (jwk,) = reader.public_keys(ACCESS)
    payload = encode(json.dumps(PAYLOAD).encode())
    genuine = tokens_with(private_pem(pair)).mint(ACCESS, CLAIMS).encode().split(b".")[0]
    for alg in ("HS256", name):
        header = json.dumps({"alg": alg, "kid": jwk["kid"], "typ": "at+jwt"}, separators=(",", ":"))
        for segment in (encode(header.encode()), genuine):
            for secret in (public_pem(pair), jwk["x"], decode(jwk["x"].encode())):
                raw = secret if isinstance(secret, bytes) else secret.encode()
                message = segment + b"." + payload
                forged = message + b"." + encode(hmac.digest(raw, message, "sha256"))
                assert reader.read(ACCESS, forged, now=NOW) is None


@pytest.mark.parametrize("name", PAIRS)
def test_a_pairs_signature_has_one_spelling_and_no_length_but_its_own(name: str) -> None:
    tokens = tokens_with(private_pem(PAIRS[name]()))
    token = tokens.mint(ACCESS, CLAIMS).encode()
    message, _, signature = token.rpartition(b".")
    spoiled = [signature + b"=", signature + b"A", signature[:-1], b"", b"A", b"A" * 5000, b"\xff"]
    spoiled += [signature[:-1] + bytes([last]) for last in b"ABCDEFGH" if last != signature[-1]]
    spoiled += [encode(b"\0" * 64), encode(b"\xff" * 64), encode(decode(signature)[::-1])]
    for one in spoiled:
        assert tokens.read(ACCESS, message + b"." + one, now=NOW) is None
    assert tokens.read(ACCESS, token, now=NOW) == CLAIMS


def test_the_twin_of_an_es256_signature_names_the_same_session() -> None:
    """T-19: of ECDSA anybody can make a second signature of a good one (n - s for s). So nothing is
    ever refused by a token's bytes: both speak of one session, and end with it."""
    tokens = tokens_with(private_pem(PAIRS["ES256"]()))
    token = tokens.mint(ACCESS, CLAIMS).encode()
    message, _, signature = token.rpartition(b".")
    raw = decode(signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = (order - int.from_bytes(raw[32:])).to_bytes(32)
    twin = message + b"." + encode(raw[:32] + s)
    assert twin != token
    assert tokens.read(ACCESS, twin, now=NOW) == tokens.read(ACCESS, token, now=NOW) == CLAIMS


def test_keys_are_exchanged_for_others_at_once() -> None:
    """T-15: of one kind only, and whoever remembers what was read is told to forget."""
    pairs = [PAIRS["EdDSA"](), PAIRS["ES256"]()]
    first, second = map(private_pem, pairs)
    tokens = Tokens(ISSUER, {ACCESS: (first,), REFRESH: SECRETS[REFRESH]})
    old, refresh = minted(tokens=tokens), minted(REFRESH, tokens)
    assert not tokens.use(ACCESS, (second, public_pem(pairs[0])))
    new = minted(tokens=tokens)
    assert header_of(new)["alg"] == "ES256"
    assert tokens.knows(old)
    assert tokens.use(ACCESS, (second,))
    assert not tokens.knows(old)
    assert tokens.read(ACCESS, old, now=NOW) is None
    assert tokens.read(ACCESS, new, now=NOW) == CLAIMS
    assert tokens.use(ACCESS, ())
    assert tokens.read(ACCESS, new, now=NOW) is None
    assert tokens.read(REFRESH, refresh, now=NOW) is not None


def test_secrets_and_pairs_serve_side_by_side() -> None:
    """T-15: the way from HS256 to a key pair, and away from an old one."""
    secret, old, new = (
        SECRETS[ACCESS][0],
        private_pem(PAIRS["ES256"]()),
        private_pem(PAIRS["EdDSA"]()),
    )
    stages = [(secret,), (old, secret), (new, old, secret), (new, old), (new,)]
    minted_at = [tokens_with(*keys).mint(ACCESS, CLAIMS).encode() for keys in stages]
    for number, keys in enumerate(stages):
        signers = [stage[0] for stage in stages]
        for token, signer in zip(minted_at, signers, strict=True):
            good = tokens_with(*keys).read(ACCESS, token, now=NOW) is not None
            assert good is (signer in keys), number
