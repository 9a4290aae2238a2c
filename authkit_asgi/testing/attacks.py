"""What a thief does, in two lines: copy a refresh token, and use the copy."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any, overload

from authkit_asgi.testing.clients import AsyncClient, SyncClient, is_async, jar_of, plain_name


@dataclass(frozen=True, slots=True)
class Stolen:
    """A copy of a refresh token, with the name of its cookie."""

    name: str
    value: str = field(repr=False)


def steal_refresh(client: SyncClient | AsyncClient, *, cookie: str = "refreshToken") -> Stolen:
    """Copy the refresh token that `client` holds. The client notices nothing.

    `cookie` is AUTHKIT_REFRESH_COOKIE, without its prefix. Raises `LookupError` when there is not
    exactly one.
    """
    found = [one for one in jar_of(client) if plain_name(one.name) == cookie and one.value]
    if len(found) != 1:
        raise LookupError(f"The client holds {len(found)} cookies named {cookie}")
    return Stolen(found[0].name, found[0].value or "")


@overload
def replay(
    client: SyncClient, stolen: Stolen, *, path: str = ..., method: str = ..., keep: bool = ...
) -> Any: ...
@overload
def replay(
    client: AsyncClient, stolen: Stolen, *, path: str = ..., method: str = ..., keep: bool = ...
) -> Awaitable[Any]: ...
def replay(
    client: SyncClient | AsyncClient,
    stolen: Stolen,
    *,
    path: str = "/api/users/token",
    method: str = "POST",
    keep: bool = False,
) -> Any:
    """Use a stolen refresh token: the answer, as `client` gives it. An async client's is awaited.

    It goes the way of `client`, without its cookies. By default it asks for a new pair; with
    `method="GET"` and a path of your app it is exchanged within the request. What comes back is not
    kept, unless `keep`: then `client` is the thief's own, and goes on with it.
    """
    # A thief's program says of itself what it likes.
    headers = {"cookie": f"{stolen.name}={stolen.value}", "sec-fetch-site": "same-origin"}
    if is_async(client):
        return _replay_async(client, method, path, headers, keep)
    jar = jar_of(client)
    before = list(jar)
    answer = client.request(method, path, headers=headers)
    if not keep:
        _restore(jar, before)
    return answer


async def _replay_async(
    client: Any, method: str, path: str, headers: Mapping[str, str], keep: bool
) -> Any:
    jar = jar_of(client)
    before = list(jar)
    answer = await client.request(method, path, headers=headers)
    if not keep:
        _restore(jar, before)
    return answer


def _restore(jar: CookieJar, cookies: list[Any]) -> None:
    jar.clear()
    for cookie in cookies:
        jar.set_cookie(cookie)
