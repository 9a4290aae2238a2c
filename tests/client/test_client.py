"""Both transports with both libraries, against a small server that speaks the HTTP contract."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authkit_asgi.client import (
    AsyncAuthKitClient,
    AsyncRefreshing,
    AuthKitClient,
    AuthKitClientError,
    Refreshing,
)

MANY = 30
ADA = ("ada@example.com", "correct horse battery")


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    cookie: str
    body: bytes
    agent: str


class Guarded:
    """One account, one session; the access token runs out when a test says so."""

    def __init__(self) -> None:
        self.origin = "https://app.example"
        self.seen: list[Seen] = []
        self.generation = 0
        self.expired = False
        self.open = False
        self.token_answers: list[Response] = []  # instead of a refresh, first come first served
        self.wait_for = 0  # refusals that must be out before a refresh is answered
        self.all_refused = anyio.Event()
        self.refused = 0
        every = ["GET", "HEAD", "POST", "PUT", "DELETE"]
        self.app = Starlette(
            routes=[
                Route("/api/users/login", self.login, methods=["POST"]),
                Route("/api/users/token", self.token, methods=["POST"]),
                Route("/api/users/logout", self.logout, methods=["POST"]),
                Route("/api/users/session", self.session),
                Route("/moved", self.moved, methods=every),
                Route("/visitors", self.visitors),
                Route("/{rest:path}", self.echo, methods=every),
            ]
        )

    @property
    def refreshes(self) -> int:
        return sum(seen.path == "/api/users/token" for seen in self.seen)

    def asked(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    async def note(self, request: Request) -> bytes:
        headers, body = request.headers, await request.body()
        said = headers.get("cookie", ""), body, headers.get("user-agent", "")
        self.seen.append(Seen(request.method, request.url.path, *said))
        return body

    async def login(self, request: Request) -> Response:
        await self.note(request)
        said = await request.json()
        if (said["email"], said["password"]) != ADA:
            return refusal(401, "bad_credentials", fields={"password": "Wrong."})
        self.open, self.expired = True, False
        user = {"email": said["email"], "remember": said["rememberMe"]}
        return self.with_tokens(success({"user": user}))

    async def token(self, request: Request) -> Response:
        await self.note(request)
        if self.refused < self.wait_for:
            await self.all_refused.wait()
        if self.token_answers:
            return self.token_answers.pop(0)
        if not self.open or request.cookies.get("refreshToken") != f"refresh.{self.generation}":
            return without_tokens(refusal(401, "not_signed_in"))
        self.expired = False
        self.generation += 1
        return self.with_tokens(success({"accessTokenExpiresAt": "2030-01-01T00:00:00Z"}))

    async def logout(self, request: Request) -> Response:
        await self.note(request)
        self.open = False
        return without_tokens(success({}))

    async def session(self, request: Request) -> Response:
        await self.note(request)
        return self.guard(request) or success({"sessionExpiresAt": "2030-01-01T00:00:00Z"})

    async def moved(self, request: Request) -> Response:
        await self.note(request)
        return RedirectResponse(request.query_params["to"], status_code=307)

    async def visitors(self, request: Request) -> Response:
        """A page of the app that sets cookies of its own."""
        await self.note(request)
        response = success({})
        response.set_cookie("theme", "dark")
        response.set_cookie("token", "theirs")
        return response

    async def echo(self, request: Request) -> Response:
        body = await self.note(request)
        return self.guard(request) or Response(request.method.encode() + b" " + body)

    def guard(self, request: Request) -> Response | None:
        presented = request.cookies.get("token", request.headers.get("authorization"))
        if not self.open or presented is None:
            return refusal(401, "not_signed_in")
        if not self.expired and presented == f"access.{self.generation}":
            return None
        self.refused += 1
        if self.refused == self.wait_for:
            self.all_refused.set()
        challenge = {"WWW-Authenticate": 'Bearer realm="authkit", error="invalid_token"'}
        return refusal(401, "token_expired", headers=challenge)

    def with_tokens(self, response: Response) -> Response:
        response.set_cookie("token", f"access.{self.generation}", max_age=3600, httponly=True)
        response.set_cookie(
            "refreshToken", f"refresh.{self.generation}", max_age=604800, httponly=True
        )
        return response

    def expire(self, *, then_wait_for: int = 0) -> None:
        self.expired = True
        self.wait_for = then_wait_for


def success(data: dict[str, Any]) -> Response:
    return JSONResponse({"success": True, "message": "Done.", "data": data})


def refusal(
    status: int, code: str, headers: dict[str, str] | None = None, **details: Any
) -> Response:
    body = {"success": False, "error": "No.", "code": code, **details}
    return JSONResponse(body, status, headers=headers)


def unavailable() -> Response:
    return refusal(503, "unavailable", headers={"Retry-After": "7"})


def without_tokens(response: Response) -> Response:
    response.delete_cookie("token")
    response.delete_cookie("refreshToken")
    return response


class Site:
    """A port on this machine, and whichever app answers there."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.app: ASGIApp = Starlette()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@contextmanager
def served() -> Iterator[Site]:
    """A site by a real server in a thread; it listens before its loop runs."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        site = Site(f"http://127.0.0.1:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            site, loop="asyncio", ws="none", lifespan="off", log_level="critical"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield site
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Site, Site]]:
    with served() as one, served() as two:
        yield one, two


@pytest.fixture(params=[pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")])
def lib(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture
def neighbour(sites: tuple[Site, Site]) -> Guarded:
    """Another server of the same kind, on another port of the same host."""
    guarded = Guarded()
    sites[1].app, guarded.origin = guarded.app, sites[1].origin
    return guarded


class World:
    """A client for threads, of a real server."""

    def __init__(self, lib: Any, origin: str) -> None:
        self.api = f"{origin}/api/users"
        self.transport = Refreshing(lib.HTTPTransport(), self.api)
        self.client = lib.Client(transport=self.transport, base_url=origin, trust_env=False)
        self.authkit = AuthKitClient(self.client, self.api)


@pytest.fixture
def world(lib: Any, guarded: Guarded, sites: tuple[Site, Site]) -> Iterator[World]:
    sites[0].app, guarded.origin = guarded.app, sites[0].origin
    world = World(lib, guarded.origin)
    with world.client:
        world.authkit.login(*ADA)
        yield world


class AsyncWorld:
    """An async client, of an app in the same event loop that compresses what it says."""

    def __init__(self, lib: Any, guarded: Guarded) -> None:
        app = GZipMiddleware(guarded.app, minimum_size=1)
        self.transport = AsyncRefreshing(lib.ASGITransport(app), f"{guarded.origin}/api/users/")
        self.client = lib.AsyncClient(transport=self.transport, base_url=guarded.origin)
        self.authkit = AsyncAuthKitClient(self.client, f"{guarded.origin}/api/users/")


@pytest.fixture
async def aworld(lib: Any, guarded: Guarded, anyio_backend: Any) -> AsyncIterator[AsyncWorld]:
    world = AsyncWorld(lib, guarded)
    async with world.client:
        await world.authkit.login(*ADA)
        yield world


def test_thirty_threads_whose_token_ran_out_refresh_once(world: World, guarded: Guarded) -> None:
    """S-22: single flight, and each request is repeated with its own body."""
    guarded.expire(then_wait_for=MANY)
    with ThreadPoolExecutor(MANY) as threads:
        answers = list(
            threads.map(lambda i: world.client.post(f"/n/{i}", content=b"%d" % i), range(MANY))
        )
    assert [answer.text for answer in answers] == [f"POST {i}" for i in range(MANY)]
    assert guarded.refreshes == 1
    assert guarded.refused == MANY


async def test_thirty_tasks_whose_token_ran_out_refresh_once(
    aworld: AsyncWorld, guarded: Guarded
) -> None:
    """S-22."""
    guarded.expire(then_wait_for=MANY)
    texts: dict[int, str] = {}

    async def put(i: int) -> None:
        texts[i] = (await aworld.client.put(f"/n/{i}", json=i)).text

    async with anyio.create_task_group() as group:
        for i in range(MANY):
            group.start_soon(put, i)
    assert texts == {i: f"PUT {i}" for i in range(MANY)}
    assert guarded.refreshes == 1


async def test_thirty_tasks_share_one_503(aworld: AsyncWorld, guarded: Guarded) -> None:
    """A server that is down is not asked thirty times, and nobody is signed out by it."""
    guarded.expire(then_wait_for=MANY)
    guarded.token_answers = [unavailable()]
    answers: list[Any] = []

    async def get() -> None:
        answers.append(await aworld.client.get("/x"))

    async with anyio.create_task_group() as group:
        for _ in range(MANY):
            group.start_soon(get)
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"unavailable"}
    assert len({id(answer) for answer in answers}) == MANY  # each its own, to read and to close
    assert guarded.refreshes == 1
    assert (await aworld.client.get("/x")).status_code == 200


async def test_a_cancelled_refresh_is_taken_over_by_who_waits(
    aworld: AsyncWorld, guarded: Guarded
) -> None:
    guarded.expire(then_wait_for=2)
    statuses: list[int] = []
    impatient = anyio.CancelScope()

    async def first() -> None:
        with impatient:
            statuses.append((await aworld.client.get("/first")).status_code)

    async def second() -> None:
        while not guarded.refreshes:
            await anyio.lowlevel.checkpoint()
        guarded.wait_for = 3  # the refresh of the first is never answered
        statuses.append((await aworld.client.get("/second")).status_code)

    async def cancel() -> None:
        while guarded.refused < 2:
            await anyio.lowlevel.checkpoint()
        guarded.wait_for = 0
        impatient.cancel()

    async with anyio.create_task_group() as group:
        for task in (first, second, cancel):
            group.start_soon(task)
    assert statuses == [200]
    assert guarded.refreshes == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_request_is_repeated_once_after_a_refresh(
    world: World, guarded: Guarded, method: str
) -> None:
    guarded.expire()
    assert world.client.request(method, "/x").status_code == 200
    assert [seen.cookie for seen in guarded.asked("/x")] == [
        "token=access.0; refreshToken=refresh.0",
        "token=access.1; refreshToken=refresh.1",
    ]
    assert {seen.agent for seen in guarded.seen} == {world.client.headers["user-agent"]}


def test_a_second_refusal_is_final(world: World, guarded: Guarded) -> None:
    """S-22: at most one repetition, whatever the server says."""
    guarded.expire()
    guarded.token_answers = [guarded.with_tokens(success({}))]  # says yes, and still refuses
    assert world.client.get("/x").json()["code"] == "token_expired"
    assert (guarded.refreshes, len(guarded.asked("/x"))) == (1, 2)


@pytest.mark.parametrize(
    ("answer", "status", "code", "signed_in"),
    [
        pytest.param(unavailable, 503, "unavailable", True, id="store down"),
        pytest.param(lambda: refusal(429, "rate_limited"), 429, "rate_limited", True, id="slow"),
        pytest.param(
            lambda: refusal(401, "not_signed_in"), 401, "token_expired", False, id="session over"
        ),
        pytest.param(
            lambda: without_tokens(refusal(401, "not_signed_in")),
            401,
            "token_expired",
            False,
            id="session over, cookies cleared",
        ),
        pytest.param(
            lambda: Response("<h1>Proxy</h1>", 401), 401, "token_expired", True, id="a proxy's 401"
        ),
        pytest.param(lambda: Response("", 404), 401, "token_expired", True, id="no such route"),
    ],
)
async def test_what_the_caller_gets_when_a_refresh_fails(
    aworld: AsyncWorld, guarded: Guarded, answer: Any, status: int, code: str, signed_in: bool
) -> None:
    guarded.expire()
    guarded.token_answers = [answer()]
    response = await aworld.client.post("/x", content=b"once")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert bool(aworld.transport.cookies) is signed_in
    assert len(guarded.asked("/x")) == 1
    after = await aworld.client.get("/x")
    assert after.status_code == (200 if signed_in else 401)


def test_an_answer_that_asks_for_patience_says_for_how_long(world: World, guarded: Guarded) -> None:
    guarded.expire()
    guarded.token_answers = [unavailable()]
    assert world.client.get("/x").headers["retry-after"] == "7"


def test_a_refusal_that_a_refresh_would_not_change_is_passed_through(
    world: World, guarded: Guarded
) -> None:
    guarded.open = False
    response = world.client.get("/x")
    assert (response.status_code, response.json()["code"]) == (401, "not_signed_in")
    assert guarded.refreshes == 0


def test_without_cookies_there_is_nothing_to_refresh_with(
    world: World, guarded: Guarded, lib: Any
) -> None:
    transport = Refreshing(lib.HTTPTransport(), world.api)
    with lib.Client(transport=transport, trust_env=False) as client:
        bearer = {"authorization": "Bearer old"}
        refused = client.get(f"{guarded.origin}/x", headers=bearer)
    assert refused.json()["code"] == "token_expired"
    assert guarded.refreshes == 0


def test_a_streamed_body_is_sent_once_and_the_refresh_still_happens(
    world: World, guarded: Guarded, tmp_path: Path
) -> None:
    """S-22: the second half of a stream must not arrive as the whole of another request."""
    (tmp_path / "report").write_bytes(b"rows")
    with (tmp_path / "report").open("rb") as file:
        for body in ({"content": iter([b"ro", b"ws"])}, {"files": {"f": file}}):
            guarded.expire()
            before = guarded.refreshes
            assert world.client.post("/x", **body).json()["code"] == "token_expired"
            assert guarded.refreshes == before + 1
            assert world.client.post("/x", content=iter([b"ro", b"ws"])).text == "POST rows"


def test_a_form_and_a_redirected_body_arrive_whole(world: World, guarded: Guarded) -> None:
    guarded.expire()
    assert world.client.post("/x", data={"a": "1"}).text == "POST a=1"
    guarded.expire()
    moved = world.client.post("/moved?to=/x", content=b"again", follow_redirects=True)
    assert moved.text == "POST again"


def test_a_streamed_answer_is_not_read_ahead(world: World, guarded: Guarded) -> None:
    guarded.expire()
    with world.client.stream("GET", "/x") as response:
        assert not response.is_stream_consumed
        assert b"".join(response.iter_raw()) == b"GET "
    guarded.open = False
    with world.client.stream("GET", "/x") as response:
        assert b"not_signed_in" in b"".join(response.iter_raw())


def test_another_origin_gets_no_auth_cookie(world: World, neighbour: Guarded) -> None:
    """F-04: neither asked directly nor by redirect; the other port of a host is another origin."""
    elsewhere, neighbour.open = neighbour.origin, True
    world.client.get(f"{elsewhere}/x")
    world.client.post(f"/moved?to={elsewhere}/taken", content=b"once", follow_redirects=True)
    world.client.get(f"{elsewhere}/api/users/session")
    world.client.post(f"{elsewhere}/api/users/token")
    assert [(seen.path, seen.cookie) for seen in neighbour.seen] == [
        ("/x", ""),
        ("/taken", ""),
        ("/api/users/session", ""),
        ("/api/users/token", ""),
    ]


def test_a_refusal_of_another_origin_starts_no_refresh(
    world: World, guarded: Guarded, neighbour: Guarded
) -> None:
    """F-04: a foreign 401 neither refreshes our session nor repeats the body."""
    neighbour.open = neighbour.expired = True
    cookie = {"cookie": "token=theirs"}
    response = world.client.post(f"{neighbour.origin}/x", content=b"once", headers=cookie)
    assert response.json()["code"] == "token_expired"
    assert len(neighbour.asked("/x")) == 1
    assert guarded.refreshes == neighbour.refreshes == 0


def test_a_neighbour_on_the_same_host_cannot_plant_a_token(
    world: World, guarded: Guarded, neighbour: Guarded
) -> None:
    """F-04: its `token` is in the client's jar, which knows no ports; ours is sent instead."""
    world.client.get(f"{neighbour.origin}/visitors")
    assert world.client.cookies["token"] == "theirs"
    assert world.client.get("/x").status_code == 200
    assert guarded.asked("/x")[0].cookie == "theme=dark; token=access.0; refreshToken=refresh.0"


def test_the_secrets_stay_in_the_transport(world: World, guarded: Guarded) -> None:
    """They are in no jar, no request and no response that the caller, a log or a hook sees."""
    guarded.expire()
    response = world.client.get("/x")
    assert response.status_code == 200
    login = world.client.post(
        "/api/users/login", json={"email": ADA[0], "password": ADA[1], "rememberMe": False}
    )
    assert "set-cookie" not in login.headers
    assert "cookie" not in response.request.headers
    assert dict(world.client.cookies) == {}
    assert "access." not in repr(world.transport) + repr(vars(world.transport))


def test_a_saved_sign_in_goes_on_in_the_next_run(world: World, guarded: Guarded, lib: Any) -> None:
    transport = Refreshing(lib.HTTPTransport(), world.api, cookies=world.transport.cookies)
    guarded.expire()
    with lib.Client(transport=transport, trust_env=False) as client:
        assert AuthKitClient(client, world.api).session() == {
            "sessionExpiresAt": "2030-01-01T00:00:00Z"
        }
    assert transport.cookies == {"token": "access.1", "refreshToken": "refresh.1"}


def test_the_calls_sign_in_refresh_and_sign_out(world: World) -> None:
    user = world.authkit.login(*ADA, remember_me=True)
    assert user == {"email": ADA[0], "remember": True}
    assert world.authkit.refresh() == {"accessTokenExpiresAt": "2030-01-01T00:00:00Z"}
    world.authkit.logout()
    assert world.transport.cookies == {}
    with pytest.raises(AuthKitClientError) as refused:
        world.authkit.session()
    assert (refused.value.status, refused.value.code) == (401, "not_signed_in")


async def test_the_calls_are_awaited_alike(aworld: AsyncWorld) -> None:
    assert await aworld.authkit.refresh() == {"accessTokenExpiresAt": "2030-01-01T00:00:00Z"}
    assert "sessionExpiresAt" in await aworld.authkit.session()
    await aworld.authkit.logout()
    assert aworld.transport.cookies == {}


def test_a_wrong_password_says_what_is_wrong(world: World, guarded: Guarded) -> None:
    with pytest.raises(AuthKitClientError, match="401 bad_credentials") as refused:
        world.authkit.login(ADA[0], "wrong")
    assert refused.value.fields == {"password": "Wrong."}
    assert guarded.refreshes == 0


def test_an_answer_of_somebody_else_is_an_error_without_a_code(world: World) -> None:
    stray = AuthKitClient(world.client, f"{world.api}/elsewhere")
    with pytest.raises(AuthKitClientError) as refused:
        stray.refresh()
    assert (refused.value.status, refused.value.code) == (200, "")


@pytest.mark.parametrize(
    "api",
    [
        pytest.param("/api/users", id="no origin"),
        pytest.param("ftp://app.example/api/users", id="not http"),
        pytest.param("https://ada:pw@app.example/api/users", id="with a password"),
        pytest.param("https://app.example/api/users?x=1", id="with a query"),
    ],
)
def test_an_address_that_is_none_is_refused_when_built(api: str) -> None:
    with pytest.raises(ValueError, match="api: "):
        Refreshing(None, api)
