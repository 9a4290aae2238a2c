"""A service that only verifies. It has no store, and knows no secret."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import AuthMiddleware, PathRules
from authkit_asgi.remote import RemoteKit


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"name": request.user.display_name, "cookies": request.cookies})


ACCOUNTS = os.environ["ACCOUNTS_URL"]
kit = RemoteKit(issuer=ACCOUNTS, refresh_url=f"{ACCOUNTS}/api/users/token")
routes = [Route("/reports", who, methods=["GET", "POST"]), Route("/open", who)]
app = AuthMiddleware(Starlette(routes=routes), kit=kit, rules=PathRules(public=["/open"]))
