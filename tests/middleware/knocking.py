"""What a guard is tried with: requests to the byte, an app that keeps what it saw, a failing store.

`ask` speaks bare ASGI, because a test client tidies up what an attacker would not.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from authkit_asgi.accounts import User
from authkit_asgi.core.tokens import ACCESS, Claims, Kind
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.events import Visitor
from authkit_asgi.store import Store
from authkit_asgi.web.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.world import World

RawHeaders = list[tuple[bytes, bytes]]
Tokens = dict[str, str]

NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
OWN_FORM = {"sec-fetch-site": "same-origin"}
FOREIGN_FORM = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}


@dataclass(frozen=True)
class Answered:
    """An http answer, as the server would have sent it."""

    status: int
    headers: RawHeaders
    body: bytes
    messages: list[Message]

    def all(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def header(self, name: str) -> str:
        """The one header of this name; empty when there is none. Two of a name are a mistake."""
        found = self.all(name)
        assert len(found) <= 1, found
        return found[0] if found else ""

    @property
    def cookies(self) -> Tokens:
        """What Set-Cookie sets. One that comes twice is a mistake (SECURITY C-10)."""
        pairs = [value.partition(";")[0].partition("=")[::2] for value in self.all("set-cookie")]
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


@dataclass
class App:
    """Answers 200 and keeps the scopes it saw. `then` happens before it answers."""

    headers: RawHeaders = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=lambda: [b"members only"])
    then: Callable[[Scope], Awaitable[None]] | None = None
    seen: list[Scope] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if self.then is not None:
            await self.then(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @property
    def scope(self) -> Scope:
        return self.seen[-1]

    @property
    def who(self) -> Any:
        return self.scope["user"]

    @property
    def cookie_headers(self) -> list[bytes]:
        return [value for name, value in self.scope["headers"] if name == b"cookie"]


class BrittleStore:
    """Any store, with a plug to pull: while `down`, every verb raises, after `failing`.

    `answering` happens between what a verb found and its return.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.down = False
        self.calls: list[str] = []
        self.failing: Callable[[], Awaitable[None]] | None = None
        self.answering: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def tried(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if not self.down:
                found = await verb(*args, **kwargs)
                if self.answering is not None:
                    await self.answering()
                return found
            if self.failing is not None:
                await self.failing()
            raise StoreUnavailable

        return verb if name == "close" else tried


def raw(headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    if not isinstance(headers, Mapping):
        return list(headers)
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def cookie_header(tokens: Mapping[str, str]) -> bytes:
    return "; ".join(f"{name}={value}" for name, value in tokens.items()).encode()


def scope_of(
    kind: str,
    path: str,
    headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]],
    tokens: Mapping[str, str] | None,
    **more: Any,
) -> Scope:
    sent = raw(headers)
    if tokens:
        sent.append((b"cookie", cookie_header(tokens)))
    path, _, query = path.partition("?")
    return {
        "type": kind,
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode("latin-1"),
        "headers": sent,
        "client": ("192.0.2.7", 5000),
        **more,
    }


async def ask(
    app: ASGIApp,
    path: str = "/members",
    tokens: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]] = (),
    **more: Any,
) -> Answered:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of("http", path, headers, tokens, method=method, **more), receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answered(sent[0]["status"], list(sent[0]["headers"]), body, sent)


async def shake_hands(
    app: ASGIApp,
    path: str = "/members",
    tokens: Mapping[str, str] | None = None,
    *,
    headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]] = (),
    **more: Any,
) -> list[Message]:
    """A WebSocket's handshake: what the server is told."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of("websocket", path, headers, tokens, **more), receive, send)
    return sent


async def visitors(world: World, count: int) -> list[Tokens]:
    """The tokens of as many accounts."""
    return [await visitor(world, f"ada{number}") for number in range(count)]


async def visitor(world: World, name: str = "ada") -> Tokens:
    """The tokens of a new account, without its walk through the API."""
    await world.kit.start()
    user = await world.kit.services.accounts.create(
        firstname="Ada",
        lastname="Lovelace",
        username=name,
        email=f"{name}@example.test",
        password_hash=None,
        is_verified=True,
        now=world.clock(),
    )
    return await session_of(world, user)


async def session_of(world: World, user: User) -> Tokens:
    """Another sign-in of this user."""
    _, pair = await world.kit.services.sessions.open(
        user, methods=("pwd",), remember=False, visitor=Visitor(), now=world.clock()
    )
    return {"token": pair.access, "refreshToken": pair.refresh}


async def owner_of(world: World, tokens: Tokens) -> User:
    user = await world.kit.services.accounts.by_id(claims_in(world, tokens["token"]).subject)
    assert user is not None
    return user


def claims_in(world: World, token: str, kind: Kind = ACCESS) -> Claims:
    """What a token of ours says, whatever the clock says."""
    claims = world.kit.guard.tokens.read(kind, token.encode(), now=2.0**53, expired_too=True)
    assert claims is not None
    return claims
