"""What a request to a guarded API goes through, as generators that do no I/O.

They yield steps (`Send`, `Read`, `Refresh`) and get the results back, so that one flow serves
threads, asyncio and trio, and httpx as well as httpx2: neither is imported, new requests and
responses are made by the classes of those that came in.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from authkit_asgi.client.cookies import AuthCookies

# Of httpx or of httpx2. Both make a request from the same arguments.
Request: TypeAlias = Any
Response: TypeAlias = Any
URL: TypeAlias = Any

T = TypeVar("T")

# What a refresh takes over from the request that needs one: it goes to the same origin, through the
# same proxies, from the same program. Nothing about the body, nothing about caching.
CARRIED = ("host", "user-agent", "authorization")


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request and give back its response, not read."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Read the response to its end, close it, and give back the bytes as they came."""

    response: Response


@dataclass(frozen=True, slots=True)
class Refresh:
    """Run `Flow.refresh`, one at a time, and give back its outcome."""

    request: Request
    seen: Outcome | None


Step: TypeAlias = Send | Read | Refresh
Steps: TypeAlias = Generator[Step, Any, T]


class Verdict(Enum):
    FRESH = auto()
    DEAD = auto()
    LATER = auto()
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    response: Response


def judge(status: int, code: str | None) -> Verdict:
    """What the answer to a refresh means for the request that needed one.

    answer               verdict  what it means              the caller gets     the cookies
    -------------------  -------  -------------------------  ------------------  -----------
    2xx                  FRESH    new tokens                 the second answer   new
    401 with our `code`  DEAD     the session is over        the first 401       forgotten
    429, 5xx             LATER    a fault, never a sign-out  this answer         kept
    anything else        UNCLEAR  a proxy, a wrong address   the first 401       kept
    """
    if 200 <= status < 300:
        return Verdict.FRESH
    if status == 401 and code is not None:
        return Verdict.DEAD
    if status == 429 or status >= 500:
        return Verdict.LATER
    return Verdict.UNCLEAR


class Flow:
    """The steps of each request; it holds the cookies and the outcome of the last refresh."""

    def __init__(self, api: str, cookies: AuthCookies) -> None:
        self._api = checked(api)
        self.cookies = cookies
        self._latest: Outcome | None = None

    def visit(self, request: Request) -> Steps[Response]:
        """A request of the caller; to another origin it goes untouched, and without our cookies."""
        token_url = type(request.url)(f"{self._api}/token")
        if origin(request.url) != origin(token_url):
            return (yield Send(request))
        seen = self._latest
        if request.url.path == token_url.path:
            outcome: Outcome = yield Refresh(request, seen)
            return again(outcome.response)
        sent = self.cookies.held()
        response = yield from self._ask(request, sent)
        if not sent or not would_help(request, response):
            return response
        outcome = yield Refresh(token_request(request, token_url), seen)
        if outcome.verdict is Verdict.FRESH and replayable(request):
            return (yield from self._ask(request, self.cookies.held()))
        return again(outcome.response) if outcome.verdict is Verdict.LATER else response

    def refresh(self, request: Request, seen: Outcome | None) -> Steps[Outcome]:
        """One refresh for everybody who asked before it ended; the shell runs one at a time.

        `seen`: the latest outcome when the caller's request set out. A later one is for that caller
        too, whatever it says: nobody hammers a server that just said 503.
        """
        if self._latest is not None and self._latest is not seen:
            return self._latest
        sent = self.cookies.held()
        response = yield from self._ask(request, sent)
        response = whole(response, (yield Read(response)))
        verdict = judge(response.status_code, code_of(response))
        if verdict is Verdict.DEAD:
            self.cookies.forget(sent=sent)
        self._latest = Outcome(verdict, response)
        return self._latest

    def _ask(self, request: Request, sent: Mapping[str, str]) -> Steps[Response]:
        """Send a copy that carries the cookies of `sent`; keep those that come back to ourselves.

        A copy, so that the caller's request object, which logs and redirects see, has no secrets.
        """
        copy = copy_of(request)
        cookie = self.cookies.onto(request.headers.get("cookie", ""), sent)
        if cookie:
            copy.headers["cookie"] = cookie
        response = yield Send(copy)
        self.cookies.learn(response.headers.get_list("set-cookie"), sent=sent)
        response.headers = type(response.headers)(list(self._without_ours(response.headers.raw)))
        if is_refusal(request, response):
            response = whole(response, (yield Read(response)))
        return response

    def _without_ours(self, raw: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        for key, value in raw:
            name = value.partition(b"=")[0].strip().decode("latin-1")
            if key.lower() != b"set-cookie" or not self.cookies.knows(name):
                yield key, value


def checked(api: str) -> str:
    """The address of the API without a slash at the end, if it is one that cookies may go to."""
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"api: an address such as https://app.example/api/users, not {api!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("api: no user name, query or fragment, please")
    return api.rstrip("/")


def origin(url: URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def is_refusal(request: Request, response: Response) -> bool:
    """A 401 that may be ours and is worth reading: JSON, or the bare answer to a HEAD."""
    said: str = response.headers.get("content-type", "")
    json = said.partition(";")[0].strip().lower() == "application/json"
    return response.status_code == 401 and (json or request.method == "HEAD")


def would_help(request: Request, response: Response) -> bool:
    """Whether the refusal says that a refresh would help."""
    if not is_refusal(request, response):
        return False
    if request.method == "HEAD":
        return 'error="invalid_token"' in response.headers.get("www-authenticate", "")
    return code_of(response) == "token_expired"


def code_of(response: Response) -> str | None:
    """The `code` of a whole response, if it is an answer of ours."""
    copy = again(response)
    copy.read()
    try:
        body = copy.json()
    except ValueError:
        return None
    code = body.get("code") if isinstance(body, dict) else None
    return code if isinstance(code, str) else None


def replayable(request: Request) -> bool:
    """Whether the body is held in memory; a stream, a file or a form with files is sent once."""
    in_memory = type(request)("GET", request.url).stream
    return isinstance(request.stream, type(in_memory))


def copy_of(request: Request) -> Request:
    return type(request)(
        request.method,
        request.url,
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


def token_request(request: Request, url: URL) -> Request:
    carried = {name: request.headers[name] for name in CARRIED if name in request.headers}
    patience = {"timeout": request.extensions.get("timeout", {})}
    return type(request)("POST", url, headers=carried, json={}, extensions=patience)


def whole(response: Response, raw: bytes) -> Response:
    """The response with the bytes read from it in its stream, as if they just came in."""
    # The connection went back to the pool; nobody may write to it any more.
    about = {key: what for key, what in response.extensions.items() if key != "network_stream"}
    return type(response)(
        response.status_code,
        headers=response.headers,
        stream=type(response)(200, content=raw).stream,
        extensions=about,
    )


def again(response: Response) -> Response:
    """A whole response once more, not read: each of many callers gets one of its own."""
    return type(response)(
        response.status_code,
        headers=response.headers,
        stream=response.stream,
        extensions=response.extensions,
    )
