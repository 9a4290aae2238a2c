"""The auth cookies of one origin, without any client around them."""

from __future__ import annotations

import pytest

from authkit_asgi.client.cookies import AuthCookies, parse

NAMES = ("token", "refreshToken")


@pytest.mark.parametrize(
    ("header", "meaning"),
    [
        pytest.param("token=abc; HttpOnly; Path=/; SameSite=lax", ("token", "abc"), id="plain"),
        pytest.param("token=a=b; Max-Age=3600", ("token", "a=b"), id="equals sign in the value"),
        pytest.param('token=""; Max-Age=0; Path=/', ("token", ""), id="deleted by starlette"),
        pytest.param("token=x; max-age = -1", ("token", ""), id="deleted with spaces"),
        pytest.param("token=; Path=/", ("token", ""), id="empty"),
        pytest.param("token=x; Max-Age=soon", ("token", "x"), id="Max-Age that is no number"),
        pytest.param("nonsense", ("nonsense", ""), id="no pair"),
    ],
)
def test_what_a_set_cookie_header_means(header: str, meaning: tuple[str, str]) -> None:
    assert parse(header) == meaning


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        pytest.param("token", True, id="as in the settings"),
        pytest.param("__Host-token", True, id="over https"),
        pytest.param("__Secure-refreshToken", True, id="with a domain"),
        pytest.param("csrftoken", False, id="somebody else's"),
        pytest.param("Token", False, id="names have a case"),
    ],
)
def test_which_cookies_are_auth_cookies(name: str, ours: bool) -> None:
    assert AuthCookies(NAMES, {}).knows(name) is ours


def test_a_foreign_token_in_the_jar_is_never_sent_beside_ours() -> None:
    """F-04, the other way round: a neighbour on another port cannot sign us in as somebody else."""
    cookies = AuthCookies(NAMES, {})
    assert cookies.onto("theme=dark; token=evil", {"token": "a"}) == "theme=dark; token=a"
    assert cookies.onto("token=evil;__Host-token=evil", {}) == ""


def test_a_late_deletion_does_not_sign_out_who_signed_in_again() -> None:
    cookies = AuthCookies(NAMES, {"token": "old", "refreshToken": "old"})
    sent = cookies.held()
    cookies.learn(["token=new", "refreshToken=new"], sent={})
    cookies.learn(["token=; Max-Age=0", "refreshToken=; Max-Age=0"], sent=sent)
    cookies.forget(sent=sent)
    assert cookies.held() == {"token": "new", "refreshToken": "new"}
    cookies.learn(["token=; Max-Age=0", "refreshToken=; Max-Age=0"], sent=cookies.held())
    assert cookies.held() == {}
