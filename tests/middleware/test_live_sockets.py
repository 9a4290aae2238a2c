"""A live socket belongs to its session: closed with 4401 when that is over, and never before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.middleware import AuthMiddleware
from tests.world import BASE_URL, World, world

POLL = 0.05  # seconds; the watch sleeps in real time, and judges by the clock that is set

SocketApp = Callable[[Any, Any, Any], Awaitable[None]]


class Line:
    """A client's end of a socket: what it was sent, and a way to hang up."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed = anyio.Event()
        self._put, self._get = anyio.create_memory_object_stream[dict[str, Any]](100)

    async def receive(self) -> dict[str, Any]:
        return await self._get.receive()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.closed.set()
            self.say({"type": "websocket.disconnect", "code": message["code"]})

    def say(self, message: dict[str, Any]) -> None:
        self._put.send_nowait(message)

    def hang_up(self) -> None:
        self.say({"type": "websocket.disconnect", "code": 1000})

    def end(self) -> None:
        self._put.close()
        self._get.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


async def chatter(scope: Any, receive: Any, send: Any) -> None:
    """Sends and never listens."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "tick"})
        await anyio.sleep(0.01)


def scope_for(tokens: dict[str, str]) -> dict[str, Any]:
    cookie = "; ".join(f"{name}={value}" for name, value in tokens.items())
    return {
        "type": "websocket",
        "path": "/live",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"cookie", cookie.encode()), (b"origin", BASE_URL.encode())],
        "client": ("127.0.0.1", 1),
    }


async def signed_in(w: World) -> dict[str, str]:
    async with w.browser() as browser:
        assert (await browser.sign_in()).status_code == 200
        return browser.tokens()


async def opened(w: World, app: SocketApp, tokens: dict[str, str], tasks: Any) -> Line:
    line = Line()
    line.say({"type": "websocket.connect"})
    guard = AuthMiddleware(app, kit=w.kit)
    tasks.start_soon(guard, scope_for(tokens), line.receive, line.send)
    with anyio.fail_after(5):
        while not line.sent:
            await anyio.lowlevel.checkpoint()
    assert line.sent[0]["type"] == "websocket.accept"
    return line


async def closed_with(line: Line) -> int:
    with anyio.fail_after(5):
        await line.closed.wait()
    return int(line.sent[-1]["code"])


async def sign_out(w: World, tokens: dict[str, str]) -> None:
    async with w.browser() as browser:
        browser.take_tokens(tokens)
        assert (await browser.api("POST", "/logout")).status_code == 200


async def end_everywhere(w: World, tokens: dict[str, str]) -> None:
    async with w.browser() as browser:
        browser.take_tokens(tokens)
        assert (await browser.api("DELETE", "/sessions?all=true")).status_code == 200


async def run_out(w: World, tokens: dict[str, str]) -> None:
    w.clock.pass_(hours=24 * 8)


@pytest.mark.parametrize("app", [echo, chatter])
@pytest.mark.parametrize("ending", [sign_out, end_everywhere, run_out])
async def test_the_end_of_its_session_closes_a_socket(
    app: SocketApp, ending: Callable[[World, dict[str, str]], Awaitable[None]]
) -> None:
    """DESIGN 7: and the app's part of it ends, whether it listens or only talks."""
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                line = await opened(w, app, tokens, tasks)
                await ending(w, tokens)
                w.clock.pass_(seconds=1)
                assert await closed_with(line) == 4401
        line.end()


async def test_neither_a_rotation_nor_another_sessions_end_disturbs_a_socket() -> None:
    async with world(revocation_poll=POLL) as w:
        await w.person()
        mine, other = await signed_in(w), await signed_in(w)
        async with anyio.create_task_group() as tasks:
            line = await opened(w, echo, mine, tasks)
            await sign_out(w, other)
            for _ in range(3):
                w.clock.pass_(hours=2)
                async with w.browser() as browser:
                    browser.take_tokens(mine)
                    assert (await browser.get("/members")).status_code == 200
                    mine = browser.tokens()
                await anyio.sleep(3 * POLL)
            line.say({"type": "websocket.receive", "text": "still here"})
            with anyio.fail_after(5):
                while line.sent[-1].get("text") != "still here":
                    await anyio.lowlevel.checkpoint()
            assert not line.closed.is_set()
            line.hang_up()
        line.end()


async def test_what_the_app_raises_comes_out_as_it_is() -> None:
    class Oops(Exception):
        pass

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise Oops

    async with world() as w:
        await w.person()
        guard = AuthMiddleware(failing, kit=w.kit)
        line = Line()
        with pytest.raises(Oops):
            await guard(scope_for(await signed_in(w)), line.receive, line.send)
        line.end()
