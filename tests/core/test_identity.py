"""Who is asking, as the wrapped app sees it."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType
from typing import Any

import pytest
from starlette.authentication import has_required_scope
from starlette.requests import HTTPConnection

from authkit_asgi.core.identity import ANONYMOUS, Credentials, Identity, credentials_of, identity_of
from authkit_asgi.core.tokens import Claims


def someone(**profile: object) -> Identity:
    claims = Claims(
        subject="u-1",
        session_id="s-1",
        generation=2,
        epoch=1,
        issued_at=100,
        expires_at=3700,
        profile=MappingProxyType(profile),
    )
    return identity_of(claims)


def test_an_identity_is_what_the_token_says() -> None:
    who = someone(username="ada", isVerified=True)
    assert (who.id, who.session_id, who.generation, who.epoch) == ("u-1", "s-1", 2, 1)
    assert (who.identity, who.display_name, who.expires_at) == ("u-1", "ada", 3700)
    assert who.is_authenticated


@pytest.mark.parametrize("profile", [{}, {"username": ""}, {"username": None}], ids=repr)
def test_without_a_username_the_id_is_shown(profile: dict[str, object]) -> None:
    assert someone(**profile).display_name == "u-1"


@pytest.mark.parametrize(
    ("profile", "scopes"),
    [
        pytest.param({}, ("authenticated",), id="no claims"),
        pytest.param({"isVerified": True}, ("authenticated", "verified"), id="verified"),
        pytest.param({"isAdmin": True}, ("authenticated", "admin"), id="admin"),
        pytest.param({"isAdmin": False, "isVerified": False}, ("authenticated",), id="neither"),
        pytest.param({"isAdmin": "true"}, ("authenticated",), id="a word is not true"),
        pytest.param({"isAdmin": 1}, ("authenticated",), id="one is not true"),
        pytest.param({"isAdmin": ["x"]}, ("authenticated",), id="a list is not true"),
        pytest.param(
            {"isVerified": True, "isAdmin": True, "scope": "admin a verified b"},
            ("authenticated", "verified", "admin", "a", "b"),
            id="words beside",
        ),
        pytest.param({"scope": "admin verified"}, ("authenticated",), id="words are not claims"),
        pytest.param({"scope": ("a",)}, ("authenticated",), id="a list of words"),
        pytest.param({"admin": True, "scopes": ("admin",)}, ("authenticated",), id="other names"),
    ],
)
def test_scopes_come_from_exact_claims(profile: dict[str, object], scopes: tuple[str, ...]) -> None:
    assert credentials_of(profile) == Credentials(scopes)
    assert someone(**profile).credentials.scopes == scopes


def test_starlette_reads_the_scopes() -> None:
    connection = HTTPConnection(
        {"type": "http", "auth": someone(isAdmin=True).credentials, "headers": []}
    )
    assert has_required_scope(connection, ["authenticated", "admin"])
    assert not has_required_scope(connection, ["verified"])


def test_one_request_cannot_change_the_identity_of_the_next() -> None:
    """T-18."""
    who: Any = someone(username="ada")
    with pytest.raises(FrozenInstanceError):
        who.id = "u-2"
    with pytest.raises(TypeError):
        who.claims["isAdmin"] = True
    with pytest.raises(FrozenInstanceError):
        who.credentials.scopes = ("admin",)


def test_an_identity_out_of_a_token_is_like_any_other() -> None:
    """However it was made: same fields, same looks, and nothing more."""
    claims = MappingProxyType({"username": "ada", "isVerified": True})
    who, same = (
        identity_of(Claims("u-1", "s-1", 2, 1, 100, 3700, profile=claims, auth_time=90)),
        Identity(
            id="u-1",
            session_id="s-1",
            generation=2,
            epoch=1,
            expires_at=3700,
            auth_time=90,
            claims=claims,
            credentials=Credentials(("authenticated", "verified")),
        ),
    )
    assert type(who) is Identity
    assert who == same
    assert (repr(who), str(who)) == (repr(same), str(same))
    assert replace(who, id="u-2") == replace(same, id="u-2") != who
    assert copy(who) == who
    assert not hasattr(who, "__dict__")
    who_else: Any = who
    with pytest.raises(FrozenInstanceError):
        del who_else.id
    with pytest.raises(TypeError):
        json.dumps(who)


def test_two_people_of_equal_scopes_share_nothing_that_can_change() -> None:
    """T-18."""
    one, other = someone(isVerified=True), someone(isVerified=True)
    shared: Any = one.credentials
    with pytest.raises(FrozenInstanceError):
        shared.scopes = ("admin",)
    assert other.credentials.scopes == ("authenticated", "verified")


def test_nobody_is_nobody() -> None:
    nobody: Any = ANONYMOUS
    assert not nobody.is_authenticated
    assert (nobody.identity, nobody.display_name) == ("", "")
    assert nobody.credentials.scopes == ()
    with pytest.raises(TypeError):
        nobody.claims["isAdmin"] = True
    with pytest.raises(AttributeError):
        nobody.is_authenticated = True
