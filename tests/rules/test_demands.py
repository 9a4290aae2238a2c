"""What rules may demand beside a sign-in: which rule counts where, what a lack is answered, and how
it is cured."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from authkit_asgi import PathRules, Rule, guard
from authkit_asgi.core.demands import Demand, seconds_of
from authkit_asgi.core.paths import Access
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.events import Reauthenticated
from authkit_asgi.features import Plug, Services
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import WatchedStore, code_of, user_of
from tests.middleware.knocking import (
    NAVIGATION,
    App,
    ask,
    claims_in,
    owner_of,
    session_of,
    shake_hands,
    visitor,
)
from tests.world import BASE_URL, PASSWORD, Browser, World, world

VERIFIED, ADMIN, FRESH = Demand(True), Demand(scopes=frozenset(["admin"])), Demand(fresh=600)
ALL = VERIFIED | ADMIN | Demand(fresh=60)
DEMANDING: list[str | Rule] = [
    Rule("/billing/*", verified=True),
    Rule("/admin", "/admin/*", scope="admin"),
    Rule("/settings/*", fresh="10m"),
    Rule("/settings/card", fresh=60, verified=True),
    Rule("/admin/danger/*", fresh="10m"),
    "/admin/help",
    "/plain",
]
RULES = PathRules(public=["/", "/admin/logo.svg", "/open/*"], auth=["/door"], protected=DEMANDING)


@pytest.mark.parametrize(
    ("path", "demand"),
    [
        pytest.param("/plain", None, id="a plain pattern"),
        pytest.param("/unnamed", None, id="P-01 what no rule names"),
        pytest.param("/billing/1", VERIFIED, id="below"),
        pytest.param("/billing/1/2", VERIFIED, id="far below"),
        pytest.param("/billing", None, id="below is not itself"),
        pytest.param("/billings/1", None, id="P-07 only shares letters"),
        pytest.param("/admin", ADMIN, id="one of two patterns"),
        pytest.param("/admin/", ADMIN, id="P-08 with a slash"),
        pytest.param("/admin/users", ADMIN, id="the other one"),
        pytest.param("/admin/danger/x", ADMIN | FRESH, id="two rules, both apply"),
        pytest.param("/admin/help", ADMIN, id="a more specific plain one takes nothing away"),
        pytest.param("/settings/card", VERIFIED | Demand(fresh=60), id="the shorter time"),
        pytest.param("/settings/card/", VERIFIED | Demand(fresh=60), id="P-08 and its twin"),
        pytest.param("/ADMIN/users", ADMIN, id="P-09 upper case closes, and never opens"),
        pytest.param("/Settings/Card", VERIFIED | Demand(fresh=60), id="P-09 mixed case"),
        pytest.param("//billing/1", ALL, id="P-05 an empty segment: all that any rule demands"),
        pytest.param("/x/../admin", ALL, id="P-05 up and over"),
        pytest.param("/plain;/../admin", ALL, id="P-05 a path parameter"),
        pytest.param("/x\\admin", ALL, id="P-04 a backslash"),
        pytest.param("/%61dmin", ALL, id="P-06 encoded still"),
        pytest.param("*", ALL, id="P-03 no path at all"),
    ],
)
def test_every_rule_that_covers_a_path_applies(path: str, demand: Demand | None) -> None:
    """SECURITY P-05, P-08, P-09."""
    assert RULES.ruling(path) == (Access.PROTECTED, demand)
    assert RULES.match(path) is Access.PROTECTED


@pytest.mark.parametrize(
    ("path", "access"),
    [("/", Access.PUBLIC), ("/admin/logo.svg", Access.PUBLIC), ("/door", Access.AUTH)],
)
def test_nothing_is_demanded_where_another_rule_opens(path: str, access: Access) -> None:
    assert RULES.ruling(path) == (access, None)


@pytest.mark.parametrize(
    ("root", "path", "demand"),
    [
        pytest.param("/app", "/app/admin/x", ADMIN, id="the root is left in"),
        pytest.param("/app", "/admin/x", ADMIN, id="the root is cut off"),
        pytest.param("/app", "/appplain/x", None, id="no boundary, and nothing behind it"),
        pytest.param("/app", "/app/app/admin", None, id="cut off once"),
        pytest.param("/x", "/xbilling/1", VERIFIED, id="P-10 routers that forget the boundary"),
        pytest.param("/x", "/y/x/billing/1", VERIFIED, id="P-10 routers that cut anywhere"),
        pytest.param("/billing", "/billing/plain", VERIFIED, id="P-10 the whole path is covered"),
        pytest.param("/billing", "/billing/admin", ADMIN | VERIFIED, id="P-10 both readings"),
    ],
)
def test_of_two_readings_both_count(root: str, path: str, demand: Demand | None) -> None:
    """SECURITY P-10."""
    assert RULES.ruling(path, root) == (Access.PROTECTED, demand)


def test_an_encoded_slash_goes_around_no_demand() -> None:
    """SECURITY P-05: `/billing%2F1` may be one segment, or two."""
    assert RULES.ruling("/billing/1", "", b"/billing%2f1") == (Access.PROTECTED, VERIFIED)
    assert RULES.ruling("/open/x/y", "", b"/open/x%2Fy") == (Access.PROTECTED, None)


@pytest.mark.parametrize(
    ("span", "seconds"), [("30s", 30), ("10m", 600), ("12h", 43200), ("7d", 604800), (90, 90)]
)
def test_a_time_is_seconds_or_a_short_text(span: str | float, seconds: float) -> None:
    assert seconds_of(span) == seconds


@pytest.mark.parametrize(
    "span", ["", "10", "m", "10 m", "-1m", "1.5h", "10M", 0, -1, True, float("nan"), float("inf")]
)
def test_any_other_time_is_refused(span: Any) -> None:
    with pytest.raises(ValueError, match="fresh="):
        Rule("/x", fresh=span)


def test_mistakes_are_found_when_the_rules_are_written() -> None:
    with pytest.raises(ValueError, match="names no path"):
        Rule(verified=True)
    with pytest.raises(ValueError, match="is no scope"):
        Rule("/x", scope=['say "please"'])
    with pytest.raises(ValueError, match="is not a pattern"):
        PathRules(protected=[Rule("docs", verified=True)])
    with pytest.raises(ValueError, match="only protected paths can demand"):
        PathRules(public=[Rule("/x", verified=True)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="give a list"):
        PathRules(protected=Rule("/x", verified=True))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stands in two lists"):
        PathRules(public=["/x"], protected=[Rule("/x", verified=True)])


async def test_a_demand_that_nobody_could_ever_meet_is_refused_at_the_start() -> None:
    rules = PathRules(protected=[Rule("/x", verified=True)])
    async with world(token_claims=("username", "isAdmin")) as here:
        with pytest.raises(ValueError, match="isVerified among AUTHKIT_TOKEN_CLAIMS"):
            here.kit.wrap(App(), rules)
        with pytest.raises(ValueError, match="isAdmin among AUTHKIT_TOKEN_CLAIMS"):
            AuthMiddleware(
                App(),
                kit=(await other(token_claims=())).kit,
                rules=PathRules(protected=[Rule("/x", scope="admin")]),
            )
    async with world(features=()) as here:
        fresh = [Rule("/x", fresh="10m")]
        with pytest.raises(ValueError, match="needs the feature Reauthenticate"):
            here.kit.wrap(App(), PathRules(protected=fresh))
        here.kit.wrap(App(), PathRules(protected=fresh, reauthenticate="/again"))


async def other(**changes: Any) -> World:
    async with world(**changes) as here:
        return here


# --- what a lack is answered ----------------------------------------------------------------


class Here:
    """An app behind the demanding rules, and people who lack one thing each."""

    def __init__(self, town: World) -> None:
        self.town = town
        self.inner = App()
        self.app = town.kit.wrap(self.inner, RULES)

    async def person(self, name: str, **changes: Any) -> dict[str, str]:
        tokens = await visitor(self.town, name)
        user = await owner_of(self.town, tokens)
        changed = await self.town.kit.services.accounts.change(user, changes)
        assert changed is not None
        return await session_of(self.town, changed)


STALE = (401, "reauthentication_required")


@pytest.mark.parametrize(
    ("path", "who", "status", "code", "challenge"),
    [
        ("/billing/1", "member", 403, "email_not_verified", ""),
        ("/billing/1", "verified", 200, "", ""),
        ("/admin", "verified", 403, "missing_scope", 'error="insufficient_scope", scope="admin"'),
        ("/admin", "admin", 200, "", ""),
        ("/admin/danger/x", "admin", 200, "", ""),
        ("/settings/x", "member", 200, "", ""),
        ("/settings/x", "stale", *STALE, 'error="insufficient_user_authentication"'),
        ("/settings/x", "stale", *STALE, 'max_age="600"'),
        ("/settings/card", "stale", 403, "email_not_verified", ""),
        ("//admin", "verified", 403, "missing_scope", ""),
        ("/plain", "stale", 200, "", ""),
        ("/admin", "nobody", 401, "not_signed_in", 'Bearer realm="authkit"'),
    ],
)
async def test_a_lack_is_told_by_a_code_of_its_own(
    path: str, who: str, status: int, code: str, challenge: str
) -> None:
    """The same for every method, and for HTTP and WebSocket (SECURITY P-11, P-13)."""
    async with world(require_verified_email=False) as town:
        here = Here(town)
        changes: dict[str, Any] = {"is_verified": who in ("verified", "admin")}
        changes["is_admin"] = who == "admin"
        tokens = await here.person("ada", **changes) if who != "nobody" else {}
        if who == "stale":
            town.clock.pass_(seconds=601)
        for method in ("GET", "HEAD", "POST", "PURGE"):
            own = {"sec-fetch-site": "same-origin"}
            answer = await ask(here.app, path, tokens, method=method, headers=own)
            assert answer.status == status, method
            if code and method != "HEAD":
                assert answer.code == code
            assert challenge in answer.header("www-authenticate")
        origin = {"origin": BASE_URL}
        denied = await shake_hands(here.app, path, tokens, headers=origin)
        allowed = {"type": "websocket.accept"}
        assert denied == [allowed if status == 200 else {**CLOSED, "code": 4000 + status}]
        extended: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
        told = await shake_hands(here.app, path, tokens, headers=origin, **extended)
        if code:
            assert (told[0]["status"], json.loads(told[1]["body"])["code"]) == (status, code)
        assert len(here.inner.seen) == (6 if status == 200 else 0)


CLOSED = {"type": "websocket.close"}


async def test_a_page_leads_to_the_password_and_back() -> None:
    """With a way back that is a path of this site (SECURITY P-19, R-03)."""
    async with world() as town:
        here = Here(town)
        tokens = await here.person("ada")
        town.clock.pass_(seconds=601)
        answer = await ask(here.app, "/settings/x?a=1", tokens, headers=NAVIGATION)
        assert answer.status == 303
        assert answer.header("location") == "/user/reauthenticate?next=/settings/x%3Fa%3D1"
        # Where the way back would lead elsewhere there is none.
        answer = await ask(here.app, "//evil/settings", tokens, headers=NAVIGATION)
        assert (answer.status, answer.code) == (403, "missing_scope")
        # HTMX is told where to go by a header.
        htmx = {"hx-request": "true", "hx-current-url": f"{BASE_URL}/settings/x"}
        answer = await ask(here.app, "/settings/part", tokens, headers=htmx)
        assert answer.code == "reauthentication_required"
        assert answer.header("hx-redirect") == "/user/reauthenticate?next=/settings/x"


async def test_a_strange_path_leads_nowhere_else() -> None:
    async with world() as town:
        app = town.kit.wrap(App(), PathRules(protected=[Rule("/s/*", fresh=60)]))
        tokens = await visitor(town)
        town.clock.pass_(seconds=61)
        answer = await ask(app, "//evil.example/s", tokens, headers=NAVIGATION)
        assert (answer.status, answer.header("location")) == (303, "/user/reauthenticate")


async def test_new_tokens_reach_a_browser_that_is_held_back() -> None:
    """Exchanged on the way and then kept back, they would cost the session (SECURITY S-08)."""
    async with world() as town:
        here = Here(town)
        tokens = await here.person("ada")
        town.clock.pass_(hours=2)
        for path, headers in (("/settings/x", NAVIGATION), ("/admin", {}), ("/settings/x", {})):
            answer = await ask(here.app, path, tokens, headers=headers)
            assert answer.status in (303, 401, 403)
            assert answer.cookies.keys() == {"token", "refreshToken"}
            tokens = answer.cookies
            town.clock.pass_(hours=2)


# --- how it is cured ------------------------------------------------------------------------


def site(town: World) -> AuthMiddleware:
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"for {request.user.display_name}")

    async def look(request: Request) -> Response:
        return PlainTextResponse(guard("authenticated", verified=True, fresh="10m")(request).id)

    app = Starlette(routes=[Route("/settings/x", page), Route("/look", look)])
    return town.kit.wrap(app, PathRules(protected=[Rule("/*", fresh="10m")], public=["/look"]))


async def test_the_password_once_more_opens_what_was_closed() -> None:
    """S-18, by the page and by the API, though a rule covers these two themselves."""
    async with world() as town:
        await town.person()
        async with Browser(site(town)) as browser:
            await browser.sign_in()
            assert (await browser.get("/settings/x")).text == "for ada"
            assert (await browser.get("/look")).status_code == 200
            town.clock.pass_(seconds=601)
            assert (await browser.get("/look")).status_code == 401
            away = await browser.navigate("/settings/x")
            assert away.status_code == 303
            page = await browser.navigate(away.headers["location"])
            assert page.status_code == 200
            assert 'value="/settings/x"' in page.text
            wrong = {"password": "not it at all", "next": "/settings/x"}
            again = await browser.post("/user/reauthenticate", data=wrong)
            assert again.status_code == 400
            assert "not it at all" not in again.text
            right = {"password": PASSWORD, "next": "/settings/x"}
            back = await browser.post("/user/reauthenticate", data=right)
            assert (back.status_code, back.headers["location"]) == (303, "/settings/x")
            assert (await browser.get("/settings/x")).status_code == 200
            assert (await browser.get("/look")).status_code == 200
            town.clock.pass_(seconds=601)
            assert code_of(await browser.get("/settings/x")) == STALE
            proved = await browser.api("POST", "/reauthenticate", {"password": PASSWORD})
            assert proved.status_code == 200
            assert (await browser.get("/settings/x")).status_code == 200
            assert [type(event) for event in town.ear.heard].count(Reauthenticated) == 2


async def test_no_way_back_leads_to_another_site() -> None:
    async with world() as town:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            for target in ("https://evil.example/", "//evil.example", "/\\evil", "/x/..//evil"):
                page = await browser.get("/user/reauthenticate", params={"next": target})
                assert "evil" not in page.text
                sent = {"password": PASSWORD, "next": target}
                answer = await browser.post("/user/reauthenticate", data=sent)
                assert answer.headers["location"] == "/user/dashboard"


async def auth_time(town: World, browser: Browser) -> int:
    return claims_in(town, browser.tokens()["token"]).auth_time


async def test_only_a_proof_renews_the_time_of_the_last_proof() -> None:
    """Neither an exchange nor new claims do; a changed password does (SECURITY S-18)."""
    async with world() as town:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            began = int(town.clock())
            assert await auth_time(town, browser) == began
            town.clock.pass_(hours=2)
            assert (await browser.get("/members")).status_code == 200
            assert claims_in(town, browser.tokens()["token"]).generation == 1
            assert (await browser.api("PATCH", "/profile", {"bio": "x"})).status_code == 200
            assert await auth_time(town, browser) == began
            change = {"currentPassword": PASSWORD, "newPassword": "another horse entirely"}
            assert (await browser.api("POST", "/change-password", change)).status_code == 200
            assert await auth_time(town, browser) == int(town.clock())


async def test_a_copied_access_token_gains_nothing_from_the_owners_proof() -> None:
    """Its holder may change a name and so get a token with new claims, and not with a new proof
    (SECURITY S-18)."""
    async with world() as town:
        await town.person()
        async with town.browser() as owner, town.browser() as thief:
            await owner.sign_in()
            thief.take_tokens({"token": owner.tokens()["token"]})
            town.clock.pass_(minutes=20)
            proved = await owner.api("POST", "/reauthenticate", {"password": PASSWORD})
            assert proved.status_code == 200
            before = await auth_time(town, thief)
            changed = await thief.api("PATCH", "/profile", {"bio": "mine"})
            assert changed.status_code == 200
            assert await auth_time(town, thief) == before
            assert await auth_time(town, owner) == before + 1200


async def test_a_session_of_an_older_version_was_proved_when_it_was_opened() -> None:
    async with world() as town:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            session_id = claims_in(town, browser.tokens()["token"]).session_id
            began = int(town.clock())
            await town.kit.store.swap(SESSIONS, session_id, expect={}, change={"auth_time": None})
            town.clock.pass_(hours=2)
            assert (await browser.get("/members")).status_code == 200
            assert await auth_time(town, browser) == began


async def test_a_token_of_an_older_version_is_a_stale_one() -> None:
    async with world() as town:
        here = Here(town)
        tokens = await here.person("ada")
        claims = claims_in(town, tokens["token"])
        assert claims.auth_time == int(town.clock())
        old_token = town.kit.guard.tokens.mint(ACCESS, replace(claims, auth_time=0))
        answer = await ask(here.app, "/settings/x", {"token": old_token})
        assert (answer.status, answer.code) == STALE
        assert (await ask(here.app, "/plain", {"token": old_token})).status == 200


async def test_guesses_are_counted_as_those_of_a_sign_in() -> None:
    """SECURITY L-01, S-18: a stolen session must not guess on."""
    async with world() as town:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            answers = [
                code_of(
                    await browser.api("POST", "/reauthenticate", {"password": f"guess {n} ..."})
                )
                for n in range(11)
            ]
            assert answers == [(400, "wrong_password")] * 10 + [(429, "rate_limited")]
            right = await browser.api("POST", "/reauthenticate", {"password": PASSWORD})
            assert right.status_code == 429


async def test_an_account_without_a_password_is_told_the_same() -> None:
    async with world() as town:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            user = await user_of(town)
            await town.kit.services.accounts.change(user, {"password_hash": None})
            answer = await browser.api("POST", "/reauthenticate", {"password": PASSWORD})
            assert code_of(answer) == (400, "wrong_password")


async def test_a_session_that_ended_elsewhere_is_not_brought_back() -> None:
    """SECURITY S-11: this worker has not heard of it yet."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town, world(store=store) as elsewhere:
        await town.person()
        async with town.browser() as browser:
            await browser.sign_in()
            await browser.get("/members")
            session_id = claims_in(town, browser.tokens()["token"]).session_id
            await elsewhere.kit.services.sessions.close(session_id, reason="x", now=town.clock())
            answer = await browser.api("POST", "/reauthenticate", {"password": PASSWORD})
            assert code_of(answer) == (401, "not_signed_in")
            assert "set-cookie" not in answer.headers


# --- scopes of an app's own -----------------------------------------------------------------


class Rights:
    """Gives everybody a scope, and tries to give more than it may."""

    name = "rights"
    needs = ()

    def plug(self, services: Services) -> Plug:
        return Plug(claims=lambda user: {"scope": "reports:read admin verified"})


async def test_a_features_claim_gives_scopes_but_none_of_ours() -> None:
    async with world(more=[Rights()], require_verified_email=False) as town:
        rules = PathRules(
            protected=[
                Rule("/reports", scope="reports:read"),
                Rule("/both", scope=["reports:read", "admin"]),
            ]
        )
        inner = App()
        app = town.kit.wrap(inner, rules)
        tokens = await visitor(town)
        assert (await ask(app, "/reports", tokens)).status == 200
        assert inner.who.credentials.scopes == ("authenticated", "verified", "reports:read")
        answer = await ask(app, "/both", tokens)
        assert answer.code == "missing_scope"
        assert 'scope="admin reports:read"' in answer.header("www-authenticate")
