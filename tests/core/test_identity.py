"""Who is asking, as the wrapped app sees it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
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


def test_nobody_is_nobody() -> None:
    nobody: Any = ANONYMOUS
    assert not nobody.is_authenticated
    assert (nobody.identity, nobody.display_name) == ("", "")
    assert nobody.credentials.scopes == ()
    with pytest.raises(TypeError):
        nobody.claims["isAdmin"] = True
    with pytest.raises(AttributeError):
        nobody.is_authenticated = True
