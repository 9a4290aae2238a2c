"""A stream belongs to its session, too; an answer that is none costs nothing, and goes its way."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authkit_asgi import PathRules, live
from authkit_asgi.errors import Busy
from authkit_asgi.live import session_ended
from authkit_asgi.middleware import AuthMiddleware
from tests.live.lines import ENDINGS, POLL, Line, ended, opened, scope_for, sign_out, signed_in
from tests.world import Browser, World, world

DOCS = Path(__file__).parents[2] / "docs"
EVENTS = (b"content-type", b"text/event-stream")
ACCEPT = (b"accept", b"text/event-stream")
RULES = PathRules(public=["/open"])


class Streaming:
    """Answers at length, or quietly: says one thing, and then waits for the client to go."""

    def __init__(self, *headers: tuple[bytes, bytes], quiet: bool = False) -> None:
        self.headers = list(headers)
        self.quiet = quiet
        self.sends: list[Any] = []
        self.heard: list[dict[str, Any]] = []
        self.failed: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.sends.append(send)
        await receive()
        start = {"type": "http.response.start", "status": 200, "headers": self.headers}
        await send({**start, "trailers": scope["path"] == "/trailers"})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"tick", "more_body": True})
                if self.quiet:
                    self.heard.append(await receive())
                    return
                await anyio.sleep(0.01)
        except Exception as error:
            self.failed = error
            raise


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_end_of_its_session_ends_a_stream(
    ending: Callable[[World, dict[str, str]], Awaitable[None]], quiet: bool
) -> None:
    """SECURITY S-10: cleanly for the client; the app hears that the client is gone."""
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        app = Streaming(EVENTS, quiet=quiet)
        guard = AuthMiddleware(app, kit=w.kit)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                line = await opened(guard, tokens, tasks, kind="http")
                assert len(guard.live) == 1
                await ending(w, tokens)
                w.clock.pass_(seconds=1)
                await ended(line)
        last = line.sent[-1]
        assert (last["type"], last["body"], last["more_body"]) == ("http.response.body", b"", False)
        assert app.heard == ([{"type": "http.disconnect"}] if quiet else [])
        assert quiet or isinstance(app.failed, OSError)
        assert len(guard.live) == 0


async def test_promised_trailers_are_sent() -> None:
    """Or the server would wait for them."""
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        guard = AuthMiddleware(Streaming(), kit=w.kit)
        async with anyio.create_task_group() as tasks:
            line = await opened(guard, tokens, tasks, kind="http", path="/trailers")
            await sign_out(w, tokens)
        assert [message["type"] for message in line.sent[-2:]] == [
            "http.response.body",
            "http.response.trailers",
        ]


async def test_a_rotation_disturbs_no_stream_not_even_the_one_it_came_with() -> None:
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        w.clock.pass_(hours=2)
        guard = AuthMiddleware(Streaming(EVENTS), kit=w.kit)
        async with anyio.create_task_group() as tasks:
            line = await opened(guard, tokens, tasks, kind="http")
            cookies = [v for name, v in line.sent[0]["headers"] if name == b"set-cookie"]
            new = dict(v.decode().split(";")[0].split("=") for v in cookies)
            assert new.keys() == {"token", "refreshToken"}
            await anyio.sleep(5 * POLL)
            assert not line.ended.is_set()
            await sign_out(w, new)
            await ended(line)
        assert len(guard.live) == 0


@pytest.mark.parametrize(
    ("path", "headers", "watched"),
    [
        pytest.param("/live", [], True, id="protected"),
        pytest.param("/open", [ACCEPT], True, id="public, an EventSource"),
        pytest.param("/open", [], False, id="public, anything else"),
    ],
)
@pytest.mark.parametrize("length", [None, b"1000000"])
async def test_what_is_a_stream(
    path: str, headers: list[tuple[bytes, bytes]], watched: bool, length: bytes | None
) -> None:
    """A body of unknown length to somebody who is signed in. A download goes on to its end."""
    app = Streaming(*([] if length is None else [(b"Content-Length", length)]))
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        guard = AuthMiddleware(app, kit=w.kit, rules=RULES)
        async with anyio.create_task_group() as tasks:
            scope = scope_for(tokens, "http", path=path)
            scope["headers"] += headers
            line = Line()
            line.say({"type": "http.request"})
            send = line.send
            tasks.start_soon(guard, scope, line.receive, send)
            await line.began.wait()
            assert len(guard.live) == (watched and length is None)
            # Each of these answers is somebody's, and says so to caches (SECURITY K-02).
            assert app.sends[0] != send
            await sign_out(w, tokens)
            await anyio.sleep(5 * POLL)
            assert line.ended.is_set() is (watched and length is None)
            tasks.cancel_scope.cancel()
        assert len(guard.live) == 0


async def test_a_strangers_stream_is_nobodys() -> None:
    app = Streaming(EVENTS)
    async with world(revocation_poll=POLL) as w:
        guard = AuthMiddleware(app, kit=w.kit, rules=RULES)
        async with anyio.create_task_group() as tasks:
            await opened(guard, {}, tasks, kind="http", path="/open")
            assert len(guard.live) == 0
            tasks.cancel_scope.cancel()


async def test_an_answer_that_ends_by_itself_is_left_alone() -> None:
    class Oops(Exception):
        pass

    async def short(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})
        assert len(guard.live) == 0
        if scope["path"] == "/oops":
            raise Oops

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        assert len(guard.live) == 1
        raise Oops

    async with world() as w:
        await w.person()
        tokens = await signed_in(w)
        line = Line()
        guard = AuthMiddleware(short, kit=w.kit)
        await guard(scope_for(tokens, "http"), line.receive, line.send)
        assert [message.get("body") for message in line.sent] == [None, b"all"]
        with pytest.raises(Oops):
            await guard(scope_for(tokens, "http", path="/oops"), line.receive, line.send)
        guard = AuthMiddleware(broken, kit=w.kit)
        with pytest.raises(Oops):
            await guard(scope_for(tokens, "http"), line.receive, line.send)
        assert len(guard.live) == 0


async def test_an_answer_that_begins_twice_leaves_nothing_behind() -> None:
    async def stuttering(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            await send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
            assert len(guard.live) == 1

    async with world() as w:
        await w.person()
        guard, line = AuthMiddleware(stuttering, kit=w.kit), Line()
        await guard(scope_for(await signed_in(w), "http"), line.receive, line.send)
        assert len(guard.live) == 0


class TestSessionEnded:
    """What an app asks for itself: a long poll, or a stream on a public path."""

    async def test_returns_when_the_session_is_over(self) -> None:
        async with world(revocation_poll=POLL) as w:
            await w.person()
            tokens = await signed_in(w)
            done = anyio.Event()

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await session_ended(scope)
                done.set()

            guard = AuthMiddleware(app, kit=w.kit, rules=RULES)
            async with anyio.create_task_group() as tasks:
                scope = scope_for(tokens, "http", path="/open")
                tasks.start_soon(guard, scope, Line().receive, Line().send)
                await anyio.sleep(3 * POLL)
                assert (len(guard.live), done.is_set()) == (1, False)
                await sign_out(w, tokens)
                with anyio.fail_after(5):
                    await done.wait()
            assert len(guard.live) == 0

    async def test_is_used_as_the_docs_say(self) -> None:
        page = (DOCS / "deploying.md").read_text().partition("\n## Live connections\n")[2]
        example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
        names: dict[str, Any] = {"anyio": anyio, "Request": Request, "JSONResponse": JSONResponse}
        names["next_item"] = anyio.sleep_forever
        exec(compile(dedent(f"    {example.lstrip()}"), "deploying.md", "exec"), names)
        async with world(revocation_poll=POLL) as w:
            await w.person()
            tokens = await signed_in(w)
            app = Starlette(routes=[Route("/live", names["news"])])
            guard = AuthMiddleware(app, kit=w.kit)
            async with Browser(guard) as polling, anyio.create_task_group() as tasks:
                polling.take_tokens(tokens)
                answers = []

                async def poll() -> None:
                    answers.append((await polling.get("/live")).status_code)

                tasks.start_soon(poll)
                await anyio.sleep(3 * POLL)
                assert answers == []
                await sign_out(w, tokens)
            assert answers == [401]

            async def next_item() -> str:
                return "news"

            names["next_item"] = next_item
            async with Browser(guard) as polling:
                polling.take_tokens(await signed_in(w))
                assert (await polling.get("/live")).json() == "news"
            assert len(guard.live) == 0

    async def test_never_returns_for_nobody(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with anyio.move_on_after(3 * POLL) as waiting:
                await session_ended(scope)
            assert waiting.cancelled_caught

        async with world(revocation_poll=POLL) as w:
            guard = AuthMiddleware(app, kit=w.kit, rules=RULES)
            await guard(scope_for({}, "http", path="/open"), Line().receive, Line().send)

    async def test_leaves_nothing_behind_when_the_app_has_waited_enough(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with anyio.move_on_after(POLL):
                await session_ended(scope)
            assert len(guard.live) == 0

        async with world(revocation_poll=POLL) as w:
            await w.person()
            guard = AuthMiddleware(app, kit=w.kit)
            scope = scope_for(await signed_in(w), "http")
            await guard(scope, Line().receive, Line().send)

    async def test_tells_a_crowd_apart_from_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "MOST_OF_SESSION", 0)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await session_ended(scope)

        async with world(revocation_poll=POLL) as w:
            await w.person()
            guard = AuthMiddleware(app, kit=w.kit)
            scope = scope_for(await signed_in(w), "http")
            with pytest.raises(Busy):
                await guard(scope, Line().receive, Line().send)

    async def test_says_what_is_missing_outside_the_guard(self) -> None:
        with pytest.raises(RuntimeError, match="AuthMiddleware"):
            await session_ended({"type": "http"})
