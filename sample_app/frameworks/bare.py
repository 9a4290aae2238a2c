"""No framework: who asks is `scope["user"]`, and what they may is `scope["auth"].scopes`.

uvicorn --env-file .env sample_app.frameworks.bare:app
"""

from typing import Any

from authkit_asgi import AuthKit, PathRules


async def site(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("http only")  # the guard answers the server's lifespan by itself
    status, text = answer(scope["path"], scope["user"].display_name, scope["auth"].scopes)
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def answer(path: str, name: str, scopes: Any) -> tuple[int, str]:
    match path:
        case "/":
            return 200, f"Hello, {name or 'stranger'}"
        case "/members":
            return 200, f"For members: hello, {name}"
        case "/admin" if "admin" in scopes:
            return 200, f"For admins: hello, {name}"
        case "/admin":
            return 403, "For admins"
        case _:
            return 404, "Not found"


app = AuthKit().wrap(site, PathRules(public=["/"]))
