"""With `mode="report"` a living app goes on as before, and the log says what would be refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from authkit_asgi import PathRules, Rule
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.new_keys import write_pair
from authkit_asgi.remote import RemoteKit, service_settings
from authkit_asgi.store.memory import MemoryStore
from tests.middleware.knocking import (
    Answered,
    App,
    BrittleStore,
    ask,
    shake_hands,
    visitor,
)
from tests.world import World, world

RULES = PathRules(
    public=["/open"],
    auth=["/welcome"],
    exclude=["/health"],
    protected=[
        Rule("/admin/*", scope="admin"),
        Rule("/settings/*", fresh="10m"),
    ],
)
CROSS_SITE = {"sec-fetch-site": "cross-site"}
PAGE = {"sec-fetch-mode": "navigate"}
EVIL = {"origin": "https://evil.example"}
OWN = {"origin": "http://localhost:8000"}
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


def both(here: World) -> tuple[AuthMiddleware, AuthMiddleware, App]:
    """One that refuses, and one that reports."""
    app = App()
    strict = AuthMiddleware(App(), kit=here.kit, rules=RULES)
    return strict, AuthMiddleware(app, kit=here.kit, rules=RULES, mode="report"), app


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "authkit_asgi.report")
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[str]:
    """What was reported, without the line that says that it is."""
    said = [one.getMessage() for one in told.records if one.name == "authkit_asgi.report"]
    return [line.removeprefix("authkit-asgi ") for line in said[1:]]


def summary(answer: Answered) -> str:
    if answer.status == 303:
        return f"303 {answer.header('location')}"
    return f"{answer.status} {answer.code}"


@pytest.mark.parametrize(
    ("who", "path", "request_", "line"),
    [
        pytest.param(
            "nobody",
            "/members",
            {},
            "would answer 401 not_signed_in to 'GET /members' (protected by default)",
            id="nobody",
        ),
        pytest.param(
            "nobody",
            "/admin/x",
            {"method": "DELETE"},
            "would answer 401 not_signed_in to 'DELETE /admin/x' (by the rule /admin/*;"
            " more is demanded by /admin/*)",
            id="nobody, where more is demanded",
        ),
        pytest.param(
            "ada",
            "/admin/x",
            {},
            "would answer 403 missing_scope to 'GET /admin/x' (by the rule /admin/*;"
            " more is demanded by /admin/*)",
            id="no admin",
        ),
        pytest.param(
            "ada",
            "/settings/x",
            {},
            "would answer 401 reauthentication_required to 'GET /settings/x' (by the rule"
            " /settings/*; more is demanded by /settings/*)",
            id="no recent proof",
        ),
        pytest.param(
            "ada",
            "/members",
            {"method": "POST", "headers": CROSS_SITE},
            "would answer 403 cross_site to 'POST /members' (protected by default)",
            id="another site",
        ),
        pytest.param(
            "ada",
            "members",
            {},
            "would answer 400 bad_path to 'GET members' (which is no path)",
            id="no path",
        ),
        pytest.param(
            "ada",
            "/welcome",
            {},
            "would answer 303 /user/dashboard to 'GET /welcome' (by the rule /welcome)",
            id="signed in, where visitors go",
        ),
    ],
)
async def test_what_would_be_refused_is_told_and_passed_on(
    told: pytest.LogCaptureFixture, who: str, path: str, request_: Mapping[str, Any], line: str
) -> None:
    async with world() as here:
        strict, lenient, app = both(here)
        tokens = await visitor(here) if who == "ada" else None
        here.clock.pass_(minutes=20)
        refused = await ask(strict, path, tokens, **request_)
        assert lines(told) == []
        assert (await ask(lenient, path, tokens, **request_)).status == 200
        assert lines(told) == [line]
        assert summary(refused) in line
        assert app.who.is_authenticated is (who == "ada" and "site" not in line and path[0] == "/")


@pytest.mark.parametrize(
    ("who", "path", "request_", "code"),
    [
        pytest.param("nobody", "/members", OWN, "401 not_signed_in", id="nobody"),
        pytest.param("ada", "/members", EVIL, "403 cross_site", id="another site"),
        pytest.param("ada", "/open", EVIL, "403 cross_site", id="another site, at an open door"),
        pytest.param("ada", "/admin/x", OWN, "403 missing_scope", id="no admin"),
        pytest.param("ada", "*", OWN, "400 bad_path", id="no path"),
    ],
)
async def test_a_handshake_too(
    told: pytest.LogCaptureFixture, who: str, path: str, request_: dict[str, str], code: str
) -> None:
    async with world() as here:
        strict, lenient, app = both(here)
        tokens = await visitor(here) if who == "ada" else None
        start, _ = await shake_hands(strict, path, tokens, headers=request_, **DENIAL)
        assert start["status"] == int(code[:3])
        assert await shake_hands(lenient, path, tokens, headers=request_) == [
            {"type": "websocket.accept"}
        ]
        [line] = lines(told)
        assert line.startswith(f"would answer {code} to 'WebSocket {path}' (")
        assert app.who.is_authenticated is (code == "403 missing_scope")


async def test_nothing_is_told_of_what_passes_anyhow(told: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        _, lenient, app = both(here)
        tokens = await visitor(here)
        for path in ("/open", "/health", "/members", "/settings/x"):
            assert (await ask(lenient, path, tokens, headers=PAGE)).status == 200
        assert (await ask(lenient, "/open")).status == 200
        assert lines(told) == []
        assert len(app.seen) == 5


async def test_a_refresh_within_the_request_happens_all_the_same() -> None:
    async with world() as here:
        _, lenient, app = both(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=2)
        answer = await ask(lenient, "/members", tokens)
        assert len(answer.all("set-cookie")) == 2
        assert app.who.display_name == "ada"


async def test_an_outage_is_told_and_the_app_is_asked(told: pytest.LogCaptureFixture) -> None:
    store = BrittleStore(MemoryStore())
    async with world(store=store) as here:
        _, lenient, app = both(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=2)
        store.down = True
        answer = await ask(lenient, "/members", tokens)
        store.down = False
        assert (answer.status, answer.all("set-cookie")) == (200, [])
        assert not app.who.is_authenticated
        assert lines(told) == [
            "would answer 503 unavailable to 'GET /members' (protected by default)"
        ]


async def test_the_kits_own_routes_are_guarded_all_the_same() -> None:
    async with world() as here:
        app = App()
        site = here.kit.wrap(app, RULES, mode="report")
        for path in ("/api/users/profile", "/user/dashboard", "/api/users/sessions"):
            assert (await ask(site, path)).status == 401
            assert (await ask(site, path, root_path="/root")).status == 401
            assert (await ask(site, f"/root{path}", root_path="/root")).status == 401
            # Routers that cut at the root wherever it stands, or forget the boundary.
            assert (await ask(site, f"/x/root{path}", root_path="/root")).status == 401
            assert (await ask(site, f"/root{path[1:]}", root_path="/root")).status == 401
        assert app.seen == []
        for path in ("/user", "/users", "/user-list", "/api/users-list"):
            status = (await ask(site, path)).status
            assert status == (200 if path != "/user" else 401)
        assert len(app.seen) == 3
        tokens = await visitor(here)
        answer = await ask(site, "/api/users/sessions", tokens, method="DELETE", headers=CROSS_SITE)
        assert answer.status == 403


async def test_no_stranger_writes_a_line_of_the_log(told: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        _, lenient, _ = both(here)
        await ask(lenient, "/x\r\nWould answer 200\x1b[2J" + "y" * 5000, method="GET\n")
        [line] = lines(told)
        assert line.isprintable()
        assert len(line) < 600


async def test_it_says_so_when_it_begins(told: pytest.LogCaptureFixture) -> None:
    async with world() as here:
        AuthMiddleware(App(), kit=here.kit, rules=RULES, mode="report")
    assert [one.getMessage() for one in told.records] == [
        "authkit-asgi only reports: it refuses nothing of the app"
    ]


async def test_another_mode_is_a_mistake() -> None:
    async with world() as here:
        off: Any = "off"
        with pytest.raises(ValueError, match="mode='off'"):
            here.kit.wrap(App(), mode=off)


async def test_a_service_without_accounts_reports_too(
    told: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    write_pair(tmp_path / "key", tmp_path / "key.pub", "EdDSA")
    public = (tmp_path / "key.pub").read_text()
    settings = service_settings(base_url="http://localhost:8001")
    kit = RemoteKit(settings, issuer="http://localhost:8000", public_keys=[public])
    site = kit.wrap(App(), RULES, mode="report")
    for path in ("/members", "/user/photos", "/api/users/7"):  # the kit has no routes here
        assert (await ask(site, path)).status == 200
    assert len(lines(told)) == 3


@pytest.mark.parametrize(
    ("path", "scope", "why"),
    [
        ("/docs/../x", {}, "protected, as routers may read it otherwise"),
        ("/docs/x", {"raw_path": b"/docs%2fx"}, "protected, as routers may read it otherwise"),
        ("/docs/new/", {}, "protected, as routers may read it otherwise"),
        ("/docs/root/x", {"root_path": "/root"}, "protected, as routers may read it otherwise"),
        ("/docs/new", {}, "by the rule /docs/new"),
        ("/x", {}, "protected by default"),
    ],
)
async def test_no_rule_is_blamed_for_what_it_does_not_say(
    told: pytest.LogCaptureFixture, path: str, scope: dict[str, Any], why: str
) -> None:
    rules = PathRules(public=["/docs/*"], protected=["/docs/new"])
    async with world() as here:
        await ask(AuthMiddleware(App(), kit=here.kit, rules=rules, mode="report"), path, **scope)
        [line] = lines(told)
        assert line.endswith(f"({why})")


async def test_nothing_is_demanded_where_visitors_go(told: pytest.LogCaptureFixture) -> None:
    rules = PathRules(auth=["/welcome"], protected=[Rule("/*", scope="admin")])
    async with world() as here:
        guard = AuthMiddleware(App(), kit=here.kit, rules=rules, mode="report")
        await ask(guard, "/welcome", await visitor(here))
        [line] = lines(told)
        assert line.endswith("(by the rule /welcome)")


async def test_a_preflight_is_left_to_the_app(told: pytest.LogCaptureFixture) -> None:
    friend = {"origin": "https://friend.example", "access-control-request-method": "PUT"}
    async with world(trusted_origins=["https://friend.example"]) as here:
        strict, lenient, app = both(here)
        assert (await ask(strict, "/members", method="OPTIONS", headers=friend)).body == b""
        answer = await ask(lenient, "/members", method="OPTIONS", headers=friend)
        assert answer.body == b"members only"
        assert len(app.seen) == 1
        assert not app.who.is_authenticated
        assert lines(told) == []  # the guard would give leave
        stranger = {**friend, "origin": "https://evil.example"}
        await ask(lenient, "/members", method="OPTIONS", headers=stranger)
        assert lines(told) == [
            "would answer 401 not_signed_in to 'OPTIONS /members' (protected by default)"
        ]
