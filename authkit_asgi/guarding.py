"""`guard()`: a second look inside a handler, so that a mistake in the path rules is not the only
barrier.

    @app.get("/billing")                                   # FastAPI
    async def billing(me: Annotated[Identity, Depends(guard("verified"))]): ...

    async def billing(request):                            # Starlette
        me = guard("verified")(request)
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from authkit_asgi.core.identity import Identity
from authkit_asgi.errors import AuthError, Forbidden, NotSignedIn


def guard(*scopes: str) -> Callable[[HTTPConnection], Identity]:
    """A function from the request to whoever asks. Refuses those who lack one of the scopes.

    The scopes are those of `scope["auth"]`: `authenticated`, `verified`, `admin`. Raises
    Starlette's `HTTPException`, 401 or 403, which Starlette and FastAPI turn into an answer.
    """

    def dependency(connection: HTTPConnection) -> Identity:
        who = connection.scope.get("user")
        if not isinstance(who, Identity):
            raise _as_http(NotSignedIn())
        if not set(scopes) <= set(who.credentials.scopes):
            raise _as_http(Forbidden())
        return who

    return dependency


def _as_http(error: AuthError) -> HTTPException:
    return HTTPException(error.status, detail=str(error), headers=dict(error.headers))
