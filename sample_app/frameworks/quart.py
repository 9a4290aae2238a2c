"""Quart: who asks stands in `request.scope`, and is brought to `g` before each request.

uvicorn --env-file .env sample_app.frameworks.quart:app
"""

from typing import Any

from quart import Quart, abort, g, render_template_string, request

from authkit_asgi import AuthKit, PathRules

site = Quart(__name__)


@site.before_request
async def bring_in() -> None:
    scope: Any = request.scope
    g.user, g.auth = scope["user"], scope["auth"]


@site.get("/")
async def home() -> str:
    return await render_template_string("Hello, {{ g.user.display_name or 'stranger' }}")


@site.get("/members")
async def members() -> str:
    return await render_template_string("For members: hello, {{ g.user.display_name }}")


@site.get("/admin")
async def admin() -> str:
    if "admin" not in g.auth.scopes:
        abort(403)
    return await render_template_string("For admins: hello, {{ g.user.display_name }}")


app = AuthKit().wrap(site, PathRules(public=["/"]))
