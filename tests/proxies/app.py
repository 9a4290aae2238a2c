"""A site that says of every page that everybody may keep it. `asked` counts what came through."""

from __future__ import annotations

from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from authkit_asgi import AuthKit, PathRules

asked: Counter[str] = Counter()
# By the last part of the path: what the app says to caches.
SAYS = {
    "public": {"cache-control": "public, max-age=600"},
    "shared": {"cache-control": "max-age=600, s-maxage=600"},
    "accel": {"x-accel-expires": "600"},
    "nothing": {},
}


async def page(request: Request) -> JSONResponse:
    asked[request.url.path] += 1
    user = request.user
    body = {
        "name": user.display_name,
        "asked": asked[request.url.path],
        "scheme": request.url.scheme,
        "client": request.client.host if request.client else None,
    }
    return JSONResponse(body, headers=SAYS[request.path_params["says"]])


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{socket.user.display_name}: {text}")


async def anybody(socket: WebSocket) -> None:
    await socket.accept()


unguarded = Starlette(routes=[WebSocketRoute("/{path:path}", anybody)])
pages = [Route(f"/{place}/{{says}}/{{rest:path}}", page) for place in ("open", "members")]
kit = AuthKit()
app = kit.wrap(
    Starlette(routes=[*pages, WebSocketRoute("/echo", echo)]), PathRules(public=["/open/*"])
)
