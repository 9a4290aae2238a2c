"""The apps that `servers.py` serves, each made by the worker: `benchmarks.served:ours` and so on.

A token that all workers take is minted by `token_of`, from the secrets in the environment.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.middleware.authentication import AuthenticationMiddleware

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.core.tokens import ACCESS, Claims
from benchmarks import peers

SECRET = "AUTHKIT_BENCHMARK_SECRET"
App = Callable[[Any, Any, Any], Any]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


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


def ours() -> App:
    return _kit().wrap(hello, PathRules(public=["/open"]))


def authentication_middleware() -> App:
    peers.KEY = os.environ[SECRET]
    return AuthenticationMiddleware(hello, backend=peers.Backend())


def fastapi_users() -> App:
    peers.KEY = os.environ[SECRET]
    return peers.fastapi_users().app


# What is served, by the name of its maker, and as people read it.
NAMES = {
    "no_op": "no-op wrapper",
    "ours": "authkit-asgi",
    "authentication_middleware": "AuthenticationMiddleware + PyJWT",
    "fastapi_users": "fastapi-users",
}


def token_of(maker: str) -> str:
    """One that the app takes for an hour."""
    now = int(time.time())
    if maker == "ours":
        claims = Claims(
            subject=uuid.uuid4().hex,
            session_id=uuid.uuid4().hex,
            generation=0,
            epoch=0,
            issued_at=now,
            expires_at=now + 3600,
            profile={"username": "ada", "email": "ada@example.test", "isVerified": True},
        )
        return _kit().guard.tokens.mint(ACCESS, claims)
    peers.KEY = os.environ[SECRET]
    if maker == "fastapi_users":
        return peers.fastapi_users().token(0).decode()
    return peers.pyjwt_token(0).decode()
