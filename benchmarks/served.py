"""The apps that `servers.py` serves, each made by the worker: `benchmarks.served:ours` and so on.

All answer with the same status and body, and the Content-Type that Starlette makes of plain text. A
token that all workers take is minted by `token_of`, from the secrets in the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from starlette.middleware.authentication import AuthenticationMiddleware

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.core.tokens import ACCESS
from benchmarks import peers

SECRET = "AUTHKIT_BENCHMARK_SECRET"
BODY = b"hello"
App = Callable[[Any, Any, Any], Any]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"5"), (b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def _kit() -> AuthKit:
    secret = os.environ[SECRET]
    return AuthKit(
        Settings(
            base_url="http://localhost:8000",
            token_secret=(f"access {secret}",),
            refresh_token_secret=(f"refresh {secret}",),
            database_url="memory:",
        )
    )


def no_op() -> App:
    return peers.NoOp(hello)


class Marked(peers.NoOp):
    """A wrapper that knows nobody, and says of each answer that it is for one person."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def marking(message: Any) -> None:
            if message["type"] == "http.response.start":
                private = ((b"cache-control", b"private"), (b"vary", b"Cookie"))
                message = {**message, "headers": [*message["headers"], *private]}
            await send(message)

        await self.app(scope, receive, marking)


def marked() -> App:
    return Marked(hello)


def ours() -> App:
    return _kit().wrap(hello, PathRules(public=["/open"]))


def authentication_middleware() -> App:
    peers.KEY = os.environ[SECRET]
    return AuthenticationMiddleware(hello, backend=peers.Backend())


def fastapi_users() -> App:
    peers.KEY = os.environ[SECRET]
    return peers.fastapi_users(BODY).app


# What is served, by the name of its maker, and as people read it.
NAMES = {
    "no_op": "no-op wrapper",
    "marked": "wrapper that marks answers",
    "ours": "authkit-asgi",
    "authentication_middleware": "AuthenticationMiddleware + PyJWT",
    "fastapi_users": "fastapi-users",
}


def token_of(maker: str) -> bytes:
    """One that the app takes for an hour."""
    now = int(time.time())
    if maker == "ours":
        return _kit().guard.tokens.mint(ACCESS, peers.claims_of(0, now)).encode()
    peers.KEY = os.environ[SECRET]
    return peers.fastapi_users().token(0) if maker == "fastapi_users" else peers.pyjwt_token(0, now)
