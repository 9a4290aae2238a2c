"""The site: a landing page, a page and an API route for members, a WebSocket, a mailbox.

Nothing in the handlers checks who asks: the rules in `guarded` have decided that before.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from authkit_asgi import AuthKit, AuthMiddleware, PathRules
from sample_app.mailbox import mailbox_of
from sample_app.views import Views

STATIC = Path(__file__).parent / "static"


def guarded(kit: AuthKit) -> AuthMiddleware:
    """The site with the kit's API and pages beside it, and the guard around them all."""
    pages = kit.settings.pages_path
    rules = PathRules(
        # Whoever has to confirm an address cannot sign in yet, so the mailbox is public. Where
        # there is none, its paths lead nowhere.
        public=["/", "/favicon.ico", "/static/*", "/dev/mailbox", "/dev/mailbox/*"],
        protected=["/members", "/api/*", "/ws"],  # as everything is that no rule names
        login=f"{pages}/login",
        home=f"{pages}/dashboard",
    )
    return kit.wrap(site(kit), rules)


def site(kit: AuthKit) -> Starlette:
    mailbox = mailbox_of(kit)
    views = Views(kit.settings, has_mailbox=mailbox is not None)
    return Starlette(
        routes=[
            Route("/", views.page("home.html")),
            Route("/members", views.page("members.html")),
            Route("/api/hello", hello),
            WebSocketRoute("/ws", echo),
            Route("/favicon.ico", favicon),
            Mount("/static", StaticFiles(directory=STATIC)),
            *(mailbox.routes(views) if mailbox else ()),
        ]
    )


def hello(request: Request) -> JSONResponse:
    return JSONResponse({"message": f"Hello, {request.user.display_name}!"})


def favicon(request: Request) -> FileResponse:
    """For pages that name no icon: browsers ask for this path then."""
    return FileResponse(STATIC / "icon.svg")


async def echo(socket: WebSocket) -> None:
    """Says back what it hears. Strangers were turned away before the handshake."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{socket.user.display_name}: {text}")
