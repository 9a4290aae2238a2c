"""Where the guard has nothing to say, the app works as if it stood alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_asgi import PathRules
from authkit_asgi.middleware import AuthMiddleware
from tests.middleware.knocking import scope_of, visitor
from tests.world import World, world

RULES = PathRules(public=["/open"], exclude=["/health"])
EXPIRED = 3601  # seconds, after which a request comes with a refresh
OWN_SITE = {"origin": "http://localhost:8000"}

Pair = tuple[Any, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


async def receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    pass


def guarded(here: World, app: App) -> AuthMiddleware:
    return AuthMiddleware(app, kit=here.kit, rules=RULES)


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/open", "a stranger"),
        ("/open", "junk"),
        ("/health", "a stranger"),
        ("/health", "junk"),
        ("/health", "somebody"),
    ],
)
async def test_the_app_is_given_the_very_channels_of_the_server(path: str, who: str) -> None:
    given: list[Pair] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append((receive, send))

    async with world() as here:
        tokens = {"somebody": await visitor(here), "junk": {"token": "x", "refreshToken": "y"}}
        scope = scope_of("http", path, {}, tokens.get(who), method="GET")
        await guarded(here, app)(scope, receive, send)
    [(given_receive, given_send)] = given
    assert given_receive is receive
    assert given_send is send


async def test_an_excluded_path_is_given_the_very_scope() -> None:
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(scope)

    async with world() as here:
        scope = scope_of("http", "/health", {}, None, method="GET")
        kept = dict(scope)
        await guarded(here, app)(scope, receive, send)
        assert given[0] is scope
        assert scope == kept


async def test_the_server_s_scope_is_left_as_it_was() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["user"].is_authenticated

    async with world() as here:
        scope = scope_of("http", "/members", {}, await visitor(here), method="GET")
        kept = {**scope, "headers": list(scope["headers"])}
        await guarded(here, app)(scope, receive, send)
        assert scope == kept


@pytest.mark.parametrize("path", ["/open", "/members"])
@pytest.mark.parametrize("later", [0, EXPIRED], ids=["as it is", "with new cookies"])
async def test_an_answer_streams_chunk_by_chunk(path: str, later: float) -> None:
    """Each message has left before the app makes the next, unchanged but for the headers."""
    story: list[Any] = []
    bodies: list[dict[str, Any]] = [
        {"type": "http.response.body", "body": b"%d" % number, "more_body": number < 5}
        for number in range(6)
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        for body in bodies:
            story.append(("made", body["body"]))
            await send(body)

    async def hearing(message: Any) -> None:
        if message["type"] == "http.response.start":
            story.append((message["trailers"], dict(message["headers"])))
        else:
            assert any(message is body for body in bodies)
            story.append(("left", message["body"]))

    async with world() as here:
        tokens = await visitor(here)
        here.clock.pass_(seconds=later)
        await guarded(here, app)(scope_of("http", path, {}, tokens, method="GET"), receive, hearing)
    (trailers, headers), *rest = story
    assert trailers is False
    assert (b"set-cookie" in headers) is bool(later)
    assert rest == [(what, b"%d" % number) for number in range(6) for what in ("made", "left")]


class AppError(Exception):
    pass


class Stopped(BaseException):
    """As a cancellation is."""


@pytest.mark.parametrize("error", [AppError("theirs"), Stopped("theirs")], ids=["error", "stopped"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "within it"])
@pytest.mark.parametrize(
    ("kind", "path", "later"),
    [
        ("http", "/open", 0),
        ("http", "/members", 0),
        ("http", "/members", EXPIRED),
        ("http", "/health", 0),
        ("websocket", "/members", 0),
    ],
)
async def test_an_exception_of_the_app_passes_as_it_is(
    kind: str, path: str, later: float, begun: bool, error: BaseException
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun and kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif begun:
            await send({"type": "websocket.accept"})
        raise error

    async with world() as here:
        tokens = await visitor(here)
        here.clock.pass_(seconds=later)
        scope = scope_of(kind, path, OWN_SITE, tokens, method="GET")
        with pytest.raises(type(error)) as raised:
            await guarded(here, app)(scope, receive, send)
        assert raised.value is error
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
        error.__traceback__ = None
