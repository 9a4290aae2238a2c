"""Pages of other origins: who may ask, and who may read the answer (SECURITY X-08, P-12)."""

from __future__ import annotations

import pytest
from starlette.middleware.cors import CORSMiddleware

from authkit_asgi import PathRules
from authkit_asgi.middleware import AuthMiddleware
from tests.middleware.knocking import Answered, App, ask, visitor
from tests.world import World, world

PARTNER = "https://partner.example.net"
RULES = PathRules(public=["/open"])
API = "/api/users/login"
STRANGERS = (
    "https://evil.example",
    "null",
    "*",
    "",
    "https://partner.example.net.evil.example",
    "https://evilpartner.example.net",
    "https://partner.example.net:8443",
    "http://partner.example.net",
    "https://PARTNER.example.net",
    "https://partner.example.net/",
    "https://user@partner.example.net",
)


def asking(
    origin: str, method: str = "DELETE", names: str = "content-type,x-own"
) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": names,
    }


def leave(answer: Answered) -> dict[str, str]:
    """What the answer says of CORS."""
    return {
        name.decode().lower(): value.decode()
        for name, value in answer.headers
        if name.lower().startswith(b"access-control-")
    }


@pytest.mark.parametrize("path", ["/members", API, "/api/users/profile"])
async def test_a_preflight_of_a_trusted_origin_is_answered_without_the_app(path: str) -> None:
    """X-08, P-12: it carries no cookie, so it must not be asked for one."""
    app = App()
    async with world(trusted_origins=PARTNER) as here:
        guard = here.kit.wrap(app, RULES)
        answer = await ask(guard, path, method="OPTIONS", headers=asking(PARTNER))
    assert answer.status == 200
    assert leave(answer) == {
        "access-control-allow-origin": PARTNER,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "DELETE",
        "access-control-allow-headers": "content-type,x-own",
        "access-control-max-age": "600",
    }
    assert "Origin" in answer.header("vary").split(", ")
    assert app.seen == []


@pytest.mark.parametrize("path", ["/members", API])
@pytest.mark.parametrize("origin", STRANGERS)
async def test_nobody_else_gets_leave(origin: str, path: str) -> None:
    """X-08, X-12."""
    app = App()
    async with world(trusted_origins=PARTNER) as here:
        guard = here.kit.wrap(app, RULES)
        refused = await ask(guard, path, method="OPTIONS", headers=asking(origin))
        known = await ask(guard, "/members", await visitor(here), headers={"origin": origin})
    assert refused.status in (401, 405)
    assert known.status == 200
    assert leave(refused) == leave(known) == {}
    for answer in (refused, known):
        assert "origin" in ", ".join(answer.all("vary")).lower()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": PARTNER}, id="no method is asked for"),
        pytest.param(asking(PARTNER, method="GET, POST"), id="two methods"),
        pytest.param(asking(PARTNER, method="G\r\nX: y"), id="a header"),
    ],
)
async def test_what_is_no_preflight_is_guarded_as_ever(headers: dict[str, str]) -> None:
    """P-12, P-11."""
    app = App()
    async with world(trusted_origins=PARTNER) as here:
        answer = await ask(here.kit.wrap(app), method="OPTIONS", headers=headers)
    assert answer.status == 401
    assert app.seen == []


async def test_odd_names_of_headers_get_no_leave() -> None:
    async with world(trusted_origins=PARTNER) as here:
        headers = asking(PARTNER, names="x-own\r\nset-cookie: a=b")
        answer = await ask(here.kit.wrap(App()), method="OPTIONS", headers=headers)
    assert "access-control-allow-headers" not in leave(answer)


async def test_a_trusted_origin_reads_the_answer_whatever_it_is() -> None:
    """X-08: by its name, with credentials; a refusal too, or its script could not refresh."""
    allowed = {
        "access-control-allow-origin": PARTNER,
        "access-control-allow-credentials": "true",
    }
    async with world(trusted_origins=PARTNER) as here:
        guard = here.kit.wrap(App(), RULES)
        tokens = await visitor(here)
        for answer in (
            await ask(guard, "/members", tokens, headers={"origin": PARTNER}),
            await ask(guard, "/members", headers={"origin": PARTNER}),
            await ask(guard, "/api/users/session", tokens, headers={"origin": PARTNER}),
            await ask(guard, API, method="POST", headers={"origin": PARTNER}),
        ):
            assert leave(answer) == allowed
            assert "origin" in ", ".join(answer.all("vary")).lower()
        public = await ask(guard, "/open", headers={"origin": PARTNER})
    assert leave(public) == {}, "what is public says the app"


async def test_without_trusted_origins_nothing_is_said() -> None:
    async with world() as here:
        headers = asking("http://localhost:8000")
        answer = await ask(here.kit.wrap(App()), method="OPTIONS", headers=headers)
    assert answer.status == 401
    assert leave(answer) == {}


def around(here: World, app: App) -> CORSMiddleware:
    guard = here.kit.wrap(app, RULES)
    return CORSMiddleware(guard, allow_origins=[PARTNER], allow_credentials=True)


def within(here: World, app: App) -> AuthMiddleware:
    inner = CORSMiddleware(app, allow_origins=[PARTNER], allow_credentials=True)
    return here.kit.wrap(inner, RULES)


@pytest.mark.parametrize("place", [around, within])
@pytest.mark.parametrize("trusted", ["", PARTNER])
async def test_an_apps_own_cors_goes_on_working(place: object, trusted: str) -> None:
    assert callable(place)
    async with world(trusted_origins=trusted) as here:
        site = place(here, App())
        tokens = await visitor(here)
        read = await ask(site, "/members", tokens, headers={"origin": PARTNER})
        asked = asking(PARTNER, "GET", "content-type")
        preflight = await ask(site, "/members", method="OPTIONS", headers=asked)
    assert read.all("access-control-allow-origin") == [PARTNER]
    assert read.all("access-control-allow-credentials") == ["true"]
    if trusted or place is around:
        assert preflight.status == 200
        assert preflight.all("access-control-allow-origin") == [PARTNER]
    else:
        assert preflight.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"content-type": "application/json"}, 403, id="X-03 nothing is said"),
        pytest.param({"origin": "http://localhost:8000"}, 200, id="X-03 Origin"),
        pytest.param({"sec-fetch-site": "same-origin"}, 200, id="X-03 Sec-Fetch-Site"),
        pytest.param({"referer": "http://localhost:8000/x"}, 200, id="X-03 Referer"),
    ],
)
async def test_strictly_a_request_says_where_it_comes_from(
    headers: dict[str, str], status: int
) -> None:
    async with world(strict_origin=True) as here:
        guard = here.kit.wrap(App(), RULES)
        tokens = await visitor(here)
        answer = await ask(guard, "/members", tokens, method="POST", headers=headers)
        lax = {"content-type": "application/json"}
        api = await ask(guard, "/api/users/logout", tokens, method="POST", headers=lax)
        read = await ask(guard, "/members", tokens)
    assert answer.status == status
    assert (api.status, api.code) == (403, "cross_site")
    assert read.status == 200
