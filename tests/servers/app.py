"""What the server tests run: a page for members; each answer says which worker it is from."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from authkit_asgi import AuthKit, PathRules


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"name": request.user.display_name, "worker": os.getpid()})


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{socket.user.display_name}: {text}")


routes = [Route("/", who), Route("/members", who, methods=["GET", "POST"])]
members = Starlette(routes=[*routes, WebSocketRoute("/echo", echo)])
kit = AuthKit()
app = kit.wrap(members, PathRules(public=["/"]))
