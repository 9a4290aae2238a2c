"""The matrix's site in Litestar."""

from __future__ import annotations

from typing import Any

from litestar import (
    HttpMethod,
    Litestar,
    MediaType,
    Request,
    Router,
    WebSocket,
    asgi,
    route,
    websocket,
)
from litestar.static_files import create_static_files_router
from litestar.types import Receive, Scope, Send

from tests.matrix.marks import ANYBODY, FILES, guarded, members

METHODS = [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT]


@route(["/", "/open", "/open/page"], http_method=METHODS, media_type=MediaType.TEXT)
async def anybody() -> str:
    return ANYBODY


@route(
    ["/admin", "/admin/panel", "/slash/", "/any", "/any/{rest:path}", "/item/{name:str}"],
    http_method=METHODS,
    media_type=MediaType.TEXT,
    status_code=200,
)
async def closed(request: Request[Any, Any, Any]) -> str:
    return members(request.scope)


@route("/admin", http_method=METHODS, media_type=MediaType.TEXT, status_code=200)
async def closed_below(request: Request[Any, Any, Any]) -> str:
    return members(request.scope)


@asgi("/inner", is_mount=True, copy_scope=True)
async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    body = members(scope).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@websocket(["/ws", "/mounted/ws"])
async def closed_socket(socket: WebSocket[Any, Any, Any]) -> None:
    said = members(socket.scope)
    await socket.accept()
    await socket.send_text(said)
    await socket.close()


@websocket("/open/ws")
async def open_socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(ANYBODY)
    await socket.close()


site = Litestar(
    [
        anybody,
        closed,
        Router("/mounted", route_handlers=[closed_below, inner]),
        closed_socket,
        open_socket,
        create_static_files_router("/static", [FILES / "open"]),
        create_static_files_router("/files", [FILES / "closed"], name="closed"),
    ],
    openapi_config=None,
)
app = guarded(site)
