"""The matrix's site in Django: paths, the old patterns with `^…$`, an include, `static.serve`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.static import serve

from authkit_asgi.web.asgi import Receive, Scope, Send
from tests.matrix.marks import ANYBODY, FILES, guarded, members

OWN = {
    "ROOT_URLCONF": __name__,
    "ALLOWED_HOSTS": ["*"],
    "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],  # adds slashes
    "SECRET_KEY": "of the matrix alone, for it signs nothing",
}
if not settings.configured:
    settings.configure()
for name, value in OWN.items():  # another test in this process may have come before
    setattr(settings, name, value)


def anybody(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ANYBODY)


def closed(request: Any, rest: str = "") -> HttpResponse:
    if request.method == "CONNECT":  # to say 200 would be to open a tunnel
        return HttpResponse(status=405)
    return HttpResponse(members(request.scope))


async def closed_async(request: Any, rest: str = "") -> HttpResponse:
    return closed(request)


urlpatterns = [
    path("", anybody),
    path("open", anybody),
    path("open/page", anybody),
    re_path(r"^admin$", closed_async),
    path("admin/panel", closed),
    path("slash/", closed),
    path("any/<path:rest>", closed),
    re_path(r"^any/(?P<rest>.*)$", closed),
    path("item/<str:rest>", closed),
    path("mounted/", include([path("admin", closed), re_path(r"^inner/(?P<rest>.*)", closed)])),
    path("static/<path:path>", serve, {"document_root": FILES / "open"}),
    path("files/<path:path>", serve, {"document_root": FILES / "closed"}),
]
pages = get_asgi_application()


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Django has no WebSockets, and raises at the sight of one."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        await pages(scope, receive, send)


app = guarded(site)
