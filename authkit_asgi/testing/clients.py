"""Starlette's TestClient and the clients of httpx and httpx2, by what they have in common.

None of them is imported: a test brings the one it has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, Protocol, TypeVar, cast
from urllib.request import Request

from anyio.from_thread import start_blocking_portal

T = TypeVar("T")

PREFIXES = ("__Host-", "__Secure-")


class SyncClient(Protocol):
    """`starlette.testclient.TestClient`, `httpx.Client`, `httpx2.Client`."""

    @property
    def base_url(self) -> Any: ...
    @property
    def cookies(self) -> Any: ...
    def request(self, method: str, url: str, *, headers: Mapping[str, str]) -> Any: ...
    def close(self) -> None: ...


class AsyncClient(Protocol):
    """`httpx.AsyncClient`, `httpx2.AsyncClient`."""

    @property
    def base_url(self) -> Any: ...
    @property
    def cookies(self) -> Any: ...
    def request(self, method: str, url: str, *, headers: Mapping[str, str]) -> Awaitable[Any]: ...
    def aclose(self) -> Awaitable[None]: ...


def is_async(client: SyncClient | AsyncClient) -> bool:
    return hasattr(client, "aclose")


def jar_of(client: SyncClient | AsyncClient) -> CookieJar:
    return cast("CookieJar", client.cookies.jar)


def plain_name(cookie: str) -> str:
    """A cookie's name without its prefix."""
    for prefix in PREFIXES:
        cookie = cookie.removeprefix(prefix)
    return cookie


def give_cookies(client: SyncClient | AsyncClient, cookies: Iterable[str], *, site: str) -> None:
    """Put Set-Cookie values into the client's jar, in place of older ones of their names, as if an
    answer of the client's own base URL had brought them; of `site` when it has none."""
    url = str(client.base_url) or site
    if site.startswith("https:") and not url.startswith("https:"):
        raise ValueError(f"The cookies of {site} never go to {url}: give the client that base URL")
    cookies = list(cookies)
    names = {cookie.partition("=")[0] for cookie in cookies}
    jar = jar_of(client)
    for old in [one for one in jar if one.name in names]:
        jar.clear(old.domain, old.path, old.name)
    jar.extract_cookies(cast("Any", _Answer(cookies)), Request(url))  # noqa: S310


class _Answer:
    """As much of a response as a cookie jar reads."""

    def __init__(self, cookies: Iterable[str]) -> None:
        self._headers = Message()
        for cookie in cookies:
            self._headers["Set-Cookie"] = cookie

    def info(self) -> Message:
        return self._headers


def run_sync(work: Callable[..., Awaitable[T]], *args: Any) -> T:
    """What `await work(*args)` returns, for tests that are not async.

    It runs in an event loop of its own, on another thread: fine for rows in memory or in SQLite.
    A store with connections that belong to a loop (PostgreSQL, MongoDB) wants async tests.
    """
    with start_blocking_portal() as portal:
        return portal.call(work, *args)


def run_for(client: object, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` in the event loop of an entered TestClient, where the app runs; else by itself."""
    portal = getattr(client, "portal", None)
    return run_sync(work) if portal is None else cast("T", portal.call(work))
