"""What the workers of a group run: a page for members, and an ear that counts what happened.

What an admin's page would do is done by plain public routes: disable an account, change a role.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.accounts import User
from authkit_asgi.events import Event

kit = AuthKit()
told: Counter[str] = Counter()


async def count(event: Event) -> None:
    told[type(event).__name__] += 1


async def who(request: Request) -> JSONResponse:
    return JSONResponse({"id": request.user.identity, "scopes": list(request.auth.scopes)})


async def what_was_told(request: Request) -> JSONResponse:
    return JSONResponse(told)


async def health(request: Request) -> JSONResponse:
    return JSONResponse(asdict(kit.health()))


async def disable(request: Request) -> JSONResponse:
    now = kit.clock()
    return _noted(await kit.services.accounts.disable(request.path_params["id"], now=now), now)


async def promote(request: Request) -> JSONResponse:
    now = kit.clock()
    return _noted(
        await kit.services.accounts.set_admin(request.path_params["id"], True, now=now), now
    )


def _noted(user: User | None, now: float) -> JSONResponse:
    assert user is not None
    kit.services.sessions.revocations.note_user(user, now=now)
    return JSONResponse({})


routes = [
    Route("/members", who),
    Route("/told", what_was_told),
    Route("/health", health),
    Route("/disable/{id}", disable, methods=["POST"]),
    Route("/promote/{id}", promote, methods=["POST"]),
]
kit.events.listen(count)
app = kit.wrap(
    Starlette(routes=routes), PathRules(public=["/told", "/health", "/disable/*", "/promote/*"])
)
