"""Starlette: who asks is `request.user`, and `@requires` looks at the scopes.

uvicorn --env-file .env sample_app.frameworks.starlette:app
"""

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_asgi import AuthKit, PathRules


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Hello, {request.user.display_name or 'stranger'}")


async def members(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"For members: hello, {request.user.display_name}")


@requires("admin", status_code=403)
async def admin(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"For admins: hello, {request.user.display_name}")


routes = [Route("/", home), Route("/members", members), Route("/admin", admin)]
app = AuthKit().wrap(Starlette(routes=routes), PathRules(public=["/"]))
