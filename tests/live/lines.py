"""A client's end of a live connection, without a server, and apps to talk to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from authkit_asgi.middleware import AuthMiddleware
from tests.world import BASE_URL, World

POLL = 0.05  # seconds; the watch sleeps in real time, and judges by the clock that is set

App = Callable[[Any, Any, Any], Awaitable[None]]


class Line:
    """What the client was sent, and a way to hang up.

    As servers do: once the last word is said, what is heard is that the client is gone.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.began = anyio.Event()
        self.ended = anyio.Event()
        self._heard: list[dict[str, Any]] = []
        self._news = anyio.Event()

    async def receive(self) -> dict[str, Any]:
        while not self._heard:
            await self._news.wait()
        return self._heard.pop(0)

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.began.set()
        if message["type"] == "websocket.close":
            self.say({"type": "websocket.disconnect", "code": message["code"]})
            self.ended.set()
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self.say({"type": "http.disconnect"})
            self.ended.set()

    def say(self, message: dict[str, Any]) -> None:
        self._heard.append(message)
        self._news.set()
        self._news = anyio.Event()

    def hang_up(self) -> None:
        self.say({"type": "websocket.disconnect", "code": 1000})

    @property
    def code(self) -> int:
        return int(self.sent[-1]["code"])


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


def scope_for(tokens: dict[str, str], kind: str = "websocket", **more: Any) -> dict[str, Any]:
    cookie = "; ".join(f"{name}={value}" for name, value in tokens.items())
    headers = [(b"cookie", cookie.encode()), (b"origin", BASE_URL.encode())]
    return {
        "type": kind,
        "method": "GET",
        "path": "/live",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        **more,
    }


async def signed_in(w: World) -> dict[str, str]:
    async with w.browser() as browser:
        assert (await browser.sign_in()).status_code == 200
        return browser.tokens()


async def opened(guard: AuthMiddleware, tokens: dict[str, str], tasks: Any, **scope: Any) -> Line:
    """A connection on which the app has said its first word."""
    line = Line()
    if scope.get("kind", "websocket") == "websocket":
        line.say({"type": "websocket.connect"})
    else:
        line.say({"type": "http.request", "body": b"", "more_body": False})
    tasks.start_soon(guard, scope_for(tokens, **scope), line.receive, line.send)
    with anyio.fail_after(5):
        await line.began.wait()
    return line


async def ended(line: Line) -> dict[str, Any]:
    """The last message, once there is one."""
    with anyio.fail_after(5):
        await line.ended.wait()
    return line.sent[-1]


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


ENDINGS = [sign_out, end_everywhere, run_out]
