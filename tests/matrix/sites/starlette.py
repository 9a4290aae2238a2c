"""The matrix's site in Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from tests.matrix.marks import ANYBODY, FILES, guarded, members

METHODS = ["GET", "POST", "PUT", "OPTIONS"]


def closed(request: Request) -> PlainTextResponse:
    return PlainTextResponse(members(request.scope))


def anybody(request: Request) -> PlainTextResponse:
    return PlainTextResponse(ANYBODY)


async def closed_socket(socket: WebSocket) -> None:
    said = members(socket.scope)
    await socket.accept()
    await socket.send_text(said)
    await socket.close()


async def open_socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(ANYBODY)
    await socket.close()


below = Starlette(
    routes=[
        Route("/admin", closed, methods=METHODS),
        Route("/{rest:path}", closed),
        WebSocketRoute("/ws", closed_socket),
    ]
)
site = Starlette(
    routes=[
        Route("/", anybody),
        Route("/open", anybody),
        Route("/open/page", anybody, methods=METHODS),
        Route("/admin", closed, methods=METHODS),
        Route("/admin/panel", closed),
        Route("/slash/", closed),
        Route("/any/{rest:path}", closed),
        Route("/item/{name}", closed),
        Mount("/mounted", below),
        Mount("/static", StaticFiles(directory=FILES / "open")),
        Mount("/files", StaticFiles(directory=FILES / "closed")),
        WebSocketRoute("/ws", closed_socket),
        WebSocketRoute("/open/ws", open_socket),
    ]
)
app = guarded(site)
