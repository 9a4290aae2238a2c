"""The matrix's site in FastAPI: a router, a sub-application, static files."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

from tests.matrix.marks import ANYBODY, FILES, guarded, members

site = FastAPI()
router = APIRouter(prefix="/mounted")
below = FastAPI()


@site.get("/", response_class=PlainTextResponse)
@site.get("/open", response_class=PlainTextResponse)
@site.api_route("/open/page", methods=["GET", "POST"], response_class=PlainTextResponse)
async def anybody() -> str:
    return ANYBODY


@site.api_route("/admin", methods=["GET", "POST", "PUT"], response_class=PlainTextResponse)
@site.get("/admin/panel", response_class=PlainTextResponse)
@site.get("/slash/", response_class=PlainTextResponse)
@site.get("/any/{rest:path}", response_class=PlainTextResponse)
@site.get("/item/{name}", response_class=PlainTextResponse)
@router.get("/admin", response_class=PlainTextResponse)
@below.get("/{rest:path}", response_class=PlainTextResponse)
def closed(request: Request) -> str:
    return members(request.scope)


@site.websocket("/ws")
@below.websocket("/ws")
async def closed_socket(socket: WebSocket) -> None:
    said = members(socket.scope)
    await socket.accept()
    await socket.send_text(said)
    await socket.close()


@site.websocket("/open/ws")
async def open_socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(ANYBODY)
    await socket.close()


site.include_router(router)
site.mount("/mounted", below)
site.mount("/static", StaticFiles(directory=FILES / "open"))
site.mount("/files", StaticFiles(directory=FILES / "closed"))
app = guarded(site)
