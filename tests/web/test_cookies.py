from __future__ import annotations

import http.cookiejar
import logging
import urllib.request
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authkit_asgi.sessions import TokenPair
from authkit_asgi.settings import DAY, Settings
from authkit_asgi.web.cookies import (
    MAX_AGE,
    MAX_COOKIE_BYTES,
    MAX_HEADER_BYTES,
    MAX_PAIRS,
    CookieJar,
    read_cookie,
    read_cookies,
    rewrite_cookie_header,
    values_in,
)

TOKEN, REFRESH = b"__Host-token", b"__Host-refreshToken"
NAMES = (TOKEN, REFRESH)


def sent(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"app.example.com"), *((b"cookie", value) for value in values)]


def jar(**settings: str) -> CookieJar:
    values = {"base_url": "https://app.example.com", **settings}
    return CookieJar(
        Settings(
            token_secret=("0123456789abcdefghijklmnopqrstuvwxyz-A",),
            refresh_token_secret=("0123456789abcdefghijklmnopqrstuvwxyz-B",),
            **values,
        )
    )


@pytest.mark.parametrize(
    ("header", "value"),
    [
        pytest.param(b"__Host-token=abc", b"abc", id="alone"),
        pytest.param(b"a=1; __Host-token=abc; b=2", b"abc", id="among others"),
        pytest.param(b"a=1;__Host-token=abc;b=2", b"abc", id="no spaces"),
        pytest.param(b"a=1; \t__Host-token \t=\t abc \t; b=2", b"abc", id="C-08 SP and HTAB"),
        pytest.param(b"__Host-token=a=b==", b"a=b==", id="equals signs in the value"),
        pytest.param(b"__Host-token=", b"", id="empty"),
        pytest.param(b"__Host-token=abc; __Host-token=abc", b"abc", id="C-06 the same twice"),
        pytest.param(b"junk; =x; ;; __Host-token=abc; {", b"abc", id="junk around it"),
        pytest.param(b"__Host-token=a%3Bb", b"a%3Bb", id="C-08 not percent-decoded"),
        pytest.param(b'__Host-token="abc"', b'"abc"', id="C-08 quotes stay"),
        pytest.param(b'__Host-token="\\141bc"', b'"\\141bc"', id="C-08 no quoted pairs"),
        pytest.param(b"", None, id="no cookie"),
        pytest.param(b"__Host-token", None, id="no value"),
        pytest.param(b"__host-token=abc", None, id="C-08 lower case"),
        pytest.param(b"__Host-tokens=abc", None, id="a longer name"),
        pytest.param(b"x__Host-token=abc", None, id="the end of a name"),
        pytest.param(b"=__Host-token=abc", None, id="C-08 nameless"),
        pytest.param(b"\xe2\x80\x80__Host-token=abc", None, id="C-08 U+2000 is no space"),
        pytest.param(b"\xa0__Host-token=abc", None, id="C-08 U+00A0 is no space"),
        pytest.param(b"\x0b__Host-token=abc", None, id="C-08 a vertical tab is no space"),
        pytest.param(b"\x85__Host-token=abc", None, id="C-08 NEL is no space"),
        pytest.param(b'a="; __Host-token=abc', b"abc", id="C-08 a quote hides nothing"),
        pytest.param(b"a=1, __Host-token=abc", None, id="C-08 a comma parts nothing"),
        pytest.param(b"$Version=1; $Path=/; __Host-token=abc", b"abc", id="C-08 no $Version"),
        pytest.param(b"__Host%2Dtoken=abc", None, id="C-08 an encoded name"),
    ],
)
def test_a_cookie_is_read_to_the_letter(header: bytes, value: bytes | None) -> None:
    assert read_cookie(sent(header), TOKEN) == value


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(sent(b"a=1; __Host-token=x; __Host-refreshToken=y"), id="C-07 one header"),
        pytest.param(sent(b"a=1", b"__Host-token=x", b"__Host-refreshToken=y"), id="C-07 split"),
        pytest.param(sent(b"__Host-token=x;", b"", b"__Host-refreshToken=y"), id="C-07 with gaps"),
    ],
)
def test_http2_may_split_the_header(headers: list[tuple[bytes, bytes]]) -> None:
    assert read_cookies(headers, NAMES) == (b"x", b"y")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(sent(b"__Host-token=x; __Host-token=z; __Host-refreshToken=y"), id="C-06 one"),
        pytest.param(sent(b"__Host-token=x; __Host-refreshToken=y", b"__Host-token=z"), id="split"),
        pytest.param(sent(b"__Host-token=x; __Host-token=; __Host-refreshToken=y"), id="empty"),
        pytest.param(sent(b"__Host-refreshToken=y; __Host-refreshToken=z; __Host-token=x"), id="r"),
    ],
)
def test_two_values_for_one_name_are_nobody(
    headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """SECURITY C-06: neither the first nor the last, nor the other cookie; and it is logged."""
    with caplog.at_level(logging.WARNING, "authkit_asgi"):
        assert read_cookies(headers, NAMES) == (None, None)
    assert "came twice" in caplog.text
    assert "=z" not in caplog.text


def test_other_cookies_may_come_twice() -> None:
    assert read_cookie(sent(b"a=1; a=2; __Host-token=abc"), TOKEN) == b"abc"


def test_a_header_larger_than_any_honest_one_is_nobody() -> None:
    """SECURITY C-09."""
    pair = b"__Host-token=abc; "
    padded = pair + b"a=" + b"x" * (MAX_HEADER_BYTES - len(pair) - 2)
    assert read_cookie(sent(padded), TOKEN) == b"abc"
    assert read_cookie(sent(padded + b"x"), TOKEN) is None
    assert read_cookie(sent(padded, b"b=1"), TOKEN) is None, "split, it is as large"


def test_a_header_of_more_pairs_than_any_honest_one_is_nobody() -> None:
    """SECURITY C-09."""
    others = [b"a%d=1" % number for number in range(MAX_PAIRS - 1)]
    assert read_cookie(sent(b"; ".join([*others, b"__Host-token=abc"])), TOKEN) == b"abc"
    assert read_cookie(sent(b"; ".join([*others, b"b=1", b"__Host-token=abc"])), TOKEN) is None


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_can_be_read(values: list[bytes]) -> None:
    for value in read_cookies(sent(*values), NAMES):
        assert value is None or b";" not in value


def test_the_app_sees_the_new_tokens_and_its_own_cookies() -> None:
    headers = sent(b'a="1 2"; __Host-token=old; b', b"__Host-refreshToken=old; =c; d=%20")
    rewritten = rewrite_cookie_header(headers, {TOKEN: b"new", REFRESH: b"newer"})
    assert rewritten == [
        (b"host", b"app.example.com"),
        (b"cookie", b'a="1 2"; b; =c; d=%20; __Host-token=new; __Host-refreshToken=newer'),
    ]
    assert read_cookies(rewritten, NAMES) == (b"new", b"newer")
    assert (b"cookie", b"__Host-refreshToken=old; =c; d=%20") in headers, "the old list stays"


def test_a_cookie_rewritten_to_nothing_is_gone() -> None:
    headers = sent(b"__Host-token=old; a=1; __Host-token=older")
    assert rewrite_cookie_header(headers, {TOKEN: b""}) == sent(b"a=1")
    assert rewrite_cookie_header(sent(b"__Host-token=old"), {TOKEN: b""}) == sent()
    assert rewrite_cookie_header(sent(), {TOKEN: b"new"}) == sent(b"__Host-token=new")


HOST_ONLY = "Path=/; HttpOnly; SameSite=Lax; Secure"


@pytest.mark.parametrize(
    ("settings", "name", "attributes"),
    [
        pytest.param({}, "__Host-token", HOST_ONLY, id="C-01 https"),
        pytest.param(
            {"cookie_samesite": "strict"},
            "__Host-token",
            "Path=/; HttpOnly; SameSite=Strict; Secure",
            id="C-01 strict",
        ),
        pytest.param(
            {"cookie_samesite": "none", "trusted_origins": "https://partner.example.net"},
            "__Host-token",
            "Path=/; HttpOnly; SameSite=None; Secure",
            id="C-02 none is secure",
        ),
        pytest.param(
            {"cookie_domain": "example.com"},
            "__Secure-token",
            "Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
            id="C-01 a domain",
        ),
        pytest.param(
            {"base_url": "http://localhost:8000"},
            "token",
            "Path=/; HttpOnly; SameSite=Lax",
            id="C-03 plain http on loopback",
        ),
        pytest.param({"access_cookie": "me"}, "__Host-me", HOST_ONLY, id="another name"),
    ],
)
def test_the_attributes_follow_the_settings(
    settings: dict[str, str], name: str, attributes: str
) -> None:
    """SECURITY C-01, C-11: given and taken away alike."""
    cookies = jar(**settings)
    assert cookies.access_name == name
    assert cookies.set_access("a.b.c", 3600) == f"{name}=a.b.c; Max-Age=3600; {attributes}"
    gone, refresh_gone = cookies.clear()
    assert gone == f"{name}=; Max-Age=0; {attributes}"  # or the browser keeps it
    assert refresh_gone == f"{cookies.refresh_name}=; Max-Age=0; {attributes}"


@pytest.mark.parametrize(
    ("settings", "receives"),
    [
        pytest.param({}, False, id="C-15 for one host"),
        pytest.param({"cookie_samesite": "strict"}, False, id="C-15 strict"),
        pytest.param({"cookie_domain": "example.com"}, True, id="C-15 shared when told to"),
    ],
)
def test_a_sister_host_receives_nothing_unless_told_to(
    settings: dict[str, str], receives: bool
) -> None:
    """C-15: as the standard library's cookie jar decides it, which knows no prefixes."""
    cookies = jar(**settings)
    answer = Message()
    for one in (cookies.set_access("a.b.c", 60), cookies.set_refresh("d.e.f", 60)):
        answer.add_header("Set-Cookie", one)
    kept = http.cookiejar.CookieJar()
    own = urllib.request.Request("https://app.example.com/")
    kept.extract_cookies(Response(answer), own)  # type: ignore[arg-type]
    for host, expected in (("app.example.com", True), ("blog.example.com", receives)):
        asked = urllib.request.Request(f"https://{host}/")
        kept.add_cookie_header(asked)
        assert asked.has_header("Cookie") is expected, host


class Response:
    """What `http.cookiejar` asks of an answer."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers


def test_what_sharing_costs_is_written_where_it_is_set() -> None:
    """C-15."""
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `AUTHKIT_COOKIE_DOMAIN`")]
    assert "unless you trust them all" in row


def test_each_cookie_lives_as_long_as_its_token() -> None:
    pair = TokenPair(
        access="a", refresh="r", generation=1, access_expires_at=4600, refresh_expires_at=605800
    )
    access, refresh = jar().set_pair(pair, now=1000.5)
    assert access == f"__Host-token=a; Max-Age=3599; {HOST_ONLY}"
    assert refresh == f"__Host-refreshToken=r; Max-Age=604799; {HOST_ONLY}"


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        pytest.param(59.999, 59, id="C-04 rounded down"),
        pytest.param(0.5, 0, id="C-04 over within the second"),
        pytest.param(-5, 0, id="C-04 over already"),
        pytest.param(400 * DAY, MAX_AGE, id="C-04 400 days"),
        pytest.param(401 * DAY, MAX_AGE, id="C-04 more than browsers keep"),
        pytest.param(float("inf"), MAX_AGE, id="C-04 for ever"),
    ],
)
def test_a_cookie_has_a_whole_age_within_bounds(seconds: float, age: int) -> None:
    assert f"; Max-Age={age};" in jar().set_refresh("r", seconds)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a b", id="C-13 a space"),
        pytest.param("a;Domain=evil.test", id="C-13 an attribute"),
        pytest.param("a,b", id="C-13 a comma"),
        pytest.param('a"b', id="C-13 a quote"),
        pytest.param("a\\b", id="C-13 a backslash"),
        pytest.param("a\r\nSet-Cookie: b=c", id="C-13 a header"),
        pytest.param("a\n", id="C-13 a line feed at the end"),
        pytest.param("a\x00", id="C-13 NUL"),
        pytest.param("a\x7f", id="C-13 DEL"),
        pytest.param("\u00e4", id="C-13 not ASCII"),
    ],
)
def test_a_cookie_is_made_of_harmless_characters(value: str) -> None:
    for write in (jar().set_access, jar().set_refresh):
        with pytest.raises(ValueError, match="no cookie may hold") as refused:
            write(value, 60)
        assert value not in str(refused.value)
    with pytest.raises(ValueError, match="no cookie may hold"):
        jar().plain_cookie("ticket", value, max_age=60)


def test_a_cookie_that_browsers_would_drop_is_refused() -> None:
    """SECURITY C-05."""
    largest = MAX_COOKIE_BYTES - len("__Host-token")
    assert jar().set_access("x" * largest, 60)
    with pytest.raises(ValueError, match="__Host-token is over 4096 bytes"):
        jar().set_access("x" * (largest + 1), 60)


def test_the_pages_have_small_cookies_of_their_own() -> None:
    cookies = jar()
    name = cookies.prefixed("ticket")
    assert cookies.plain_cookie(name, "abc", max_age=600) == (
        f"__Host-ticket=abc; Max-Age=600; {HOST_ONLY}"
    )
    assert cookies.plain_cookie("notice", "", max_age=0, path="/user") == (
        "notice=; Max-Age=0; Path=/user; HttpOnly; SameSite=Lax; Secure"
    )
    assert "Domain" not in jar(cookie_domain="example.com").plain_cookie("n", "v", max_age=1)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param("", "/", id="no name"),
        pytest.param("a=b", "/", id="an equals sign"),
        pytest.param("a;b", "/", id="a semicolon"),
        pytest.param("a b", "/", id="a space"),
        pytest.param("\u00e4", "/", id="not ASCII"),
        pytest.param("a", "", id="no path"),
        pytest.param("a", "user", id="no slash"),
        pytest.param("a", "/; Domain=evil.test", id="C-13 an attribute"),
        pytest.param("a", "/\n", id="C-13 a line feed"),
        pytest.param("__Host-a", "/user", id="a prefix that asks for the root"),
    ],
)
def test_a_small_cookie_has_a_proper_name_and_path(name: str, path: str) -> None:
    with pytest.raises(ValueError, match=r"cookie's name and path|its path is /"):
        jar().plain_cookie(name, "v", max_age=60, path=path)


# --- the reader that splits nothing, against one that splits everything --------------------------


def split_reading(header: bytes, names: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
    found: dict[bytes, set[bytes]] = {}
    for part in header.split(b";"):
        name, equals, value = part.strip(b" \t").partition(b"=")
        if equals:
            found.setdefault(name.rstrip(b" \t"), set()).add(value.lstrip(b" \t"))
    if any(len(found.get(name, ())) > 1 for name in names):
        return (None,) * len(names)
    return tuple(next(iter(found.get(name, (None,)))) for name in names)


PIECES = st.sampled_from(
    b'token|refreshToken|=|==|;|; | |\t|a|a.b-c|"|x|\xa0|\x0b|token=a|; token=b|; token = a |'
    b"Token=c|__Host-token=d".split(b"|")
)


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES, max_size=12).map(b"".join))
@example(b"token=token=a")
@example(b"a=token=b; token=c")
@example(b";token=a;;token=a")
@example(b"token;token=a")
@example(b"tokentoken=a; token=b")
@example(b"a token=b")
def test_a_header_is_read_as_if_it_were_split(header: bytes) -> None:
    """C-06, C-08."""
    names = (b"token", b"refreshToken")
    assert values_in(header, names) == split_reading(header, names)
