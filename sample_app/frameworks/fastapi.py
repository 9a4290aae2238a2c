"""FastAPI: who asks is a dependency, `guard()`, and `request.user` on public pages.

uvicorn --env-file .env sample_app.frameworks.fastapi:app
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse

from authkit_asgi import AuthKit, Identity, PathRules, guard

Member = Annotated[Identity, Depends(guard())]
Admin = Annotated[Identity, Depends(guard("admin"))]
site = FastAPI(default_response_class=PlainTextResponse)


@site.get("/")
async def home(request: Request) -> str:
    return f"Hello, {request.user.display_name or 'stranger'}"


@site.get("/members")
async def members(me: Member) -> str:
    return f"For members: hello, {me.display_name}"


@site.get("/admin")
async def admin(me: Admin) -> str:
    return f"For admins: hello, {me.display_name}"


app = AuthKit().wrap(site, PathRules(public=["/"]))
