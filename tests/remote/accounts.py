"""The account service of the tests."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from authkit_asgi import AuthKit


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.user.display_name)


app = AuthKit().wrap(Starlette(routes=[Route("/home", home)]))
