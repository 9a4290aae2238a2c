"""A site whose pages use authkit.js, and beside it a service that only verifies access tokens.

The service stands for one of another team: it never refreshes, and says `token_expired` where that
would help. `/desk` is the test's own way in: what was asked, and what is to go wrong.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.errors import NotSignedIn, TokenExpired
from authkit_asgi.web.cookies import read_cookies
from authkit_asgi.web.replies import refusal

PAGE = (
    "<!doctype html><html lang=en><link rel=icon href=data:,><title>A page</title><h1>A page</h1>"
)
CLOSED_AT = {"end": 4401, "crash": 1011}  # what a test says to a socket, and what follows
DOWN = {"success": False, "code": "unavailable", "error": "Down."}

kit = AuthKit(Settings())


class Desk:
    """Counts what comes in, and stands in the way of it when told to."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked: Counter[str] = Counter()
        self.down: dict[str, int] = {}  # by path: for how many more requests
        self.slow: dict[str, float] = {}  # by path: seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/desk":
            return await self.app(scope, receive, send)
        path = scope["path"]
        self.asked[f"{scope['method']} {path}"] += 1
        await asyncio.sleep(self.slow.get(path, 0))
        if self.down.get(path, 0) > 0:
            self.down[path] -= 1
            answer = JSONResponse(DOWN, 503, {"Retry-After": "1"})
            return await answer(scope, receive, send)
        return await self.app(scope, receive, send)

    async def talk(self, request: Request) -> Response:
        if request.method == "POST":
            wanted = await request.json()
            self.down, self.slow = wanted.get("down", {}), wanted.get("slow", {})
            self.asked.clear()
        return JSONResponse(self.asked)


def trouble(connection: HTTPConnection) -> NotSignedIn | None:
    """Why a verifying service lets nobody in, or None."""
    names = (kit.services.jar.access_name.encode(), kit.services.jar.refresh_name.encode())
    access, refresh = read_cookies(connection.scope["headers"], names)
    if kit.guard.tokens.read(ACCESS, access, now=kit.clock()) is not None:
        return None
    return TokenExpired() if refresh is not None else NotSignedIn()


class Refused(Response):
    """The kit's own refusal, for a handler of Starlette to return."""

    def __init__(self, why: NotSignedIn) -> None:
        super().__init__()
        self._answer = refusal(why)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)


async def service(request: Request) -> Response:
    why = TokenExpired() if "stubborn" in request.query_params else trouble(request)
    body = await request.body()
    if why is not None:
        return Refused(why)
    return JSONResponse({"method": request.method, "body": body.decode()})


async def events(request: Request) -> Response:
    """Two events, and then the stream breaks off; the browser comes back for more."""
    why = trouble(request)
    if why is not None:
        return Refused(why)

    async def told() -> AsyncIterator[str]:
        yield "retry: 100\n\n"
        for _ in range(2):
            yield f"event: tick\nid: {secrets.token_hex(2)}\ndata: tock\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(told(), media_type="text/event-stream")


async def verified_echo(socket: WebSocket) -> None:
    """Lasts as long as the access token does that it was opened with."""
    await socket.accept()
    if trouble(socket) is not None:
        await socket.close(4401)
        return
    async for text in socket.iter_text():
        if text in CLOSED_AT:
            await socket.close(CLOSED_AT[text])
            return
        await socket.send_text(text)


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def hello(request: Request) -> Response:
    return JSONResponse({"name": request.user.display_name})


async def elsewhere(request: Request) -> Response:
    return Response(status_code=307, headers={"Location": request.query_params["to"]})


def site(desk: Any) -> Starlette:
    return Starlette(
        routes=[
            Route("/page", page),
            Route("/desk", desk, methods=["GET", "POST"]),
            Route("/service", service, methods=["GET", "HEAD", "POST", "PUT"]),
            Route("/service/events", events),
            WebSocketRoute("/service/ws", verified_echo),
            Route("/elsewhere", elsewhere),
            Route("/hello", hello),
            WebSocketRoute("/ws", echo),
        ]
    )


def build() -> ASGIApp:
    async def talk(request: Request) -> Response:
        return await desk.talk(request)

    rules = PathRules(public=["/page"], exclude=["/desk", "/service", "/service/*", "/elsewhere"])
    desk = Desk(kit.wrap(site(talk), rules))
    return CORSMiddleware(
        desk,
        allow_origins=kit.settings.trusted_origins,
        allow_credentials=True,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type"],
        expose_headers=["Date"],
    )


app = build()
