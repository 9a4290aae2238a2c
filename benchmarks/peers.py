"""The contenders of the guard's benchmark, each set up as its own documents say.

Whoever can choose what its token says is given the same claims: PROFILE, `sid`, `iat`, `exp`, `iss`
and `aud`, the last two checked wherever the peer can check them. The tokens of fastapi-users name
the user and nothing else; it loads the user instead, here from a dictionary.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import jwt
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from authkit_asgi import AuthKit, PathRules, Settings
from authkit_asgi.core.identity import identity_of
from authkit_asgi.core.tokens import ACCESS, REFRESH, Claims
from authkit_asgi.events import Visitor
from authkit_asgi.store import Store

App = Callable[[Any, Any, Any], Awaitable[None]]
KEY = secrets.token_urlsafe(40)
NOW = int(time.time())
LIFETIME = 3600
ID = uuid.UUID("0123456789abcdef0123456789abcdef").hex
ISSUER = "http://localhost:8000"
AUDIENCE = "http://localhost:8000/access"
PROFILE = {"username": "ada", "email": "ada@example.test", "isVerified": True, "isAdmin": False}


async def _none(number: int) -> bytes:
    return b"none"


@dataclass(frozen=True, slots=True)
class Contender:
    """`base`: what its overhead is measured against; empty, where nobody is asked who it is.
    `token`, `expired`: what the cookie of the n-th user holds; beside it a browser sends `beside`.
    `remembers`: it is another after many visitors than after few."""

    name: str
    app: App
    base: str = ""
    token: Callable[[int], bytes] = lambda number: b"none"
    expired: Callable[[int], Awaitable[bytes]] = _none
    cookie: bytes = b"token"
    beside: bytes = b""
    remembers: bool = False


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


def _kit(store: Store | None = None, **more: Any) -> AuthKit:
    settings = Settings(
        base_url=ISSUER,
        token_secret=(secrets.token_urlsafe(40),),
        refresh_token_secret=(secrets.token_urlsafe(40),),
        database_url="memory:",
    )
    return AuthKit(settings, store=store, **more)


def claims_of(number: int, issued_at: int = NOW) -> Claims:
    return Claims(
        subject=f"{number:032x}",
        session_id=f"{number:032x}",
        generation=0,
        epoch=0,
        issued_at=issued_at,
        expires_at=issued_at + LIFETIME,
        token_id="AbCdEfGhIjKl",
        profile=PROFILE,
    )


def ours(store: Store | None = None, **more: Any) -> Contender:
    """As the README says, with every default feature on."""
    kit = _kit(store, **more)
    tokens, jar = kit.guard.tokens, kit.guard.jar
    visitor = Visitor(ip="127.0.0.1", user_agent="Mozilla/5.0")

    async def expired(number: int) -> bytes:
        """And the refresh token of a session that goes on: it will be exchanged."""
        await kit.start()
        user = await kit.services.accounts.create(
            firstname="Ada",
            lastname="Lovelace",
            username=f"ada{number}",
            email=f"ada{number}@example.test",
            password_hash=None,
            now=NOW,
            is_verified=True,
        )
        _, pair = await kit.services.sessions.open(
            user, methods=("pwd",), remember=False, visitor=visitor, now=NOW - 2 * LIFETIME
        )
        return f"{pair.access}; {jar.refresh_name}={pair.refresh}".encode()

    refresh = tokens.mint(REFRESH, replace(claims_of(0), profile={}))
    return Contender(
        "authkit-asgi",
        kit.wrap(bare, PathRules(public=["/open"])),
        "bare app",
        token=lambda number: tokens.mint(ACCESS, claims_of(number)).encode(),
        expired=expired,
        cookie=jar.access_name.encode(),
        beside=f"; {jar.refresh_name}={refresh}".encode(),
        remembers=True,
    )


def direct_check() -> Contender:
    """The least that knows who asks: the cookie is found, and the token read each time."""
    tokens = _kit().guard.tokens

    def token(number: int, issued_at: int = NOW) -> bytes:
        return tokens.mint(ACCESS, claims_of(number, issued_at)).encode()

    async def expired(number: int) -> bytes:
        return token(number, NOW - 2 * LIFETIME)

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

    return Contender("direct check", app, "bare app", token, expired)


def _payload(number: int, issued_at: int = NOW) -> dict[str, Any]:
    return {
        **PROFILE,
        "sub": f"{number:032x}",
        "sid": f"{number:032x}",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
    }


def pyjwt_token(number: int, issued_at: int = NOW) -> bytes:
    return jwt.encode(_payload(number, issued_at), KEY, algorithm="HS256").encode()


async def _expired_pyjwt(number: int) -> bytes:
    return pyjwt_token(number, NOW - 2 * LIFETIME)


def _read(token: str) -> dict[str, Any]:
    return jwt.decode(token, KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        token = conn.cookies.get("token")
        if token is None:
            return None
        try:
            claims = _read(token)
        except jwt.PyJWTError:
            return None
        return AuthCredentials(["authenticated"]), SimpleUser(claims["sub"])


def starlette_authentication() -> Contender:
    app = AuthenticationMiddleware(bare, backend=Backend())
    name = "AuthenticationMiddleware + PyJWT"
    return Contender(name, app, "bare app", pyjwt_token, _expired_pyjwt)


class Naive(BaseHTTPMiddleware):
    """A straight port of the usual tutorial."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            claims = _read(request.cookies.get("token", ""))
        except jwt.PyJWTError:
            return JSONResponse({"error": "not signed in"}, 401)
        request.state.user = claims["sub"]
        return await call_next(request)


def naive_port() -> Contender:
    name = "BaseHTTPMiddleware + PyJWT"
    return Contender(name, Naive(bare), "bare app", pyjwt_token, _expired_pyjwt)


def _session(**more: str) -> Callable[[int], bytes]:
    """What Starlette's SessionMiddleware sends."""
    import json
    from base64 import b64encode

    import itsdangerous

    signer = itsdangerous.TimestampSigner(KEY)

    def token(number: int) -> bytes:
        session = {**PROFILE, "sub": f"{number:032x}", "sid": f"{number:032x}", **more}
        return bytes(signer.sign(b64encode(json.dumps(session).encode())))

    return token


def starlette_sessions() -> Contender:
    from starlette.middleware.sessions import SessionMiddleware

    app = SessionMiddleware(bare, secret_key=KEY)
    return Contender("Starlette SessionMiddleware", app, "bare app", _session(), cookie=b"session")


def imia() -> Contender:
    from imia import AuthenticationMiddleware, InMemoryProvider, SessionAuthenticator
    from imia.login import SESSION_KEY
    from starlette.middleware.sessions import SessionMiddleware

    class User:
        def get_display_name(self) -> str:
            return "Ada"

        def get_id(self) -> str:
            return ID

        def get_hashed_password(self) -> str:
            return ""

        def get_scopes(self) -> list[str]:
            return []

    authenticators = [SessionAuthenticator(InMemoryProvider({ID: User()}))]
    guarded = AuthenticationMiddleware(bare, authenticators=authenticators)
    app = SessionMiddleware(guarded, secret_key=KEY)
    token = _session(**{SESSION_KEY: ID})
    return Contender("imia + SessionMiddleware", app, "bare app", token, cookie=b"session")


def fastapi_bare() -> Contender:
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/members")
    async def members() -> fastapi.Response:
        return fastapi.Response()

    return Contender("FastAPI, bare route", app)


def fastapi_users(body: bytes = b"") -> Contender:
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
        return JWTStrategy(secret=KEY, lifetime_seconds=LIFETIME)

    cookies = CookieTransport(cookie_name="token")
    backend = AuthenticationBackend(name="jwt", transport=cookies, get_strategy=strategy)
    current = FastAPIUsers(manager, [backend]).current_user(active=True)
    app = fastapi.FastAPI()

    @app.get("/members")
    async def members(user: Any = Depends(current)) -> fastapi.Response:
        return fastapi.Response(body, media_type="text/plain")

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
            JWT_ENCODE_ISSUER=ISSUER,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_DECODE_AUDIENCE=AUDIENCE,
        )
    )
    app = fastapi.FastAPI()
    auth.handle_errors(app)

    @app.get("/members", dependencies=[fastapi.Depends(auth.access_token_required)])
    async def members() -> fastapi.Response:
        return fastapi.Response()

    def token(number: int) -> bytes:
        uid = f"{number:032x}"
        made = auth.create_access_token(uid, data={**PROFILE, "sid": uid}, audience=AUDIENCE)
        return bytes(made, "ascii")

    return Contender("AuthX", app, "FastAPI, bare route", token)


def async_fastapi_jwt_auth() -> Contender:
    import fastapi
    from async_fastapi_jwt_auth import AuthJWT
    from async_fastapi_jwt_auth.auth_jwt import AuthJWTBearer
    from async_fastapi_jwt_auth.exceptions import AuthJWTException
    from fastapi.responses import JSONResponse

    @AuthJWT.load_config
    def settings() -> list[tuple[str, Any]]:
        return [
            ("authjwt_secret_key", KEY),
            ("authjwt_token_location", {"cookies"}),
            ("authjwt_access_cookie_key", "token"),
            ("authjwt_encode_issuer", ISSUER),
            ("authjwt_decode_issuer", ISSUER),
            ("authjwt_decode_audience", AUDIENCE),
        ]

    app, bearer = fastapi.FastAPI(), AuthJWTBearer()

    @app.exception_handler(AuthJWTException)
    def refuse(request: Any, error: Any) -> Response:
        return JSONResponse({"detail": error.message}, error.status_code)

    @app.get("/members")
    async def members(authorize: Any = fastapi.Depends(bearer)) -> fastapi.Response:
        await authorize.jwt_required()
        return fastapi.Response()

    def token(number: int) -> bytes:
        subject = f"{number:032x}"
        claims = {**PROFILE, "sid": subject}
        made = AuthJWT().create_access_token(subject, audience=AUDIENCE, user_claims=claims)
        return bytes(_in_its_own_loop(made), "ascii")

    return Contender("async-fastapi-jwt-auth", app, "FastAPI, bare route", token)


def fastapi_fullauth() -> Contender:
    """Its claims alone: no user is loaded, and so no adapter asked. Its tokens have no issuer."""
    import fastapi
    from fastapi_fullauth import FullAuth, FullAuthConfig
    from fastapi_fullauth.adapters.base import AbstractUserAdapter
    from fastapi_fullauth.backends import CookieBackend
    from fastapi_fullauth.dependencies.current_user import current_token_payload

    class Nobody(AbstractUserAdapter):
        pass

    Nobody.__abstractmethods__ = frozenset()
    config = FullAuthConfig(SECRET_KEY=KEY)
    auth = FullAuth(adapter=Nobody(), config=config, backends=[CookieBackend(config, name="token")])
    app = fastapi.FastAPI()
    auth.bind(app)

    @app.get("/members")
    async def members(claims: Any = fastapi.Depends(current_token_payload)) -> fastapi.Response:
        return fastapi.Response()

    def token(number: int) -> bytes:
        user = f"{number:032x}"
        made = auth.token_engine.create_access_token(user, extra=PROFILE, family_id=user)
        return bytes(made, "ascii")

    return Contender("fastapi-fullauth, claims", app, "FastAPI, bare route", token)


def supertokens() -> Contender:
    """`verify_session` reads a token by the public keys that its SDK got from the core, a service,
    and kept. They are put there, so that no core need run; a session is checked without one."""
    import fastapi
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from jwt.algorithms import RSAAlgorithm
    from supertokens_python import InputAppInfo, SupertokensConfig, init
    from supertokens_python.framework.fastapi import get_middleware
    from supertokens_python.recipe import session
    from supertokens_python.recipe.session import jwks
    from supertokens_python.recipe.session.framework.fastapi import verify_session

    init(
        app_info=InputAppInfo(app_name="bench", api_domain=ISSUER, website_domain=ISSUER),
        supertokens_config=SupertokensConfig(connection_uri="http://127.0.0.1:9"),
        framework="fastapi",
        recipe_list=[session.init(get_token_transfer_method=lambda *_: "cookie")],
        mode="asgi",
    )
    key, key_id = generate_private_key(65537, 2048), "d-1"
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    keys = jwt.PyJWKSet.from_dict({"keys": [{**public, "kid": key_id, "alg": "RS256"}]}).keys
    jwks.cached_keys = jwks.CachedKeys(keys, 4 * LIFETIME)

    app = fastapi.FastAPI()
    app.add_middleware(get_middleware())

    @app.get("/members")
    async def members(session: Any = fastapi.Depends(verify_session())) -> fastapi.Response:
        return fastapi.Response()

    def token(number: int) -> bytes:
        user = f"{number:032x}"
        payload = {
            **_payload(number),
            "sessionHandle": user,
            "refreshTokenHash1": sha256(user.encode()).hexdigest(),
            "parentRefreshTokenHash1": None,
            "antiCsrfToken": None,
            "tId": "public",
            "rsub": user,
        }
        del payload["aud"], payload["sid"]  # its own have none, and another name for the session
        header = {"kid": key_id, "version": "5"}
        return jwt.encode(payload, key, algorithm="RS256", headers=header).encode()

    return Contender(
        "supertokens-python", app, "FastAPI, bare route", token, cookie=b"sAccessToken"
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

    auth = JWTCookieAuth[str](
        retrieve_user_handler=user,
        token_secret=KEY,
        key="token",
        accepted_issuers=[ISSUER],
        accepted_audiences=[AUDIENCE],
    )

    @litestar.get("/members")
    async def members() -> litestar.Response[bytes]:
        return litestar.Response(b"")

    def token(number: int) -> bytes:
        made = auth.create_token(
            f"{number:032x}",
            token_expiration=timedelta(seconds=LIFETIME),
            token_issuer=ISSUER,
            token_audience=AUDIENCE,
            token_extras={**PROFILE, "sid": f"{number:032x}"},
        )
        return f'"Bearer {made}"'.encode()

    app = litestar.Litestar([members], on_app_init=[auth.on_app_init])
    return Contender("Litestar JWTCookieAuth", app, "Litestar, bare route", token)


def contenders() -> tuple[list[Contender], dict[str, str]]:
    """Those that run here, and why each of the others does not."""
    here = [Contender("bare app", bare), Contender("no-op wrapper", NoOp(bare))]
    makers = (
        ours,
        starlette_sessions,
        imia,
        starlette_authentication,
        naive_port,
        litestar_bare,
        litestar_jwt,
        fastapi_bare,
        async_fastapi_jwt_auth,
        authx,
        fastapi_fullauth,
        supertokens,
        fastapi_users,
    )
    absent = {}
    for make in makers:
        try:
            here.append(make())
        except ImportError as error:
            absent[make.__name__] = f"is not installed ({error.name})"
    return here, absent


def _in_its_own_loop(work: Any) -> Any:
    with ThreadPoolExecutor(1) as beside:  # a server's may be running here
        return beside.submit(asyncio.run, work).result()
