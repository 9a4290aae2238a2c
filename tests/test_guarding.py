"""The second look inside a handler, for the day on which a path rule is wrong (SECURITY P-22)."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from authkit_asgi import PathRules, guard
from authkit_asgi.core.identity import ANONYMOUS, Identity, credentials_of
from authkit_asgi.web.asgi import Message
from tests.world import Browser, World, world

STEPS = [(), ("authenticated",), ("verified",), ("admin",), ("verified", "admin"), ("nonsense",)]


def careless_app() -> Starlette:
    """Its path rules leave everything open; its handlers look for themselves."""

    async def mine(request: Request) -> Response:
        return PlainTextResponse(guard()(request).id)

    async def billing(request: Request) -> Response:
        return PlainTextResponse(guard("verified")(request).display_name)

    async def admin(request: Request) -> Response:
        guard("verified", "admin")(request)
        raise AssertionError("nobody in this test is an administrator")

    @requires(["authenticated", "verified"])
    async def by_starlette(request: Request) -> Response:
        return PlainTextResponse(request.user.display_name)

    async def socket(websocket: WebSocket) -> None:
        guard()(websocket)

    return Starlette(
        routes=[
            Route("/mine", mine),
            Route("/billing", billing),
            Route("/admin", admin),
            Route("/by-starlette", by_starlette),
            WebSocketRoute("/socket", socket),
        ]
    )


def browser_of(here: World) -> Browser:
    return Browser(here.kit.wrap(careless_app(), PathRules(default="public")))


async def test_a_handler_turns_away_nobody_although_the_rules_let_them_in() -> None:
    async with world() as here, browser_of(here) as browser:
        for path in ("/mine", "/billing", "/admin"):
            answer = await browser.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await browser.get("/by-starlette")).status_code == 403


async def test_whoever_is_signed_in_passes_as_far_as_their_scopes_reach() -> None:
    async with world() as here, browser_of(here) as browser:
        await here.person()
        signed_in = await browser.sign_in()
        answer = await browser.get("/mine")
        assert answer.text == signed_in.json()["data"]["user"]["id"]
        assert (await browser.get("/billing")).text == "ada"
        assert (await browser.get("/by-starlette")).text == "ada"
        assert (await browser.get("/admin")).status_code == 403


async def test_a_socket_is_denied_before_it_is_accepted() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with world() as here:
        app = here.kit.wrap(careless_app(), PathRules(default="public"))
        scope: dict[str, Any] = {"type": "websocket", "path": "/socket", "headers": []}
        scope["extensions"] = {"websocket.http.response": {}}
        await app(scope, receive, send)
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 401


def identity(**claims: object) -> Identity:
    return Identity(
        id="1",
        session_id="s",
        generation=0,
        epoch=0,
        expires_at=0,
        claims=claims,
        credentials=credentials_of(claims),
    )


class LooksSignedIn:
    """Some other middleware's idea of a user."""

    is_authenticated = True
    identity = "1"


@pytest.mark.parametrize(
    ("user", "statuses"),
    [
        pytest.param(identity(), (200, 200, 403, 403, 403, 403), id="signed in"),
        pytest.param(identity(isVerified=True), (200, 200, 200, 403, 403, 403), id="verified"),
        pytest.param(identity(isAdmin=True), (200, 200, 403, 200, 403, 403), id="admin"),
        pytest.param(
            identity(isVerified=True, isAdmin=True), (200, 200, 200, 200, 200, 403), id="both"
        ),
        pytest.param(identity(isAdmin="true"), (200, 200, 403, 403, 403, 403), id="a word"),
        pytest.param(identity(isAdmin=1), (200, 200, 403, 403, 403, 403), id="a number"),
        pytest.param(ANONYMOUS, (401,) * 6, id="anonymous"),
        pytest.param(None, (401,) * 6, id="no middleware"),
        pytest.param(LooksSignedIn(), (401,) * 6, id="somebody else's user"),
        pytest.param({"id": "1"}, (401,) * 6, id="a mapping"),
    ],
)
def test_who_passes_which_guard(user: object, statuses: tuple[int, ...]) -> None:
    """`guard()`, authenticated, verified, admin, both, and a scope that nobody has."""
    scope = {"type": "http", "headers": [], **({} if user is None else {"user": user})}
    assert tuple(status_of(scope, scopes) for scopes in STEPS) == statuses


def status_of(scope: dict[str, object], scopes: tuple[str, ...]) -> int:
    try:
        assert guard(*scopes)(HTTPConnection(scope)) is scope["user"]
    except Exception as refused:
        return int(getattr(refused, "status_code"))  # noqa: B009 - any other error has none
    return 200


def test_scopes_in_the_scope_open_nothing_by_themselves() -> None:
    """`scope["auth"]` is for Starlette; here the identity itself is asked."""
    scope = {"type": "http", "headers": [], "user": identity(), "auth": ["admin"]}
    assert status_of(scope, ("admin",)) == 403
