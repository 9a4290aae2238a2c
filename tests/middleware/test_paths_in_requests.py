"""Whoever may not pass gets no further, however the request is spelled; and finds the way back."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authkit_asgi import PathRules
from authkit_asgi.core.paths import safe_next
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.web.asgi import Message
from tests.middleware.knocking import NAVIGATION, App, ask, claims_in, shake_hands, visitor
from tests.world import World, world

RULES = PathRules(
    public=["/", "/open", "/open/*"], auth=["/signin"], exclude=["/static/*"], login="/signin"
)


def guarded(here: World, rules: PathRules = RULES) -> tuple[AuthMiddleware, App]:
    app = App()
    return AuthMiddleware(app, kit=here.kit, rules=rules), app


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param("/members", {}, id="P-01 named by no rule"),
        pytest.param("/openness", {}, id="P-07 only begins like a public one"),
        pytest.param("/OPEN", {}, id="P-09 other case"),
        pytest.param("/open/../members", {}, id="P-05 dots"),
        pytest.param("/open//members", {}, id="P-05 an empty segment"),
        pytest.param("//members", {}, id="P-05 two slashes first"),
        pytest.param("/open/x;/members", {}, id="P-05 path parameters"),
        pytest.param("/open\n", {}, id="P-04 a line's end"),
        pytest.param("/open\x00", {}, id="P-04 NUL"),
        pytest.param("/open/\\members", {}, id="P-04 backslash"),
        pytest.param("/open/\ufffd", {}, id="P-04 what was not UTF-8"),
        pytest.param("/open/\udcff", {}, id="P-04 a lone surrogate"),
        pytest.param("/open/%2e%2e/members", {}, id="P-06 encoded twice"),
        pytest.param("/open/x", {"raw_path": b"/open%2fx"}, id="P-05 encoded slash"),
        pytest.param("/static/x", {"raw_path": b"/static%2Fx"}, id="P-05 encoded slash, excluded"),
        pytest.param("/members.css", {}, id="P-17 a file's ending"),
        pytest.param("/openmembers", {"root_path": "/open"}, id="P-10 root without boundary"),
        pytest.param("/open/members", {"root_path": "/open"}, id="P-10 root named public"),
    ],
)
@pytest.mark.parametrize("navigation", [False, True], ids=["script", "navigation"])
async def test_nobody_gets_past(path: str, more: dict[str, Any], navigation: bool) -> None:
    async with world() as here:
        guard, app = guarded(here)
        answer = await ask(guard, path, headers=NAVIGATION if navigation else {}, **more)
        assert answer.status == (303 if navigation else 401)
        sent = await shake_hands(guard, path, **more)
        assert [message["type"] for message in sent] == ["websocket.close"]
    assert app.seen == []


@pytest.mark.parametrize("path", ["", "members", "*", "@evil", "http://evil.example/", "evil:443"])
async def test_a_target_that_is_no_path_is_a_bad_request(path: str) -> None:
    """SECURITY P-03: also for somebody signed in, since no two routers agree on it."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        answer = await ask(guard, path, tokens)
        assert (answer.status, answer.code) == (400, "bad_path")
        sent = await shake_hands(guard, path, tokens)
        assert [message["type"] for message in sent] == ["websocket.close"]
    assert app.seen == []


METHODS = ["HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "post", "FOO", "", "X" * 5000]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[:10] or "none")
async def test_no_method_opens_a_path(method: str) -> None:
    """SECURITY P-11, P-12: a preflight, too, is answered without the app."""
    async with world() as here:
        guard, app = guarded(here)
        preflight = {"origin": "https://evil.example", "access-control-request-method": "PUT"}
        for headers in ({}, preflight, NAVIGATION):
            answer = await ask(guard, "/members", method=method, headers=headers)
            assert answer.status in (303, 401)
            if method == "HEAD":
                assert answer.body == b""
    assert app.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"x-middleware-subrequest": "middleware:middleware"}, id="subrequest"),
        pytest.param({"x-authkit-user": "ada", "x-user-id": "1", "remote-user": "a"}, id="user"),
        pytest.param({"x-original-url": "/open", "x-rewrite-url": "/open"}, id="another URL"),
        pytest.param({"x-forwarded-uri": "/open", "x-forwarded-prefix": "/open"}, id="forwarded"),
        pytest.param({"host": "localhost:8000/open?"}, id="a path in Host"),
        pytest.param({"x-http-method-override": "OPTIONS"}, id="another method"),
        pytest.param({"upgrade": "websocket", "connection": "upgrade"}, id="an upgrade"),
        pytest.param({"authorization": "Basic YTph"}, id="Basic"),
        pytest.param({"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"}, id="from here"),
        pytest.param({"sec-purpose": "prefetch"}, id="prefetch"),
    ],
)
async def test_no_header_opens_a_path(headers: dict[str, str]) -> None:
    """SECURITY P-02, P-16."""
    async with world() as here:
        guard, app = guarded(here)
        assert (await ask(guard, "/members", headers=headers)).status == 401
        assert (await ask(guard, "/members?_method=OPTIONS", headers=headers)).status == 401
    assert app.seen == []


async def test_hop_by_hop_headers_take_no_identity_away() -> None:
    """SECURITY I-01, I-02: it travels in the scope, where no header reaches."""
    async with world() as here:
        guard, app = guarded(here)
        headers = {"connection": "authorization, cookie, user", "user": "eve", "x_user": "eve"}
        await ask(guard, "/members", await visitor(here), headers=headers)
    assert app.who.display_name == "ada"


async def test_nobody_is_the_anonymous_one_whatever_the_scope_said_before() -> None:
    """SECURITY I-03."""
    async with world() as here:
        guard, app = guarded(here)
        await ask(guard, "/open", user="eve", auth=["admin"])
    assert not app.who.is_authenticated
    assert app.scope["auth"].scopes == ()


@pytest.mark.parametrize("kind", ["webtransport", "http2", "", "Http"])
async def test_a_scope_of_another_type_is_refused(kind: str) -> None:
    """SECURITY P-15."""

    async def nothing(_: Message | None = None) -> Message:
        raise AssertionError("nothing is heard and nothing is said")

    async with world() as here:
        guard, app = guarded(here)
        with pytest.raises(RuntimeError, match="does not guard"):
            await guard({"type": kind, "path": "/open", "headers": []}, nothing, nothing)  # type: ignore[arg-type]
    assert app.seen == []


class TestTurnedAway:
    @pytest.mark.parametrize(
        ("method", "headers", "status"),
        [
            pytest.param("GET", {"sec-fetch-mode": "navigate"}, 303, id="a link"),
            pytest.param("HEAD", {"sec-fetch-mode": "navigate"}, 303, id="HEAD"),
            pytest.param("GET", {"accept": "text/html,*/*;q=0.8"}, 303, id="an older browser"),
            pytest.param("POST", {"sec-fetch-mode": "navigate"}, 401, id="a form"),
            pytest.param("GET", {"sec-fetch-mode": "cors", "accept": "text/html"}, 401, id="fetch"),
            pytest.param("GET", {"accept": "*/*"}, 401, id="a script"),
            pytest.param("GET", {}, 401, id="curl"),
            pytest.param("GET", {**NAVIGATION, "hx-request": "true"}, 401, id="HTMX"),
        ],
    )
    async def test_who_is_sent_to_the_login_page(
        self, method: str, headers: dict[str, str], status: int
    ) -> None:
        """SECURITY P-19, R-06."""
        async with world() as here:
            guard, _ = guarded(here)
            answer = await ask(guard, "/members/1?tab=a&b=%20", method=method, headers=headers)
        assert answer.status == status
        where = answer.header("hx-redirect" if "hx-request" in headers else "location")
        if status == 303:
            assert where == "/signin?next=/members/1%3Ftab%3Da%26b%3D%2520"
        elif "hx-request" in headers:
            assert where == "/signin"
        else:
            assert where == ""
        if status == 401:
            assert answer.header("www-authenticate").startswith("Bearer")
            assert answer.header("content-type") == "application/json; charset=utf-8"

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("//evil.example/x", id="two slashes"),
            pytest.param("/\\evil.example", id="backslash"),
            pytest.param("/\tevil.example", id="tab"),
            pytest.param("/..//evil.example", id="dots"),
            pytest.param("/%2fevil.example", id="encoded once more"),
            pytest.param("/x?next=https://evil.example", id="a query of its own"),
            pytest.param("/x?\r\nset-cookie: token=x", id="a line's end in the query"),
            pytest.param("/x\r\nset-cookie: token=x", id="a line's end in the path"),
            pytest.param("/über/\U0001f980", id="not ASCII"),
            pytest.param("/x?\xff\xfe", id="bytes in the query"),
            pytest.param("/" + "x" * 100_000, id="long"),
            pytest.param("/\udcff", id="a lone surrogate"),
        ],
    )
    async def test_the_way_back_stays_on_this_site(self, path: str) -> None:
        """SECURITY R-01, R-03."""
        async with world() as here:
            guard, _ = guarded(here)
            headers = {**NAVIGATION, "host": "evil.example", "x-forwarded-host": "evil.example"}
            answer = await ask(guard, path, headers=headers)
        assert answer.status == 303
        where = answer.header("location")
        assert where.isascii()
        assert where.isprintable()
        parts = urlsplit(where)
        assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/signin")
        for target in parse_qs(parts.query).get("next", []):
            assert safe_next(target) == target

    @pytest.mark.parametrize(
        ("page", "where"),
        [
            pytest.param("http://localhost:8000/list?a=1", "/signin?next=/list%3Fa%3D1", id="own"),
            pytest.param("http://localhost:8000//evil", "/signin", id="two slashes"),
            pytest.param("http://localhost:8000.evil.example/", "/signin", id="looks like ours"),
            pytest.param("https://evil.example/", "/signin", id="elsewhere"),
            pytest.param("/list", "/signin", id="no URL"),
            pytest.param("http://localhost:8000/\xff", "/signin", id="not ASCII"),
        ],
    )
    async def test_htmx_goes_back_to_the_page_around(self, page: str, where: str) -> None:
        async with world() as here:
            guard, _ = guarded(here)
            headers = {"hx-request": "true", "hx-current-url": page}
            answer = await ask(guard, "/part", headers=headers)
        assert answer.header("hx-redirect") == where

    @pytest.mark.parametrize(
        ("method", "code"),
        [pytest.param("POST", "not_signed_in", id="POST"), ("OPTIONS", "token_expired")],
    )
    async def test_a_script_is_told_whether_a_refresh_would_help(
        self, method: str, code: str
    ) -> None:
        """After a POST, which did refresh in vain, it would not; an OPTIONS has not tried."""
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            await here.kit.services.sessions.close(
                claims_in(here, tokens["token"]).session_id, reason="test", now=here.clock()
            )
            here.clock.pass_(hours=1.1)
            headers = {"hx-request": "true", "hx-current-url": "http://localhost:8000/list"}
            answer = await ask(guard, "/members", tokens, method=method, headers=headers)
            assert (answer.status, answer.code) == (401, code)

    @pytest.mark.parametrize(
        "scope",
        [
            pytest.param({"path": "/signin"}, id="plain"),
            pytest.param({"path": "/signin?next=/x"}, id="with a query"),
            pytest.param({"path": "/rp/signin", "root_path": "/rp"}, id="below a root"),
            pytest.param({"path": "/signin", "root_path": "/rp"}, id="the root cut off"),
        ],
    )
    async def test_the_login_page_is_never_sent_to_itself(self, scope: dict[str, str]) -> None:
        """SECURITY P-19: even where nobody made it public."""
        async with world() as here:
            guard, _ = guarded(here, PathRules(login="/signin"))
            answer = await ask(guard, headers=NAVIGATION, **scope)  # type: ignore[arg-type]
        assert answer.status == 401

    @pytest.mark.parametrize(
        ("path", "root_path", "where"),
        [
            pytest.param("/rp/x", "/rp", "/rp/signin?next=/rp/x", id="uvicorn"),
            pytest.param("/x", "/rp", "/rp/signin?next=/rp/x", id="the root cut off"),
            pytest.param("/rpx", "/rp", "/rp/signin?next=/rp/rpx", id="only begins like the root"),
            pytest.param("/ü/x", "/ü", "/%C3%BC/signin?next=/%25C3%25BC/x", id="not ASCII"),
            pytest.param("//evil.example/x", "//evil.example", "/signin", id="another site"),
        ],
    )
    async def test_the_way_leads_below_the_root(
        self, path: str, root_path: str, where: str
    ) -> None:
        async with world() as here:
            guard, _ = guarded(here)
            answer = await ask(guard, path, headers=NAVIGATION, root_path=root_path)
        assert (answer.status, answer.header("location")) == (303, where)


class TestPathsForVisitors:
    """SECURITY P-20: only whoever is really signed in is sent home, and nobody in circles."""

    async def test_a_living_session_is_sent_home(self) -> None:
        async with world() as here:
            guard, app = guarded(here)
            tokens = await visitor(here)
            answer = await ask(guard, "/signin", tokens, root_path="/rp")
            assert (answer.status, answer.header("location")) == (303, "/rp/user/dashboard")
            here.clock.pass_(hours=1.1)
            answer = await ask(guard, "/signin", tokens)
            assert (answer.status, len(answer.cookies)) == (303, 2)
        assert app.seen == []

    @pytest.mark.parametrize(
        "trouble", ["nothing", "garbage", "expired", "closed", "of a stranger"]
    )
    async def test_anybody_else_sees_the_page(self, trouble: str) -> None:
        async with world() as here, world() as elsewhere:
            guard, app = guarded(here)
            tokens = await visitor(here)
            if trouble == "nothing":
                tokens = {}
            elif trouble == "garbage":
                tokens = {name: token[:-2] + "xx" for name, token in tokens.items()}
            elif trouble == "expired":
                here.clock.pass_(hours=24 * 8)
            elif trouble == "closed":
                session_id = claims_in(here, tokens["token"]).session_id
                await here.kit.services.sessions.close(session_id, reason="t", now=here.clock())
            else:
                tokens = await visitor(elsewhere)
            for _ in range(2):
                answer = await ask(guard, "/signin", tokens)
                assert answer.status == 200
                assert not app.who.is_authenticated
            clears = trouble in ("expired", "closed")
            assert answer.cookies == ({"token": "", "refreshToken": ""} if clears else {})

    async def test_a_browser_with_dead_cookies_ends_on_the_login_page(self) -> None:
        async with world() as here, here.browser() as browser:
            await here.person()
            await browser.sign_in()
            here.clock.pass_(hours=24 * 8)
            browser.follow_redirects = True
            page = await browser.navigate("/members")
            assert page.status_code == 200
            assert page.url.path == "/user/login"
            assert browser.tokens() == {}
