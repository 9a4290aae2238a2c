"""The matrix's site in Quart: rules of Werkzeug, a blueprint, files out of a folder."""

from __future__ import annotations

from quart import Blueprint, Quart, Response, request, send_from_directory, websocket

from tests.matrix.marks import ANYBODY, FILES, guarded, members

METHODS = ["GET", "POST", "PUT"]
site = Quart(__name__, static_folder=str(FILES / "open"), static_url_path="/static")
below = Blueprint("below", __name__, url_prefix="/mounted")


@site.route("/")
@site.route("/open")
@site.route("/open/page", methods=METHODS)
async def anybody() -> str:
    return ANYBODY


@site.route("/admin", methods=METHODS)
@site.route("/admin/panel")
@site.route("/slash/")
@site.route("/any/")
@site.route("/any/<path:rest>")
@site.route("/item/<name>")
@below.route("/admin")
@below.route("/inner/<path:rest>")
async def closed(rest: str = "", name: str = "") -> str:
    return members(request.scope)


@site.route("/files/<path:name>")
async def file(name: str) -> Response:
    return await send_from_directory(FILES / "closed", name)


@site.websocket("/ws")
@below.websocket("/ws")
async def closed_socket() -> None:
    await websocket.send(members(websocket.scope))


@site.websocket("/open/ws")
async def open_socket() -> None:
    await websocket.send(ANYBODY)


site.register_blueprint(below)
app = guarded(site)
