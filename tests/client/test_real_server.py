"""The Python client, the kit in a server process, and a service beside it that only verifies.

The guard refreshes within the request, so that its own paths never ask for a refresh; the service
does, with `token_expired`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeAlias

import anyio
import httpx
import httpx2
import pytest

from authkit_asgi.client import (
    AsyncAuthKitClient,
    AsyncRefreshing,
    AuthKitClient,
    AuthKitClientError,
    Refreshing,
)
from tests.browser.people import PASSWORD, make_user
from tests.servers.serving import Server, serving

pytestmark = pytest.mark.servers

MANY = 20
ADA = ("ada@example.test", PASSWORD)
TOKEN = "POST /api/users/token"
SLOW = {"slow": {"/api/users/token": 0.3}}  # so that all are refused before the answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("client") / "authkit.db"
    with serving(database, workers=1, app="tests.browser.reach:app") as running:
        make_user(running, "Ada")
        yield running


@pytest.fixture(params=[pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")])
def lib(request: pytest.FixtureRequest) -> Any:
    return request.param


class Script:
    """A program for threads. `cookies`: those of an earlier run."""

    def __init__(self, lib: Any, server: Server, cookies: dict[str, str] | None = None) -> None:
        api = f"{server.url}/api/users"
        self.transport = Refreshing(lib.HTTPTransport(), api, cookies=cookies)
        self.client = lib.Client(transport=self.transport, base_url=server.url, trust_env=False)
        self.authkit = AuthKitClient(self.client, api)

    def tell(self, **what: Any) -> None:
        self.client.post("/desk", json=what)

    def asked(self) -> dict[str, int]:
        return dict(self.client.get("/desk").json())


Start: TypeAlias = Callable[..., Script]


@pytest.fixture
def start(lib: Any, server: Server) -> Iterator[Start]:
    with ExitStack() as clients:

        def start(cookies: dict[str, str] | None = None) -> Script:
            script = Script(lib, server, cookies)
            clients.enter_context(script.client)
            return script

        yield start


@pytest.fixture
def script(start: Start) -> Script:
    """Signed in by an earlier run, whose access token has run out."""
    earlier = start()
    earlier.authkit.login(*ADA)
    script = start({"refreshToken": earlier.transport.cookies["refreshToken"]})
    script.tell()
    return script


def test_twenty_threads_refresh_once(script: Script) -> None:
    """SECURITY S-22."""
    script.tell(**SLOW)

    def put(i: int) -> dict[str, str]:
        return dict(script.client.put("/service", content=f"row {i}").json())

    with ThreadPoolExecutor(MANY) as threads:
        answers = list(threads.map(put, range(MANY)))
    assert answers == [{"method": "PUT", "body": f"row {i}"} for i in range(MANY)]
    assert script.asked() == {"PUT /service": 2 * MANY, TOKEN: 1}


async def test_twenty_tasks_refresh_once(lib: Any, server: Server, script: Script) -> None:
    """On asyncio and on trio (SECURITY S-22)."""
    script.tell(**SLOW)
    api = f"{server.url}/api/users"
    transport = AsyncRefreshing(lib.AsyncHTTPTransport(), api, cookies=script.transport.cookies)
    answers: list[int] = []
    async with lib.AsyncClient(
        transport=transport, base_url=server.url, trust_env=False, timeout=30
    ) as client:

        async def ask(i: int) -> None:
            answers.append((await client.get("/service", params={"i": i})).status_code)

        async with anyio.create_task_group() as tasks:
            for i in range(MANY):
                tasks.start_soon(ask, i)
        assert answers == [200] * MANY
        assert (await AsyncAuthKitClient(client, api).session())["user"]["username"] == "ada"
    assert script.asked()[TOKEN] == 1


def test_an_outage_of_the_refresh_keeps_the_sign_in(script: Script) -> None:
    script.tell(down={"/api/users/token": 1})
    refused = script.client.get("/service")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert script.client.get("/service").status_code == 200


def test_a_session_ended_on_another_device_is_over_here(start: Start, script: Script) -> None:
    other = start()
    other.authkit.login(*ADA)
    assert other.client.delete("/api/users/sessions").status_code == 200
    refused = script.client.get("/service")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    assert script.transport.cookies == {}
    with pytest.raises(AuthKitClientError) as over:
        script.authkit.session()
    assert over.value.code == "not_signed_in"
    assert other.client.get("/service").status_code == 200
