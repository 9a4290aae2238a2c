"""What a feature says about its HTTP: routes of the JSON API, and pages. Plain values; no
framework.

A handler gets a `Call` and returns a `Reply`, or raises a refusal of `errors`. The same handler
answers JSON on the API and a form on a page, so a rule that holds for one holds for the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from authkit_asgi.core.identity import Identity
from authkit_asgi.core.paths import Access
from authkit_asgi.errors import AuthError, NotSignedIn
from authkit_asgi.events import Visitor
from authkit_asgi.patience import Patience

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B]):
    """One request, as a handler sees it. `body` is parsed and typed; `now` is one clock reading.

    `access_token` and `refresh_token` are the raw cookies, for the few routes that are about them.
    `patience` is what the request has left of it for the store.
    """

    body: B
    now: float
    visitor: Visitor
    caller: Identity | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    access_token: bytes | None = field(default=None, repr=False)
    refresh_token: bytes | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)

    @property
    def identity(self) -> Identity:
        """Who asks. Raises `NotSignedIn`: a mistake in the path rules is not the only barrier."""
        if self.caller is None:
            raise NotSignedIn
        return self.caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A good answer. `cookies` are whole Set-Cookie values; `document` is a JSON body in place of
    ours."""

    message: str
    data: Mapping[str, Any] | None = None
    status: int = 200
    cookies: Sequence[str] = ()
    document: Mapping[str, Any] | None = None


Handler = Callable[[Call[Any]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A route's budget: `times` calls in `per` seconds for each value of `by`.

    `by` is `ip` (the visitor's address), `user` (who is signed in) or a field of the body.
    """

    times: int
    per: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the JSON API, below `api_path`.

    `body` is the pydantic model of its JSON body. `refusals` are the errors it is known for: they
    make the documentation (`/openapi.json`), not the behaviour.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    access: Access = Access.PROTECTED
    status: int = 200  # of its good answer, for the documentation
    body: type[BaseModel] | None = None
    refusals: Sequence[type[AuthError]] = ()
    limits: Sequence[Limit] = ()

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


async def _nothing(call: Call[Any]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An HTML page, below `pages_path`.

    `data` gives the template what it shows. `submit` is the API route that its form posts to: the
    page answers the form itself, by that route's handler, and then goes to `then` (a path below
    `pages_path`, with the visitor's `next` instead where `follows_next`). `done` is the notice that
    `then` shows.
    """

    path: str
    template: str
    title: str
    access: Access = Access.PROTECTED
    data: Callable[[Call[Any]], Awaitable[Mapping[str, Any]]] = _nothing
    submit: Route | None = None
    then: str = ""
    follows_next: bool = False
    done: str = ""
    holds_token: bool = False  # its address holds a mailed token: it must not leak (SECURITY K-05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """An entry of the dashboard's navigation: a label and the path of a page."""

    label: str
    path: str
    order: int = 100
