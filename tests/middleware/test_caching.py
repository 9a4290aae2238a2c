"""No cache may keep what was said to somebody, least of all their tokens (SECURITY K)."""

from __future__ import annotations

import pytest

from authkit_asgi import PathRules
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.web.asgi import Receive, Scope, Send
from tests.middleware.knocking import App, RawHeaders, ask, visitor
from tests.world import World, world

RULES = PathRules(public=["/open"])
FOR_EVERYBODY = [
    (b"Cache-Control", b"public, max-age=31536000, s-maxage=600, immutable"),
    (b"CDN-Cache-Control", b"max-age=600"),
    (b"Cloudflare-CDN-Cache-Control", b"max-age=600"),
    (b"Surrogate-Control", b"max-age=600"),
    (b"Edge-Control", b"cache-maxage=10m"),
    (b"X-Accel-Expires", b"600"),
    (b"Expires", b"Thu, 01 Dec 2099 16:00:00 GMT"),
    (b"Pragma", b"public"),
    (b"ETag", b'"abc"'),
    (b"Last-Modified", b"Thu, 01 Dec 1994 16:00:00 GMT"),
    (b"Vary", b"Accept-Encoding"),
    (b"X-Own", b"stays"),
]


def guarded(here: World, headers: RawHeaders) -> AuthMiddleware:
    return AuthMiddleware(App(headers=headers), kit=here.kit, rules=RULES)


@pytest.mark.parametrize("path", ["/members", "/open"])
async def test_an_answer_with_fresh_tokens_is_for_no_cache_whatever_the_app_said(path: str) -> None:
    """SECURITY K-01, K-03: a shared cache would hand out somebody's session."""
    async with world() as here:
        guard = guarded(here, FOR_EVERYBODY)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.1)
        answer = await ask(guard, path, tokens)
    assert len(answer.cookies) == 2
    left = {name.lower() for name, _ in answer.headers}
    assert left == {b"cache-control", b"vary", b"x-own", b"set-cookie"}
    assert answer.header("cache-control") == "private, no-store"
    assert answer.all("vary") == ["Accept-Encoding", "Cookie"]


@pytest.mark.parametrize("path", ["/members", "/open"])
async def test_so_is_an_answer_that_clears_dead_cookies(path: str) -> None:
    async with world() as here:
        guard = guarded(here, FOR_EVERYBODY)
        tokens = await visitor(here)
        here.clock.pass_(hours=24 * 8)
        answer = await ask(guard, path, tokens)
    assert answer.cookies == {"token": "", "refreshToken": ""}
    assert answer.header("cache-control") == "private, no-store"
    assert "Cookie" in ", ".join(answer.all("vary")).split(", ")


@pytest.mark.parametrize(
    ("said", "vary", "cache_control"),
    [
        pytest.param([], ["Cookie"], "private", id="K-02 nothing"),
        pytest.param(
            [(b"cache-control", b"no-store")], ["Cookie"], "no-store", id="the app's own word"
        ),
        pytest.param([(b"Vary", b"Accept, cookie")], ["Accept, cookie"], "private", id="Cookie"),
        pytest.param([(b"VARY", b"*")], ["*"], "private", id="everything"),
        pytest.param(
            [(b"vary", b"X-Cookie-Banner")],
            ["X-Cookie-Banner", "Cookie"],
            "private",
            id="another name with cookie in it",
        ),
        pytest.param(
            [(b"vary", b"Accept"), (b"vary", b"Cookie")], ["Accept", "Cookie"], "private", id="two"
        ),
    ],
)
async def test_a_protected_answer_is_private_where_the_app_says_nothing(
    said: RawHeaders, vary: list[str], cache_control: str
) -> None:
    async with world() as here:
        answer = await ask(guarded(here, said), "/members", await visitor(here))
    assert answer.all("vary") == vary
    assert answer.header("cache-control") == cache_control


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(b"public, max-age=600", "private, max-age=600", id="K-02 public"),
        pytest.param(b"max-age=600, S-MaxAge=9", "private, max-age=600", id="K-02 shared"),
        pytest.param(b"no-cache", "private, no-cache", id="K-02 kept, and asked about"),
        pytest.param(b'private="set-cookie", max-age=9', "private, max-age=9", id="K-02 a part"),
        pytest.param(b"Private, max-age=600", "Private, max-age=600", id="private already"),
        pytest.param(b"public, no-store", "public, no-store", id="stored by nobody"),
    ],
)
@pytest.mark.parametrize("path", ["/members", "/open"])
async def test_what_somebody_is_told_is_for_no_shared_cache(
    path: str, said: bytes, told: str
) -> None:
    """On public pages too: they may name whoever asks."""
    headers = [pair for pair in FOR_EVERYBODY if pair[0] != b"Cache-Control"]
    async with world() as here:
        guard = guarded(here, [*headers, (b"Cache-Control", said)])
        answer = await ask(guard, path, await visitor(here))
    assert answer.header("cache-control") == told
    assert answer.all("vary") == ["Accept-Encoding", "Cookie"]
    left = {name.lower() for name, _ in answer.headers}
    assert left == {
        b"cache-control",
        b"expires",
        b"pragma",
        b"etag",
        b"last-modified",
        b"vary",
        b"x-own",
    }


async def test_a_page_that_pretends_to_be_a_style_sheet_is_as_private() -> None:
    """SECURITY K-09: cache deception."""
    async with world() as here:
        answer = await ask(guarded(here, []), "/members/x.css", await visitor(here))
    assert answer.header("cache-control") == "private"


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-mode": "navigate"}, {"hx-request": "true"}])
async def test_being_turned_away_is_for_no_cache(headers: dict[str, str]) -> None:
    """SECURITY K-04, X-11, K-10."""
    async with world() as here:
        answer = await ask(guarded(here, []), "/members", headers=headers)
    assert answer.status in (303, 401)
    assert answer.header("cache-control") == "private, no-store"
    assert {"Cookie", "Origin", "Sec-Fetch-Site"} <= set(answer.header("vary").split(", "))
    assert answer.header("server") == ""


async def test_a_public_answer_to_nobody_is_left_alone() -> None:
    async with world() as here:
        answer = await ask(guarded(here, FOR_EVERYBODY), "/open")
    assert answer.headers == FOR_EVERYBODY


@pytest.mark.parametrize("path", ["/members", "/open"])
@pytest.mark.parametrize("hours", [0, 1.1])
async def test_headers_that_can_be_read_only_once_all_arrive(path: str, hours: float) -> None:
    """ASGI asks for any iterable, and Sanic gives a generator."""
    said = [(b"content-type", b"text/html"), (b"content-length", b"2"), (b"x-own", b"1")]
    live: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        once = (pair for pair in said)
        await send({"type": "http.response.start", "status": 200, "headers": once})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        live.append(len(guard.live))
        await send({"type": "http.response.body", "body": b"k"})

    async with world() as here:
        guard = AuthMiddleware(app, kit=here.kit, rules=RULES)
        tokens = await visitor(here)
        here.clock.pass_(hours=hours)
        answer = await ask(guard, path, tokens)
    assert answer.headers[:3] == said
    assert answer.header("cache-control").startswith("private")
    assert live == [0]  # it said how long it is
