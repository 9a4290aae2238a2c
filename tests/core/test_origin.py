from __future__ import annotations

import inspect

import pytest

from authkit_asgi.core.origin import is_own_site

OWN = "https://app.example.com"
PARTNER = "https://partner.example.net"


def allowed(
    method: str = "POST",
    *,
    site: str | None = None,
    origin: str | None = None,
    referer: str | None = None,
    own: str = OWN,
    trusted: tuple[str, ...] = (PARTNER,),
    cookie: bool = True,
    content_type: str | None = "application/x-www-form-urlencoded",
) -> bool:
    return is_own_site(
        method,
        sec_fetch_site=site,
        origin=origin,
        referer=referer,
        own=own,
        trusted=frozenset(trusted),
        has_cookie=cookie,
        content_type=content_type,
    )


@pytest.mark.parametrize(
    ("method", "may"),
    [
        pytest.param("GET", True, id="X-05 GET"),
        pytest.param("HEAD", True, id="X-05 HEAD"),
        pytest.param("OPTIONS", True, id="X-05 OPTIONS"),
        pytest.param("POST", False, id="X-05 POST"),
        pytest.param("PUT", False, id="X-05 PUT"),
        pytest.param("PATCH", False, id="X-05 PATCH"),
        pytest.param("DELETE", False, id="X-05 DELETE"),
        pytest.param("TRACE", False, id="X-05 TRACE"),
        pytest.param("get", False, id="X-05 lower case"),
        pytest.param("GET ", False, id="X-05 a space"),
        pytest.param("FOO", False, id="X-05 unknown"),
        pytest.param("", False, id="X-05 none"),
    ],
)
def test_another_site_may_only_read(method: str, may: bool) -> None:
    assert allowed(method, site="cross-site", origin="https://evil.test") is may


@pytest.mark.parametrize(
    ("site", "origin", "may"),
    [
        pytest.param("same-origin", OWN, True, id="X-01 own page"),
        pytest.param("same-origin", None, True, id="X-01 own page, no Origin"),
        pytest.param("same-origin", "null", True, id="X-01 own page that hides its referrer"),
        pytest.param("none", None, True, id="X-01 typed by the user"),
        pytest.param("same-site", None, False, id="X-01 sister subdomain"),
        pytest.param("same-site", "https://blog.example.com", False, id="X-01 sister, with Origin"),
        pytest.param("cross-site", None, False, id="X-01 another site"),
        pytest.param("cross-site", "https://evil.test", False, id="X-01 another site, with Origin"),
        pytest.param("cross-site", "null", False, id="X-01 a sandboxed frame"),
        pytest.param("cross-site", PARTNER, True, id="X-01 a site that we know"),
        pytest.param("same-site", PARTNER, True, id="X-01 a sister that we know"),
        pytest.param("cross-site", OWN, False, id="X-01 two words that contradict each other"),
        pytest.param("Same-Origin", OWN, False, id="X-01 another spelling"),
        pytest.param("same-origin, cross-site", OWN, False, id="X-01 two values"),
        pytest.param("", OWN, False, id="X-01 empty"),
    ],
)
def test_a_browsers_own_word_decides(site: str, origin: str | None, may: bool) -> None:
    assert allowed(site=site, origin=origin) is may


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        pytest.param(OWN, True, id="X-02 own"),
        pytest.param(PARTNER, True, id="X-12 trusted"),
        pytest.param("null", False, id="X-02 null"),
        pytest.param("", False, id="X-02 empty"),
        pytest.param("https://evil.test", False, id="X-02 another"),
        pytest.param("http://app.example.com", False, id="X-12 another scheme"),
        pytest.param("https://app.example.com:8443", False, id="X-12 another port"),
        pytest.param("https://app.example.com:443", False, id="X-12 a port no browser writes"),
        pytest.param("https://app.example.com/", False, id="X-12 a slash no browser writes"),
        pytest.param("https://APP.example.com", False, id="X-12 upper case"),
        pytest.param("https://app.example.com.evil.test", False, id="X-12 own as a subdomain"),
        pytest.param("https://evilapp.example.com", False, id="X-12 own at the end"),
        pytest.param("https://app.example.com@evil.test", False, id="X-12 own as a user name"),
        pytest.param("https://evil.test/https://app.example.com", False, id="X-12 own as a path"),
        pytest.param("https://partner.example.net.evil.test", False, id="X-12 a trusted prefix"),
    ],
)
def test_origin_is_own_or_listed_whole(origin: str, may: bool) -> None:
    assert allowed(origin=origin) is may
    assert allowed(origin=origin, referer=f"{OWN}/page") is may, "the Referer is not asked then"


@pytest.mark.parametrize(
    ("referer", "may"),
    [
        pytest.param(f"{OWN}/login?next=/", True, id="X-02 own page"),
        pytest.param(OWN, True, id="X-02 own origin alone"),
        pytest.param(f"{OWN}:443/login", True, id="X-02 own port written out"),
        pytest.param(f"{PARTNER}/x", True, id="X-12 trusted"),
        pytest.param("https://evil.test/https://app.example.com/", False, id="X-12 as a path"),
        pytest.param("https://app.example.com.evil.test/", False, id="X-12 as a subdomain"),
        pytest.param("https://app.example.com@evil.test/", False, id="X-12 as a user name"),
        pytest.param("https://me@app.example.com/", False, id="X-12 with a user name"),
        pytest.param("https://app.example.com\\.evil.test/", False, id="X-12 a backslash"),
        pytest.param("http://app.example.com/", False, id="X-12 another scheme"),
        pytest.param("https://app.example.com:99999/", False, id="X-12 no such port"),
        pytest.param("https://[", False, id="X-02 no URL"),
        pytest.param("about:blank", False, id="X-02 no origin"),
        pytest.param("", False, id="X-02 empty"),
    ],
)
def test_without_origin_the_referer_tells(referer: str, may: bool) -> None:
    assert allowed(referer=referer) is may


@pytest.mark.parametrize(
    ("cookie", "content_type", "may"),
    [
        pytest.param(False, None, True, id="X-03 nothing to ride on"),
        pytest.param(False, "text/plain", True, id="X-03 nothing to ride on, a form"),
        pytest.param(True, "application/json", True, id="X-03 JSON"),
        pytest.param(
            True, "Application/JSON; charset=utf-8", True, id="X-03 JSON, spelt otherwise"
        ),
        pytest.param(True, None, False, id="X-03 no type"),
        pytest.param(True, "", False, id="X-03 an empty type"),
        pytest.param(True, "json", False, id="X-03 no type at all"),
        pytest.param(True, "text/plain", False, id="X-03 text"),
        pytest.param(True, "Text/Plain", False, id="X-03 text in capitals"),
        pytest.param(True, "text/plain; application/json", False, id="X-03 text that says JSON"),
        pytest.param(True, "multipart/form-data; boundary=x", False, id="X-03 a form with files"),
        pytest.param(True, "application/x-www-form-urlencoded", False, id="X-03 a form"),
        pytest.param(True, " application/x-www-form-urlencoded\t", False, id="X-03 with spaces"),
    ],
)
def test_with_none_of_the_three_a_form_cannot_use_a_cookie(
    cookie: bool, content_type: str | None, may: bool
) -> None:
    assert allowed(cookie=cookie, content_type=content_type) is may


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT"])
def test_no_form_can_send_other_methods(method: str) -> None:
    """SECURITY X-03: a script without a body has no content type to show."""
    assert allowed(method, cookie=True, content_type=None)
    assert not allowed("post", cookie=True, content_type=None)


def test_a_browser_is_asked_even_without_cookies() -> None:
    """SECURITY X-04: signing somebody in to a stranger's account needs no cookie."""
    assert not allowed(site="cross-site", cookie=False)
    assert not allowed(origin="https://evil.test", cookie=False)
    assert not allowed(referer="https://evil.test/", cookie=False)


def test_null_is_nobody_even_if_listed() -> None:
    """SECURITY X-08."""
    assert not allowed(origin="null", trusted=("null",))
    assert not allowed(site="cross-site", origin="null", trusted=("null",))


def test_the_own_origin_is_an_argument_and_no_header() -> None:
    """SECURITY X-09."""
    assert allowed(origin="http://localhost:8000", own="http://localhost:8000")
    assert not allowed(origin="http://localhost:8000")
    assert "host" not in inspect.signature(is_own_site).parameters
