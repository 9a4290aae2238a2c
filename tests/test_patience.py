"""What the store may cost one request: of many slow verbs too, and of nothing but verbs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.patience import Patience, in_time, uncounted
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.middleware.knocking import ask
from tests.world import PASSWORD, Browser, world

LIMIT = 2.0  # seconds in which every answer is there
VERBS = ("get", "find", "insert", "swap", "take", "delete", "count", "add")


class Slow(MemoryStore):
    """Each verb answers, after a while."""

    delay = 0.0  # seconds
    calls = 0

    def __getattribute__(self, name: str) -> Any:
        verb = super().__getattribute__(name)
        if name not in VERBS:
            return verb

        async def slowly(*args: Any, **more: Any) -> Any:
            self.calls += 1
            await anyio.sleep(self.delay)
            return await verb(*args, **more)

        return slowly


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # this is about seconds, and each of them is waited for


class Prompt:
    """An app, and the seconds until the beginning of its last answer.

    What follows the answer keeps nobody waiting, but for a test's own client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seconds = time.monotonic() - began
            await send(message)

        await self._app(scope, receive, timed)


async def change_password(browser: Browser) -> Any:
    body = {"currentPassword": PASSWORD, "newPassword": "another good phrase"}
    return await browser.api("POST", "/change-password", body)


async def edit_on_the_page(browser: Browser) -> Any:
    form = {"firstname": "Ada", "lastname": "Byron", "username": "ada", "bio": ""}
    return await browser.post("/user/dashboard/settings", data=form)


@pytest.mark.parametrize("act", [change_password, edit_on_the_page])
async def test_a_route_of_many_slow_verbs_says_so_in_time(
    act: Callable[[Browser], Awaitable[Any]],
) -> None:
    """SECURITY Q-06: what the guard has waited for counts too, and what a form shows again."""
    store = Slow()
    async with world(store=store) as w:
        prompt = Prompt(w.app)
        async with Browser(prompt) as browser:
            await w.person()
            await browser.sign_in()
            w.clock.pass_(seconds=5)
            store.delay = 0.6
            answer = await act(browser)
            assert prompt.seconds < LIMIT
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert "set-cookie" not in answer.headers


async def test_a_needed_refresh_says_so_in_time() -> None:
    store = Slow()
    async with world(store=store) as w, w.browser() as browser:
        await w.person()
        await browser.sign_in()
        w.clock.pass_(hours=2)
        store.delay = 0.6
        for path, status in (("/members", 503), ("/", 200), ("/user/login", 200)):
            began = time.monotonic()
            assert (await browser.get(path)).status_code == status
            assert time.monotonic() - began < LIMIT
        store.delay = 0.0
        assert (await browser.get("/members")).status_code == 200


async def test_in_an_outage_a_valid_token_hardly_waits() -> None:
    store = Slow()
    async with world(store=store) as w:
        prompt = Prompt(w.app)
        async with Browser(prompt) as browser:
            await w.person()
            await browser.sign_in()
            store.delay = 1.2  # and that twice for a read
            times = []
            for _ in range(2):
                w.clock.pass_(seconds=5)
                w.kit.services.sessions.revocations.put_off(w.clock() - 5)
                assert (await browser.get("/members")).status_code == 200
                times.append(prompt.seconds)
            assert max(times) < 0.7


async def test_a_logout_is_heard_of_although_the_store_is_slow() -> None:
    """SECURITY S-10: by the read that goes on when the answer is out."""
    store = Slow()
    async with world(store=store) as w, w.browser() as browser, w.browser() as other:
        await w.person()
        await browser.sign_in()
        await other.sign_in()
        access = {"token": browser.tokens()["token"]}
        w.clock.pass_(seconds=5)
        revocations = w.kit.services.sessions.revocations
        store.delay = 0.7  # two reads take longer than a request waits
        assert (await ask(w.app, "/members", access)).status == 200
        assert not revocations.is_behind
        store.delay = 0.0
        await other.api("DELETE", "/sessions")
        revocations._closed.clear()
        revocations._raised.clear()
        store.delay = 0.7
        w.clock.pass_(seconds=2)
        assert (await ask(w.app, "/members", access)).status == 200
        assert (await ask(w.app, "/members", access)).status == 401


async def test_what_is_not_the_stores_doing_takes_nothing() -> None:
    patience = Patience(0.3)

    async def hash_slowly() -> str:
        with uncounted():
            await anyio.sleep(0.4)
        return await in_time(at_once)

    assert await patience.counted(hash_slowly()) == "done"
    await anyio.sleep(0.4)  # between two parts of a request, as while its body arrives
    assert await patience.counted(in_time(at_once)) == "done"


async def test_what_is_used_up_stays_used_up() -> None:
    patience = Patience(0.1)
    with pytest.raises(StoreUnavailable):
        await patience.counted(in_time(lambda: anyio.sleep(5)))
    with pytest.raises(StoreUnavailable):
        await patience.counted(in_time(at_once))


async def test_a_task_that_outlives_its_request_is_in_no_hurry() -> None:
    done: list[str] = []
    over = anyio.Event()

    async def later() -> None:
        await over.wait()
        done.append(await in_time(at_once))

    async def request(group: anyio.abc.TaskGroup) -> None:
        group.start_soon(later)

    async with anyio.create_task_group() as group:
        await Patience(0.0).counted(request(group))
        over.set()
    assert done == ["done"]


async def at_once() -> str:
    return "done"
