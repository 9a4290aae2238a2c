"""The flow as a transport: once with threads, once awaited."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio

from authkit_asgi.client.cookies import AuthCookies
from authkit_asgi.client.flow import Flow, Read, Refresh, Request, Response, Send, Step, Steps, T

# As the settings ACCESS_COOKIE and REFRESH_COOKIE name them, with or without a prefix.
COOKIE_NAMES = ("token", "refreshToken")


# Both libraries annotate their own BaseTransport and use it by shape. `Any` as a base tells a type
# checker what is true: this fits either.
if TYPE_CHECKING:
    _FitsEither = Any
else:
    _FitsEither = object


class _Transport(_FitsEither):  # type: ignore[misc]
    """`api` is the address of the JSON API, `https://app.example/api/users`; auth cookies go to its
    origin and nowhere else. `cookies`: those of an earlier run.
    """

    _new_lock: Any

    def __init__(
        self,
        transport: Any,
        api: str,
        *,
        cookies: Mapping[str, str] | None = None,
        cookie_names: Iterable[str] = COOKIE_NAMES,
    ) -> None:
        self._transport = transport
        self._flow = Flow(api, AuthCookies(cookie_names, cookies or {}))
        self._one_at_a_time = self._new_lock()

    @property
    def cookies(self) -> dict[str, str]:
        """The auth cookies held. Whoever has them is signed in: keep them like a password."""
        return self._flow.cookies.held()


class Refreshing(_Transport):
    """A transport for `httpx.Client` that stays signed in; any number of threads may use it."""

    _new_lock = threading.Lock

    def handle_request(self, request: Request) -> Response:
        return self._run(self._flow.visit(request))

    def _run(self, steps: Steps[T]) -> T:
        result: Any = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as end:
                done: T = end.value
                return done
            result = self._take(step)

    def _take(self, step: Step) -> Any:
        match step:
            case Send(request):
                return self._transport.handle_request(request)
            case Read(response):
                try:
                    return b"".join(response.stream)
                finally:
                    response.close()
            case Refresh(request, seen):
                with self._one_at_a_time:
                    return self._run(self._flow.refresh(request, seen))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        raised: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(kind, raised, trace)


class AsyncRefreshing(_Transport):
    """A transport for `httpx.AsyncClient` that stays signed in, on asyncio and on trio."""

    _new_lock = anyio.Lock

    async def handle_async_request(self, request: Request) -> Response:
        return await self._run(self._flow.visit(request))

    async def _run(self, steps: Steps[T]) -> T:
        result: Any = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as end:
                done: T = end.value
                return done
            result = await self._take(step)

    async def _take(self, step: Step) -> Any:
        match step:
            case Send(request):
                return await self._transport.handle_async_request(request)
            case Read(response):
                try:
                    return b"".join([part async for part in response.stream])
                finally:
                    await response.aclose()
            case Refresh(request, seen):
                async with self._one_at_a_time:
                    return await self._run(self._flow.refresh(request, seen))

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        raised: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(kind, raised, trace)
