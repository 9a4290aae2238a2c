"""What the rules say of each route, for each framework; and what is wrong with the rules."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, WebSocket, get, websocket
from litestar.static_files import create_static_files_router
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from authkit_asgi import AuthKit, AuthMiddleware, PathRules, Rule
from authkit_asgi.inspecting import UnknownApp
from authkit_asgi.inspecting.deciding import HANDSHAKE, Decision, decisions, explanation, faults
from authkit_asgi.inspecting.telling import explanation_told, routes_told
from authkit_asgi.inspecting.walking import Site, rules_of, site_of
from authkit_asgi.store.memory import MemoryStore
from tests.middleware.knocking import (
    NAVIGATION,
    App,
    ask,
    owner_of,
    session_of,
    shake_hands,
    visitor,
)
from tests.world import BASE_URL, settings, world

ROOT = Path(__file__).parents[2]


def kit() -> AuthKit:
    return AuthKit(settings(), store=MemoryStore())


async def answer(*args: Any, **more: Any) -> Any:
    return Response()


def starlette_app() -> Starlette:
    inner = [Route("/", answer), Route("/{id:int}/more", answer, methods=["POST"])]
    return Starlette(
        routes=[
            Route("/", answer),
            Route("/users/{id}", answer),
            Route("/files/{rest:path}", answer),
            WebSocketRoute("/ws/{room}", answer),
            Mount("/inner", routes=inner),
            Mount("/deep", Starlette(routes=[Mount("/er", routes=inner)])),
            Mount("/static", StaticFiles(directory=ROOT / "docs")),
            Mount("/other", App()),
        ]
    )


def fastapi_app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    router = APIRouter(prefix="/users")
    router.get("/{id}")(answer)
    router.websocket("/ws")(answer)
    app.include_router(router, prefix="/v1")
    sub = FastAPI(openapi_url=None)
    sub.post("/x")(answer)
    app.mount("/sub", sub)
    app.mount("/static", StaticFiles(directory=ROOT / "docs"))
    return app


def litestar_app() -> Litestar:
    @get("/users/{id:int}/files/{rest:path}")
    async def files() -> str:
        return ""

    @websocket("/ws")
    async def talk(socket: WebSocket[Any, Any, Any]) -> None: ...

    static = create_static_files_router(path="/static", directories=[ROOT / "docs"])
    return Litestar([files, talk, static], openapi_config=None)


def quart_app() -> Quart:
    app = Quart(__name__, static_folder=str(ROOT / "docs"))
    app.route("/users/<int:id>", methods=["GET", "POST"])(answer)
    app.route("/files/<path:rest>")(answer)
    app.websocket("/ws")(answer)
    return app


@pytest.mark.parametrize(
    ("app", "found"),
    [
        pytest.param(
            starlette_app(),
            {
                ("http", "/", "/"),
                ("http", "/users/{id}", "/users/{}"),
                ("http", "/files/{rest:path}", "/files/{*}"),
                ("websocket", "/ws/{room}", "/ws/{}"),
                ("http", "/inner/", "/inner/"),
                ("http", "/inner/{id:int}/more", "/inner/{}/more"),
                ("http", "/deep/er/", "/deep/er/"),
                ("http", "/deep/er/{id:int}/more", "/deep/er/{}/more"),
                ("mount", "/static/{*}", "/static/{*}"),
                ("mount", "/other/{*}", "/other/{*}"),
            },
            id="starlette",
        ),
        pytest.param(
            fastapi_app(),
            {
                ("http", "/v1/users/{id}", "/v1/users/{}"),
                ("websocket", "/v1/users/ws", "/v1/users/ws"),
                ("http", "/sub/x", "/sub/x"),
                ("mount", "/static/{*}", "/static/{*}"),
            },
            id="fastapi",
        ),
        pytest.param(
            litestar_app(),
            {
                ("http", "/users/{id:int}/files/{rest:path}", "/users/{}/files/{*}"),
                ("websocket", "/ws", "/ws"),
                ("http", "/static/{file_path:path}", "/static/{*}"),
            },
            id="litestar",
        ),
        pytest.param(
            quart_app(),
            {
                ("http", "/docs/<path:filename>", "/docs/{*}"),
                ("http", "/users/<int:id>", "/users/{}"),
                ("http", "/files/<path:rest>", "/files/{*}"),
                ("websocket", "/ws", "/ws"),
            },
            id="quart",
        ),
    ],
)
def test_every_route_is_found(app: Any, found: set[tuple[str, str, str]]) -> None:
    site = site_of(kit().wrap(app))
    routes = [route for route in site.routes if route not in site.own]
    assert {(route.kind, route.path, route.probe) for route in routes} == found


def test_the_kits_own_routes_are_told_apart_and_said_to_be_as_they_are() -> None:
    guard = kit()
    site = site_of(guard.wrap(starlette_app()))
    own = {route.path for route in site.own}
    prefix = guard.settings.api_path
    assert {prefix + route.path for route in guard.routes} <= own
    assert {"/user/login", "/user/assets/{*}"} <= own
    assert all(one.rule for one in decisions(site) if one.own)


@pytest.mark.parametrize("way", ["wrapped", "middleware", "added", "around", "mounted"])
def test_the_guard_is_found_wherever_it_stands(way: str) -> None:
    rules = PathRules(public=["/x"])
    guard = kit()
    routes: list[Any] = [Route("/x", answer)]
    if way == "middleware":
        inside = [Middleware(AuthMiddleware, kit=guard, rules=rules)]
        app: Any = Starlette(routes=routes, middleware=inside)
    elif way == "added":
        app = Starlette(routes=routes)
        app.add_middleware(AuthMiddleware, kit=guard, rules=rules)
    elif way == "around":
        app = Around(guard.wrap(Starlette(routes=routes), rules))
    elif way == "mounted":
        routes += [Mount("/api/users", guard.api), Mount("/user", guard.pages)]
        app = AuthMiddleware(Starlette(routes=routes), kit=guard, rules=rules)
    else:
        app = guard.wrap(Starlette(routes=routes), rules)
    site = site_of(app)
    assert decided(site, "/x").rule == "/x"
    assert rules_of(app).match("/x").value == "public"
    if way == "mounted":
        assert decided(site, "/user/login").access.value == "auth"


class Around:
    """Some other middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *args: Any) -> None:
        await self.app(*args)


def test_what_cannot_be_read_is_said_in_a_sentence() -> None:
    with pytest.raises(UnknownApp, match=r"routes of tests\.middleware\.knocking\.App cannot be"):
        site_of(kit().wrap(App()))
    with pytest.raises(UnknownApp, match="There is no AuthMiddleware around starlette"):
        site_of(starlette_app())


def decided(site: Site, path: str) -> Decision:
    return next(one for one in decisions(site) if one.route.path == path)


RULES = PathRules(
    public=["/", "/static/*", "/users/me", "/nowhere"],
    protected=[
        Rule("/inner/*", scope="admin"),
        Rule("/inner/1/more", fresh="10m"),
        "/ws/*",
        "/users/*",
        "/user/login",
    ],
)


def test_each_route_has_its_decision_and_the_rules_behind_it() -> None:
    site = site_of(kit().wrap(starlette_app(), RULES))
    one = decided(site, "/inner/{id:int}/more")
    assert (one.access.value, one.demand, one.rule) == ("protected", "scope admin", "/inner/*")
    assert one.demanding == ("/inner/*",)
    assert one.varies == ("/inner/1/more",)
    one = decided(site, "/users/{id}")
    assert (one.access.value, one.rule, one.varies) == ("protected", "/users/*", ("/users/me",))
    assert decided(site, "/files/{rest:path}").rule is None
    assert decided(site, "/static/{*}").access.value == "public"
    lines = list(routes_told(decisions(site)))
    assert lines[0].split() == ["METHODS", "PATH", "WHO", "RULE"]
    assert "/users/*; otherwise at /users/me" in next(line for line in lines if "/users/{" in line)


def test_what_is_wrong_with_rules_is_found() -> None:
    """Rules that match nothing, rules that others shadow, and routes that no rule names."""
    site = site_of(kit().wrap(starlette_app(), RULES))
    found = {(one.code, one.what) for one in faults(site)}
    assert found == {
        ("matches_nothing", "/nowhere"),
        ("shadowed", "/user/login"),  # by the kit's own
        ("unclassified", "/files/{rest:path}"),
        ("unclassified", "/deep/er/"),
        ("unclassified", "/deep/er/{id:int}/more"),
        ("unclassified", "/other/{*}"),
    }
    rules = PathRules(
        public=["/", "/users/*", "/files/*", "/ws/*", "/static/*", "/inner/*"],
        protected=["/deep/*", "/other/*", "/inner/"],
    )
    assert [
        (one.code, one.what) for one in faults(site_of(kit().wrap(starlette_app(), rules)))
    ] == []
    app = Starlette(routes=[Route("/a/b", answer)])
    rules = PathRules(public=["/a/b"], protected=["/a/*", Rule("/a/b/*", "/*", verified=True)])
    assert {(one.code, one.what) for one in faults(site_of(kit().wrap(app, rules)))} == {
        ("shadowed", "/a/*"),
        ("matches_nothing", "/a/b/*"),
    }


def test_a_route_of_an_unknown_kind_is_a_fault_of_its_own() -> None:
    app = Starlette(routes=[Host("api.example.com", Starlette())])
    found = [one.code for one in faults(site_of(kit().wrap(app)))]
    assert found[0] == "unreadable"


# --- explain --------------------------------------------------------------------------------

EXPLAINED = PathRules(
    public=["/", "/open/*"],
    auth=["/door"],
    exclude=["/assets/*"],
    protected=[
        "/plain",
        Rule("/billing/*", verified=True),
        Rule("/admin/*", scope="admin"),
        Rule("/settings/*", fresh="10m"),
    ],
)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/open/x",
        "/door",
        "/assets/x",
        "/plain?a=1&b=%20",
        "/unnamed",
        "/billing/1",
        "/admin/x",
        "/settings/x",
        "//settings/x",
        "/a%2Fb",
        "/caf%C3%A9",
        "/user/login",
        "/user/reauthenticate",
    ],
)
async def test_what_is_explained_is_what_happens(method: str, target: str) -> None:
    """Each sentence is tried on the guard itself."""
    async with world(require_verified_email=False) as town:
        guard = AuthMiddleware(App(), kit=town.kit, rules=EXPLAINED)
        told = explanation(guard.rules, method, target)
        people: dict[str, dict[str, str]] = {"anonymous": {}}
        member = await owner_of(town, await visitor(town))
        people["stale"] = await session_of(town, member)
        town.clock.pass_(minutes=30)
        people["signed in"] = await session_of(town, member)
        people["unverified"] = await changed(town, "eve", is_verified=False)
        people["with admin"] = await changed(town, "bob", is_admin=True)
        assert {one.who for one in told.outcomes} <= people.keys()
        encoded, _, query = target.partition("?")
        for one in told.outcomes:
            if one.who == "stale" and "admin" in told.demand:
                continue  # who has everything but a recent proof is somebody else
            for kind, expected in (("page", one.page), ("program", one.program)):
                headers = NAVIGATION if kind == "page" else {"sec-fetch-site": "same-origin"}
                headers = {**headers, "sec-fetch-site": "same-origin"}
                actual = await ask(
                    guard,
                    unquote(encoded),
                    people[one.who],
                    method=method,
                    headers=headers,
                    raw_path=encoded.encode(),
                    query_string=query.encode(),
                )
                assert outcome_of(actual) == expected.partition(",")[0], (one.who, kind)


@pytest.mark.parametrize(
    "target", ["/open//x", "/open/%2E%2E/admin/x", "/open/a%2Fb", "/open/x;y", "/open/a%0Ab"]
)
def test_no_rule_is_named_that_does_not_decide(target: str) -> None:
    """What may be read in two ways is protected, although a public pattern covers it."""
    told = explanation(kit().rules_for(EXPLAINED), "GET", target)
    assert (told.access.value, told.rule, told.ambiguous) == ("protected", None, True)
    lines = list(explanation_told("GET", target, told))
    assert "  rule      none can: it may be read in two ways" in lines


@pytest.mark.parametrize(
    "target", ["/", "/door", "/plain", "/billing/1", "/admin/x", "/settings/x", "//x"]
)
async def test_a_handshake_is_explained_as_it_ends(target: str) -> None:
    async with world(require_verified_email=False) as town:
        guard = AuthMiddleware(App(), kit=town.kit, rules=EXPLAINED)
        people: dict[str, dict[str, str]] = {"anonymous": {}}
        member = await owner_of(town, await visitor(town))
        people["stale"] = await session_of(town, member)
        town.clock.pass_(minutes=30)
        people["signed in"] = await session_of(town, member)
        people["unverified"] = await changed(town, "eve", is_verified=False)
        told = explanation(guard.rules, HANDSHAKE, target)
        for one in told.outcomes:
            if one.who not in people or (one.who == "stale" and "admin" in told.demand):
                continue
            got = await shake_hands(
                guard,
                target,
                people[one.who],
                headers={"origin": BASE_URL},
                extensions={"websocket.http.response": {}},
            )
            actual = "passes"
            if got[0]["type"] != "websocket.accept":
                actual = f"{got[0]['status']} {json.loads(got[1]['body'])['code']}"
            assert one.page == one.program
            assert actual == one.page.partition(",")[0], one.who


async def changed(town: Any, name: str, **changes: Any) -> dict[str, str]:
    user = await owner_of(town, await visitor(town, name))
    user = await town.kit.services.accounts.change(user, changes)
    return await session_of(town, user)


def outcome_of(answered: Any) -> str:
    if answered.status == 200:
        return "passes"
    if answered.status == 303:
        return f"303 {answered.header('location')}"
    return f"{answered.status} {answered.code}"


# --- the commands ---------------------------------------------------------------------------

SITE = """
import sys
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"])
from django.core.asgi import get_asgi_application
from django.urls import include, path, re_path
from authkit_asgi import AuthKit, PathRules, Rule
def view(request, **more): ...
urlpatterns = [
    path("", view), path("users/<int:id>/", view), path("files/<path:rest>", view),
    path("blog/", include([path("", view), re_path(r"^(?P<year>[0-9]{4})/$", view)])),
    re_path(r"^robots\\.txt$", view), re_path(r"^old/colou?r/", view),
]
members = [Rule("/users/*", verified=True), "/files/*", "/old/*", "/blog/"]
rules = PathRules(public=["/", "/robots.txt", "/blog/*"], protected=members)
app = AuthKit().wrap(get_asgi_application(), rules)
"""


def command(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "authkit_asgi", *words],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AUTHKIT_BASE_URL": "http://localhost:8000",
            "AUTHKIT_DATABASE_URL": "memory:",
            "AUTHKIT_TOKEN_SECRET": secrets.token_hex(32),
            "AUTHKIT_REFRESH_TOKEN_SECRET": secrets.token_hex(32),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_routes_of_django_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "site_of_ours.py").write_text(SITE)
    done = command(tmp_path, "routes", "--check", "--json", "site_of_ours:app")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    found = {one["path"]: one for one in told["routes"] if not one["own"]}
    assert found.keys() == {
        "/",
        "/users/<int:id>/",
        "/files/<path:rest>",
        "/blog/",
        "/blog/{*}",
        "/robots.txt",
        "/old/{*}",
    }
    assert found["/users/<int:id>/"]["demands"] == "verified"
    assert found["/blog/{*}"]["access"] == "public"
    wrong = SITE.replace('"/old/*", ', "")
    (tmp_path / "another.py").write_text(wrong)
    done = command(tmp_path, "routes", "--check", "another:app")
    assert done.returncode == 1
    assert "unclassified  /old/{*}: no rule names it: protected by default" in done.stdout


def test_explain_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "site_of_ours.py").write_text(SITE)
    done = command(tmp_path, "explain", "get", "/users/1/", "--app", "site_of_ours:app")
    assert done.returncode == 0, done.stderr
    assert "rule      /users/*" in done.stdout
    assert "unverified  403 email_not_verified" in done.stdout
    assert "anonymous   303 /user/login?next=/users/1/; a program: 401" in done.stdout
    told = json.loads(command(tmp_path, "explain", "GET", "/user/dashboard", "--json").stdout)
    assert (told["access"], told["rule"]) == ("protected", "/user/dashboard")


FACTORIES = """
from authkit_asgi import AuthKit
from starlette.applications import Starlette
from starlette.routing import Route
def make_app(debug=False): return AuthKit().wrap(Starlette(routes=[Route("/x", make_app)]))
def fails(): raise KeyError("colour")
def takes(settings): ...
def gives(): return "an app"
"""


def test_an_app_that_a_factory_makes(tmp_path: Path) -> None:
    (tmp_path / "factories.py").write_text(FACTORIES)
    done = command(tmp_path, "routes", "--json", "factories:make_app()")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["routes"][0]["path"] == "/x"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nonsense", "names no app"),
        ("no_such_module:app", "cannot be imported"),
        ("sample_app.main:nothing", "has no nothing"),
        ("sample_app.frameworks.bare:app", "cannot be read: only those of Starlette"),
        ("sample_app.frameworks.starlette:home", "There is no AuthMiddleware around"),
        ("sample_app.main.py:app", "cannot be imported"),
        ("./sample_app/main.py:app", "names no app"),
        ("sample_app.main:app(1)", "names no app"),
        ("sample_app.frameworks.starlette:routes", "is no ASGI app: it is of type list"),
        ("factories:make_app", "makes an app: write factories:make_app()"),
        ("factories:fails()", "factories:fails() makes no app: KeyError: 'colour'"),
        ("factories:takes()", "factories:takes() makes no app: TypeError"),
        ("factories:gives()", "factories:gives() is no ASGI app: it is of type str"),
        ("broken:app", "cannot be read: ModuleNotFoundError: No module named 'no_such_urls'"),
    ],
)
def test_what_is_no_app_is_said_in_a_sentence(target: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "factories.py").write_text(FACTORIES)
    (tmp_path / "broken.py").write_text(
        SITE.replace("ROOT_URLCONF=__name__", "ROOT_URLCONF='no_such_urls'")
    )
    done = command(tmp_path, "routes", "--json", target)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    error = json.loads(done.stderr.splitlines()[-1])
    assert error["code"] == "app_unknown"
    assert sentence in error["error"]
