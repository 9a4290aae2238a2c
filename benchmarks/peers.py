"""The contenders of the guard's benchmark, each set up as its own documents say."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.core.identity import identity_of
from authkit_asgi.core.tokens import ACCESS, Claims

App = Callable[[Any, Any, Any], Awaitable[None]]
KEY = secrets.token_urlsafe(40)
NOW = int(time.time())
ID = uuid.UUID("0123456789abcdef0123456789abcdef").hex


@dataclass(frozen=True, slots=True)
class Contender:
    """`base`: what its overhead is measured against. `token`, `expired`: of the n-th user."""

    name: str
    app: App
    base: str = "bare app"
    token: Callable[[int], bytes] = lambda number: b"none"
    expired: Callable[[int], bytes] = lambda number: b"none"
    cookie: bytes = b"token"


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class NoOp:
    """A middleware that does nothing: what any wrapper costs."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def _kit() -> tuple[AuthKit, Callable[[int, int], bytes]]:
    kit = AuthKit(
        Settings(
            base_url="http://localhost:8000",
            token_secret=(secrets.token_urlsafe(40),),
            refresh_token_secret=(secrets.token_urlsafe(40),),
            database_url="memory:",
        )
    )

    def token(number: int, issued_at: int) -> bytes:
        claims = Claims(
            subject=f"{number:032x}",
            session_id=f"{number:032x}",
            generation=0,
            epoch=0,
            issued_at=issued_at,
            expires_at=issued_at + 3600,
            profile={
                "username": "ada",
                "email": "ada@example.test",
                "isVerified": True,
                "isAdmin": False,
            },
        )
        return kit.guard.tokens.mint(ACCESS, claims).encode()

    return kit, token


def ours() -> Contender:
    """As the README says, with every default feature on."""
    kit, token = _kit()
    return Contender(
        "authkit-asgi",
        kit.wrap(bare, PathRules(public=["/open"])),
        token=lambda number: token(number, NOW),
        expired=lambda number: token(number, NOW - 7200),
    )


def direct_check() -> Contender:
    """The least that knows who asks: the cookie is found, and the token read each time."""
    kit, token = _kit()
    tokens = kit.guard.tokens

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookie = value[value.find(b"token=") + 6 :].partition(b";")[0]
                claims = tokens.read(ACCESS, cookie, now=time.time())
                if claims is not None:
                    identity = identity_of(claims)
                    told = {**scope, "user": identity, "auth": identity.credentials}
                    await bare(told, receive, send)
                    return
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Contender(
        "direct check",
        app,
        token=lambda number: token(number, NOW),
        expired=lambda number: token(number, NOW - 7200),
    )


def _pyjwt(number: int, issued_at: int = NOW) -> bytes:
    subject = f"{number:032x}"
    claims = {"sub": subject, "username": "ada", "iat": issued_at, "exp": issued_at + 3600}
    return jwt.encode(claims, KEY, algorithm="HS256").encode()


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        token = conn.cookies.get("token")
        if token is None:
            return None
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            return None
        return AuthCredentials(["authenticated"]), SimpleUser(claims["sub"])


def starlette_authentication() -> Contender:
    app = AuthenticationMiddleware(bare, backend=Backend())
    return Contender(
        "AuthenticationMiddleware + PyJWT",
        app,
        token=_pyjwt,
        expired=lambda number: _pyjwt(number, NOW - 7200),
    )


class Naive(BaseHTTPMiddleware):
    """A straight port of the usual tutorial."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            claims = jwt.decode(request.cookies.get("token", ""), KEY, algorithms=["HS256"])
        except jwt.PyJWTError:
            return JSONResponse({"error": "not signed in"}, 401)
        request.state.user = claims["sub"]
        return await call_next(request)


def naive_port() -> Contender:
    return Contender("BaseHTTPMiddleware + PyJWT", Naive(bare), token=_pyjwt)


def starlette_sessions() -> Contender:
    import json
    from base64 import b64encode

    import itsdangerous
    from starlette.middleware.sessions import SessionMiddleware

    signer = itsdangerous.TimestampSigner(KEY)

    def token(number: int) -> bytes:
        return bytes(signer.sign(b64encode(json.dumps({"user": f"{number:032x}"}).encode())))

    app = SessionMiddleware(bare, secret_key=KEY)
    return Contender("Starlette SessionMiddleware", app, token=token, cookie=b"session")


def fastapi_bare() -> Contender:
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/members")
    async def members() -> fastapi.Response:
        return fastapi.Response()

    return Contender("FastAPI, bare route", app)


def fastapi_users() -> Contender:
    import fastapi
    from fastapi import Depends
    from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
    from fastapi_users.authentication import AuthenticationBackend, CookieTransport, JWTStrategy
    from fastapi_users.db import BaseUserDatabase

    class User:
        id = uuid.UUID(ID)
        email = "ada@example.test"
        hashed_password = ""
        is_active = True
        is_superuser = False
        is_verified = True

    users = {User.id: User()}

    class Rows(BaseUserDatabase):
        async def get(self, id: uuid.UUID) -> Any:
            return users.get(id)

    class Manager(UUIDIDMixin, BaseUserManager):
        reset_password_token_secret = KEY
        verification_token_secret = KEY

    async def rows() -> Any:
        yield Rows()

    async def manager(rows: Any = Depends(rows)) -> Any:
        yield Manager(rows)

    def strategy() -> Any:
        return JWTStrategy(secret=KEY, lifetime_seconds=3600)

    cookies = CookieTransport(cookie_name="token")
    backend = AuthenticationBackend(name="jwt", transport=cookies, get_strategy=strategy)
    current = FastAPIUsers(manager, [backend]).current_user(active=True)
    app = fastapi.FastAPI()

    @app.get("/members")
    async def members(user: Any = Depends(current)) -> fastapi.Response:
        return fastapi.Response()

    token = _in_its_own_loop(strategy().write_token(users[User.id])).encode()
    return Contender("fastapi-users", app, "FastAPI, bare route", lambda number: token)


def authx() -> Contender:
    import fastapi
    from authx import AuthX, AuthXConfig

    auth = AuthX(
        config=AuthXConfig(
            JWT_SECRET_KEY=KEY,
            JWT_TOKEN_LOCATION=["cookies"],
            JWT_ACCESS_COOKIE_NAME="token",
            JWT_COOKIE_CSRF_PROTECT=False,
        )
    )
    app = fastapi.FastAPI()
    auth.handle_errors(app)

    @app.get("/members", dependencies=[fastapi.Depends(auth.access_token_required)])
    async def members() -> fastapi.Response:
        return fastapi.Response()

    return Contender(
        "AuthX",
        app,
        "FastAPI, bare route",
        lambda number: auth.create_access_token(f"{number:032x}").encode(),
    )


def litestar_bare() -> Contender:
    import litestar

    @litestar.get("/members")
    async def members() -> litestar.Response[bytes]:
        return litestar.Response(b"")

    return Contender("Litestar, bare route", litestar.Litestar([members]))


def litestar_jwt() -> Contender:
    import litestar
    from litestar.security.jwt import JWTCookieAuth

    async def user(token: Any, connection: Any) -> str:
        return str(token.sub)

    auth = JWTCookieAuth[str](retrieve_user_handler=user, token_secret=KEY, key="token")

    @litestar.get("/members")
    async def members() -> litestar.Response[bytes]:
        return litestar.Response(b"")

    def token(number: int) -> bytes:
        made = auth.create_token(f"{number:032x}", token_expiration=timedelta(hours=1))
        return f'"Bearer {made}"'.encode()

    app = litestar.Litestar([members], on_app_init=[auth.on_app_init])
    return Contender("Litestar JWTCookieAuth", app, "Litestar, bare route", token)


def contenders() -> tuple[list[Contender], dict[str, str]]:
    """Those that run here, and why each of the others does not."""
    here = [Contender("bare app", bare), Contender("no-op wrapper", NoOp(bare))]
    makers = (
        ours,
        starlette_sessions,
        starlette_authentication,
        naive_port,
        litestar_bare,
        litestar_jwt,
        fastapi_bare,
        authx,
        fastapi_users,
    )
    absent = {"supertokens-python": "needs the SuperTokens core, a Java service"}
    for make in makers:
        try:
            here.append(make())
        except ImportError as error:
            absent[make.__name__] = f"is not installed ({error.name})"
    return here, absent


def _in_its_own_loop(work: Any) -> Any:
    with ThreadPoolExecutor(1) as beside:  # a server's may be running here
        return beside.submit(asyncio.run, work).result()
