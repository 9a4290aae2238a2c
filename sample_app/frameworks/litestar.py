"""Litestar: who asks is `request.user`, typed by its annotation; a guard looks at the scopes.

uvicorn --env-file .env sample_app.frameworks.litestar:app
"""

from typing import Any

from litestar import Litestar, Request, get
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from authkit_asgi import AuthKit, Identity, PathRules

MemberRequest = Request[Identity, Any, Any]


def admins_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    if "admin" not in connection.auth.scopes:
        raise PermissionDeniedException


@get("/")
async def home(request: MemberRequest) -> str:
    return f"Hello, {request.user.display_name or 'stranger'}"


@get("/members")
async def members(request: MemberRequest) -> str:
    return f"For members: hello, {request.user.display_name}"


@get("/admin", guards=[admins_only])
async def admin(request: MemberRequest) -> str:
    return f"For admins: hello, {request.user.display_name}"


app = AuthKit().wrap(Litestar([home, members, admin]), PathRules(public=["/"]))
