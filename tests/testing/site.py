"""An app as users of the library write it: a function that takes the kit."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import AuthKit, AuthMiddleware, PathRules


def members(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse({"id": user.identity, "scopes": list(request.auth.scopes)})


def build(kit: AuthKit) -> AuthMiddleware:
    site = Starlette(routes=[Route("/", members), Route("/members", members)])
    return kit.wrap(site, PathRules(public=["/"]))
