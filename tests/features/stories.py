"""Helpers of the stories about accounts: stores that watch or fail, people signed in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2

from authkit_asgi.accounts import User
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.store import Store
from tests.world import Browser, World

VERBS = frozenset(("get", "find", "insert", "swap", "take", "delete", "count", "add"))
NEW_PASSWORD = "a quite different staple"


class WatchedStore:
    """A real store that keeps what it was asked, and can be unplugged.

    `unplug_after(n)`: the n-th call from now on is the last that is answered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._left: int | None = None

    def unplug_after(self, calls: int) -> None:
        self._left = calls

    def plug_in(self) -> None:
        self._left = None

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _, _ in self.asked]

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        return self._watched(name, verb) if name in VERBS else verb

    def _watched(self, name: str, verb: Callable[..., Awaitable[Any]]) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            self.asked.append((name, args, options))
            if self._left is not None:
                if self._left <= 0:
                    raise StoreUnavailable
                self._left -= 1
            return await verb(*args, **options)

        return call


@asynccontextmanager
async def signed_in(
    world: World, name: str = "ada", *, remember: bool = False, **options: Any
) -> AsyncIterator[Browser]:
    """A browser in which this person, who has an account, is signed in."""
    async with world.browser(**options) as browser:
        answer = await browser.sign_in(f"{name}@example.test", remember=remember)
        assert answer.status_code == 200, answer.text
        yield browser


async def user_of(world: World, email: str = "ada@example.test") -> User:
    user = await world.kit.services.accounts.by_email(email)
    assert user is not None
    return user


async def post(world: World, path: str, json: Any = None, **more: Any) -> httpx2.Response:
    """One request of a visitor without cookies."""
    async with world.browser() as browser:
        return await browser.api("POST", path, json, **more)


async def works(world: World, browser: Browser) -> bool:
    """Whether this browser is still signed in, a poll interval from now."""
    world.clock.pass_(seconds=2)
    return (await browser.api("GET", "/session")).status_code == 200


async def can_sign_in(world: World, password: str, email: str = "ada@example.test") -> bool:
    async with world.browser() as browser:
        return (await browser.sign_in(email, password)).status_code == 200


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def seen(answer: httpx2.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that a stranger sees of an answer: status, body, headers and cookies."""
    return answer.status_code, answer.content, sorted(answer.headers.multi_items())


async def at_once(
    times: int, ask: Callable[[], Awaitable[httpx2.Response]]
) -> list[httpx2.Response]:
    """The answers to `times` parallel requests."""
    answers: list[httpx2.Response] = []

    async def one() -> None:
        answers.append(await ask())

    async with anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(one)
    return answers


def raw(body: bytes | str, content_type: str = "application/json") -> dict[str, Any]:
    """Options for a body sent as it stands."""
    return {"content": body, "headers": {"content-type": content_type}}


def deep(levels: int) -> str:
    return json.dumps({"email": 1}).replace("1", "[" * levels + "]" * levels)
