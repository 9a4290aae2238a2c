"""`guard()`: a second look inside a handler, so that a mistake in the path rules is not the only
barrier.

    @app.get("/billing")                                   # FastAPI
    async def billing(me: Annotated[Identity, Depends(guard(verified=True))]): ...

    async def close_account(request):                      # Starlette
        me = guard("admin", fresh="10m")(request)
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from authkit_asgi.core.demands import Span, demand_of
from authkit_asgi.core.identity import Identity
from authkit_asgi.errors import AuthError, NotSignedIn
from authkit_asgi.live import LIVE


def guard(
    *scopes: str, verified: bool = False, fresh: Span | None = None
) -> Callable[[HTTPConnection], Identity]:
    """A function from the request to whoever asks. Refuses those who lack what is demanded.

    As in a `Rule`: the scopes are those of `scope["auth"]` (`authenticated`, `verified`, `admin`,
    and an app's own), `fresh` is in seconds or a text such as `10m`. The function raises
    Starlette's `HTTPException`, 401 or 403, which Starlette and FastAPI turn into an answer. Raises
    ValueError for a demand that could not mean what its author thinks.
    """
    demand = demand_of(verified=verified, scope=scopes, fresh=fresh)

    def dependency(connection: HTTPConnection) -> Identity:
        who = connection.scope.get("user")
        if not isinstance(who, Identity):
            raise _as_http(NotSignedIn())
        watch = connection.scope.get(LIVE)
        lack = demand.lacking(who, now=time.time() if watch is None else watch.clock())
        if lack is not None:
            raise _as_http(lack)
        return who

    return dependency


def _as_http(error: AuthError) -> HTTPException:
    return HTTPException(error.status, detail=str(error), headers=dict(error.headers))
