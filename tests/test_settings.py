"""Settings: read once, checked once, every problem told at once, and no secret told at all."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import ValidationError

from authkit_asgi.settings import DAY, HOUR, Settings, SettingsError, is_loopback, origin_of

ONE = "Vq3kT9xLw2ZrB7nYc5HdJ8mPf4GsA6uE"  # of 32 bytes
TWO = "hX8bQ1vNz6WcR4tKj9LyD3gMs7FpU5aE"
THREE = "oC2eI7qTy5VxM9rBn4ZkH6wJd8SgL1fP"
CANARY = "kan4rie-Zq7Xw2Lv9Tb3Nc8Rd5Hf6Jg1"
GOOD = {"base_url": "https://app.example.com", "token_secret": ONE, "refresh_token_secret": TWO}
LOCAL = {**GOOD, "base_url": "http://localhost:8000"}


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("AUTHKIT_", "RESEND_")):
            monkeypatch.delenv(name)


def problems(**values: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    return caught.value.problems


def named(found: tuple[str, ...]) -> list[str]:
    return [problem.partition(":")[0] for problem in found]


# --- good ones ----------------------------------------------------------------------------------


def test_three_settings_are_enough() -> None:
    settings = Settings(**GOOD)
    assert settings.token_secret == (ONE,)
    assert settings.origin == "https://app.example.com"
    assert settings.prefix == "__Host-"
    assert settings.https
    assert (settings.access_token_lifetime, settings.refresh_token_lifetime) == (HOUR, 7 * DAY)
    assert not settings.dev_mode
    assert not settings.bearer


def test_the_environment_says_the_same_as_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHKIT_BASE_URL", "https://app.example.com/")
    monkeypatch.setenv("AUTHKIT_TOKEN_SECRET", f"{ONE}, {THREE}")
    monkeypatch.setenv("AUTHKIT_REFRESH_TOKEN_SECRET", TWO)
    monkeypatch.setenv("AUTHKIT_REFRESH_GRACE", "5")
    monkeypatch.setenv("AUTHKIT_TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1,")
    monkeypatch.setenv("AUTHKIT_TOKEN_CLAIMS", "")
    monkeypatch.setenv("AUTHKIT_BEARER", "true")
    monkeypatch.setenv("RESEND_API_KEY", "re_1")
    by_hand = Settings(
        base_url="https://app.example.com",
        token_secret=(ONE, THREE),
        refresh_token_secret=(TWO,),
        refresh_grace=5,
        trusted_proxies=("10.0.0.0/8", "192.0.2.1"),
        token_claims=(),
        bearer=True,
        resend_api_key="re_1",
    )
    assert Settings() == by_hand


def test_the_constructor_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHKIT_BASE_URL", "https://other.example.com")
    assert Settings(**GOOD).base_url == "https://app.example.com"


def test_settings_are_frozen() -> None:
    settings: Any = Settings(**GOOD)
    with pytest.raises(ValidationError):
        settings.token_secret = (THREE,)
    with pytest.raises(TypeError):
        settings.token_secret[0] = THREE


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        pytest.param({}, "__Host-", id="https"),
        pytest.param({"cookie_domain": "example.com"}, "__Secure-", id="https, with a domain"),
        pytest.param({"base_url": "http://localhost"}, "", id="plain http on loopback"),
        pytest.param({"cookie_prefix": "__Secure-"}, "__Secure-", id="chosen"),
    ],
)
def test_the_cookies_prefix_follows_the_base_url(changes: dict[str, Any], prefix: str) -> None:
    assert Settings(**{**GOOD, **changes}).prefix == prefix


# --- problems -----------------------------------------------------------------------------------


def test_every_problem_is_told_at_once() -> None:
    """B-05."""
    found = problems(
        base_url="http://app.example.com",
        token_secret="short",
        cookie_samesite="sometimes",
        trusted_proxies="not-a-network",
        refresh_grace=301,
        api_path="/api/",
        nonsense=1,
    )
    assert sorted(named(found)) == [
        "AUTHKIT_API_PATH",
        "AUTHKIT_BASE_URL",
        "AUTHKIT_COOKIE_SAMESITE",
        "AUTHKIT_NONSENSE",
        "AUTHKIT_REFRESH_GRACE",
        "AUTHKIT_REFRESH_TOKEN_SECRET",
        "AUTHKIT_TOKEN_SECRET",
        "AUTHKIT_TRUSTED_PROXIES",
    ]


def test_nothing_at_all_names_what_is_missing() -> None:
    assert problems() == (
        "AUTHKIT_BASE_URL: is missing: where your users find the app, like http://localhost:8000",
        "AUTHKIT_TOKEN_SECRET: is missing; `authkit-asgi secret` prints good ones",
        "AUTHKIT_REFRESH_TOKEN_SECRET: is missing; `authkit-asgi secret` prints good ones",
    )


def test_the_message_lists_the_problems() -> None:
    error = SettingsError(["A: one", "B: two"])
    assert str(error) == "These settings need your attention:\n  - A: one\n  - B: two"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("token_secret", {"token_secret": ""}, id="T-14 no secret"),
        pytest.param("token_secret", {"token_secret": " , "}, id="T-14 commas only"),
        pytest.param("token_secret", {"token_secret": ONE[:31]}, id="T-14 31 bytes"),
        pytest.param("token_secret", {"token_secret": f"{ONE},short"}, id="T-14 one of two short"),
        pytest.param("token_secret", {"token_secret": "a" * 40}, id="T-14 one letter"),
        pytest.param("token_secret", {"token_secret": "0123456789" * 4 + "secret"}, id="B-06 word"),
        pytest.param("token_secret", {"token_secret": "ChangeMe-" + ONE}, id="B-06 changeme"),
        pytest.param("token_secret", {"token_secret": "your-256-bit-key-" + ONE}, id="B-06 your-"),
        pytest.param("token_secret", {"token_secret": f"{ONE},{ONE}"}, id="T-14 twice the same"),
        pytest.param("refresh_token_secret", {"refresh_token_secret": ONE}, id="T-14 shared"),
        pytest.param(
            "refresh_token_secret",
            {"token_secret": f"{THREE},{TWO}"},
            id="T-14 shared with an old one",
        ),
        pytest.param("base_url", {"base_url": "http://app.example.com"}, id="C-03 http"),
        pytest.param(
            "base_url", {"base_url": "http://192.168.1.7:8000"}, id="C-03 http, local net"
        ),
        pytest.param(
            "base_url", {"base_url": "http://localhost.example.com"}, id="C-03 look-alike"
        ),
        pytest.param("base_url", {"base_url": "http://127.0.0.1.nip.io"}, id="C-03 another one"),
        pytest.param("base_url", {"base_url": "https://app.example.com/app"}, id="a path"),
        pytest.param("base_url", {"base_url": "https://app.example.com?a=1"}, id="a query"),
        pytest.param("base_url", {"base_url": "https://u:p@app.example.com"}, id="a password"),
        pytest.param("base_url", {"base_url": "app.example.com"}, id="no scheme"),
        pytest.param("base_url", {"base_url": "ftp://app.example.com"}, id="ftp"),
        pytest.param(
            "base_url", {"base_url": "https://app.example.com:99999"}, id="a port too far"
        ),
        pytest.param("base_url", {"base_url": "https://app.exa\nmple.com"}, id="a line feed"),
        pytest.param("base_url", {"base_url": " https://app.example.com"}, id="a space"),
        pytest.param(
            "base_url", {"base_url": "https://bücher.example"}, id="not as browsers spell"
        ),
        pytest.param("base_url", {"base_url": "https://[::1"}, id="half an address"),
        pytest.param("dev_mode", {"dev_mode": True}, id="B-05 dev mode on the Internet"),
        pytest.param("bcrypt_rounds", {"bcrypt_rounds": 9}, id="B-05 quick hashes on the Internet"),
        pytest.param("bcrypt_rounds", {"bcrypt_rounds": 17}, id="hashes of seconds"),
        pytest.param("password_min_length", {"password_min_length": 7}, id="short passwords"),
        pytest.param("refresh_grace", {"refresh_grace": -1}, id="a grace before"),
        pytest.param("refresh_grace", {"refresh_grace": 301}, id="S-03 a grace too long"),
        pytest.param("refresh_grace", {"refresh_grace": "nan"}, id="a grace that is no number"),
        pytest.param("revocation_poll", {"revocation_poll": 0}, id="polling all the time"),
        pytest.param("revocation_poll", {"revocation_poll": 61}, id="S-10 polling too rarely"),
        pytest.param("access_token_lifetime", {"access_token_lifetime": 0}, id="no life"),
        pytest.param("access_token_lifetime", {"access_token_lifetime": "inf"}, id="T-11 for ever"),
        pytest.param("access_token_lifetime", {"access_token_lifetime": "1h"}, id="not a number"),
        pytest.param(
            "refresh_token_lifetime", {"refresh_token_lifetime": HOUR}, id="refresh like access"
        ),
        pytest.param(
            "remember_me_lifetime", {"remember_me_lifetime": 401 * DAY}, id="over a browser's cap"
        ),
        pytest.param("session_max_age", {"session_max_age": 401 * DAY}, id="over it, too"),
        pytest.param("verify_link_lifetime", {"verify_link_lifetime": DAY + 1}, id="V-05 a day"),
        pytest.param("reset_link_lifetime", {"reset_link_lifetime": HOUR + 1}, id="V-05 an hour"),
        pytest.param("cookie_prefix", {"cookie_prefix": ""}, id="no prefix over https"),
        pytest.param("cookie_prefix", {"cookie_prefix": "__host-"}, id="a prefix in lower case"),
        pytest.param(
            "cookie_domain",
            {"cookie_prefix": "__Host-", "cookie_domain": "example.com"},
            id="__Host- with a domain",
        ),
        pytest.param("cookie_domain", {"cookie_domain": "a.com; Secure"}, id="injection"),
        pytest.param("cookie_domain", {"cookie_domain": "other.test"}, id="somebody else's domain"),
        pytest.param("cookie_domain", {"cookie_domain": "ple.com"}, id="half a label"),
        pytest.param("access_cookie", {"access_cookie": "a b"}, id="a space in a name"),
        pytest.param("access_cookie", {"access_cookie": "__Host-token"}, id="the prefix by hand"),
        pytest.param(
            "access_cookie", {"access_cookie": "t\r\nSet-Cookie: x"}, id="a line feed in it"
        ),
        pytest.param("refresh_cookie", {"refresh_cookie": "token"}, id="one name for both"),
        pytest.param(
            "trusted_origins", {"trusted_origins": "https://a.test/x"}, id="a path, there"
        ),
        pytest.param("trusted_origins", {"trusted_origins": "*"}, id="everybody"),
        pytest.param("trusted_origins", {"trusted_origins": "null"}, id="null"),
        pytest.param(
            "trusted_origins", {"cookie_samesite": "none"}, id="C-02 none, and for nobody"
        ),
        pytest.param("trusted_proxies", {"trusted_proxies": "*"}, id="every proxy"),
        pytest.param("trusted_proxies", {"trusted_proxies": "10.0.0.1/8"}, id="host bits"),
        pytest.param("trusted_proxies", {"trusted_proxies": "0.0.0.0/0"}, id="I-07 everybody"),
        pytest.param("trusted_proxies", {"trusted_proxies": "unix,::/0"}, id="I-07 by IPv6"),
        pytest.param("trusted_proxies", {"trusted_proxies": "/run/app.sock"}, id="a socket's path"),
        pytest.param("api_path", {"api_path": "api"}, id="a path without a slash"),
        pytest.param("api_path", {"api_path": "/api/../x"}, id="dots"),
        pytest.param("pages_path", {"pages_path": "/"}, id="everything"),
        pytest.param("pages_path", {"pages_path": "/api/users"}, id="one path for both"),
        pytest.param("pages_path", {"pages_path": "/api/users/pages"}, id="inside the other"),
        pytest.param("token_claims", {"token_claims": "username,pasword"}, id="an unknown claim"),
        pytest.param("mail_from", {"mail_url": "smtp://localhost"}, id="mail from nobody"),
        pytest.param("mail_from", {"mail_from": "a@b.test\r\nBcc: all"}, id="a header more"),
        pytest.param("app_name", {"app_name": ""}, id="no name"),
        pytest.param("extra", {"extra": 1}, id="a setting that is none"),
    ],
)
def test_what_is_wrong_is_told_by_its_name(name: str, changes: dict[str, Any]) -> None:
    assert named(problems(**{**GOOD, **changes})) == [f"AUTHKIT_{name.upper()}"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("cookie_prefix", {"cookie_prefix": "__Host-"}, id="a prefix over http"),
        pytest.param("cookie_samesite", {"cookie_samesite": "none"}, id="C-02 none over http"),
    ],
)
def test_what_is_wrong_over_http(name: str, changes: dict[str, Any]) -> None:
    assert f"AUTHKIT_{name.upper()}" in named(problems(**{**LOCAL, **changes}))


def test_on_loopback_a_test_may_hurry() -> None:
    settings = Settings(**LOCAL, bcrypt_rounds=4, dev_mode=True)
    assert settings.on_loopback


# --- secrets ------------------------------------------------------------------------------------


def test_no_secret_is_in_a_repr() -> None:
    settings = Settings(
        base_url="https://app.example.com",
        token_secret=f"{CANARY}1",
        refresh_token_secret=f"{CANARY}2",
        database_url=f"postgresql://u:{CANARY}@db/x",
        mail_url=f"smtp://u:{CANARY}@mail:587",
        mail_from="a@b.test",
        resend_api_key=CANARY,
    )
    assert CANARY not in f"{settings!r} {settings} {settings!s}"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"token_secret": f"{CANARY},short"}, id="a short one beside it"),
        pytest.param({"token_secret": f"{CANARY},{CANARY}"}, id="twice"),
        pytest.param({"token_secret": CANARY, "refresh_token_secret": CANARY}, id="shared"),
        pytest.param({"token_secret": CANARY + "secret"}, id="a sample word in it"),
        pytest.param({"token_secret": {"a": CANARY}}, id="of another type"),
        pytest.param({"token_secret": (CANARY, 1)}, id="of another type within"),
        pytest.param({"base_url": f"https://u:{CANARY}@app.example.com"}, id="in the base URL"),
        pytest.param(
            {"trusted_origins": f"https://u:{CANARY}@app.example.com"}, id="in another's URL"
        ),
        pytest.param({"database_url": [CANARY]}, id="in a database URL of another type"),
        pytest.param({"mail_url": {"url": CANARY}}, id="in a mail URL of another type"),
        pytest.param({"resend_api_key": [CANARY]}, id="in a key of another type"),
        pytest.param({"token_secrets": CANARY}, id="under a name misspelled"),
    ],
)
def test_no_secret_is_in_a_message(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{**GOOD, **changes})
    error: BaseException | None = caught.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert CANARY not in f"{error} {error!r} {caught.value.problems}"


# --- helpers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("127.0.0.1.nip.io", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_loopback(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443/path?q#f", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_is_spelled_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin
