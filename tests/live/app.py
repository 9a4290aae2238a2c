"""What the tests of live connections run: sockets and answers that go on and on, and `/state`,
which says what is open and what was heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.live import session_ended

heard: list[str] = []
running = 0  # handlers of live connections


@contextmanager
def counted() -> Iterator[None]:
    global running
    running += 1
    try:
        yield
    finally:
        running -= 1


async def echo(socket: WebSocket) -> None:
    """Listens."""
    with counted():
        await socket.accept()
        async for text in socket.iter_text():
            heard.append(text)
            await socket.send_text(text)


async def talk(socket: WebSocket) -> None:
    """Talks, and never listens."""
    with counted():
        await socket.accept()
        try:
            while True:
                await socket.send_text("tick")
                await anyio.sleep(0.05)
        except WebSocketDisconnect:
            return


async def quiet(request: Request) -> StreamingResponse:
    """One event, and then none for long."""

    async def events() -> AsyncIterator[str]:
        with counted():
            yield "data: hello\n\n"
            await anyio.sleep(60)

    return StreamingResponse(events(), media_type="text/event-stream")


async def lines(request: Request) -> StreamingResponse:
    """Lines without end."""

    async def endless() -> AsyncIterator[str]:
        with counted():
            while True:
                yield '{"tick": true}\n'
                await anyio.sleep(0.05)

    return StreamingResponse(endless(), media_type="application/x-ndjson")


async def poll(request: Request) -> JSONResponse:
    with counted(), anyio.move_on_after(30) as waiting:
        await session_ended(request.scope)
    return JSONResponse({"ended": not waiting.cancelled_caught})


async def session(request: Request) -> JSONResponse:
    row = await kit.services.sessions.get(request.user.session_id)
    return JSONResponse({"generation": row.generation if row else None})


async def state(request: Request) -> JSONResponse:
    tasks = len(anyio.get_running_tasks())
    return JSONResponse({"live": len(app.live), "running": running, "heard": heard, "tasks": tasks})


kit = AuthKit()
app = kit.wrap(
    Starlette(
        routes=[
            Route("/state", state),
            Route("/session", session),
            Route("/quiet", quiet),
            Route("/lines", lines),
            Route("/poll", poll),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/talk", talk),
        ]
    ),
    PathRules(public=["/state"]),
)
