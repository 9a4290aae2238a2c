"""A WebSocket's handshake is decided before it is accepted, and exchanges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from authkit_asgi import PathRules
from authkit_asgi.core.rotation import Session
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import Message
from tests.middleware.knocking import App, Tokens, ask, claims_in, shake_hands, visitor
from tests.world import CountingStore, World, world

RULES = PathRules(public=["/open"], auth=["/signin"], exclude=["/raw"])
OWN = {"origin": "http://localhost:8000"}
ACCEPTED = [{"type": "websocket.accept"}]
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


def guarded(here: World) -> tuple[AuthMiddleware, App]:
    app = App()
    return AuthMiddleware(app, kit=here.kit, rules=RULES), app


async def row(here: World, tokens: Tokens) -> Session:
    session = await here.kit.services.sessions.get(claims_in(here, tokens["token"]).session_id)
    assert session is not None
    return session


async def test_a_valid_access_token_opens_it_and_says_who_it_is() -> None:
    async with world() as here:
        guard, app = guarded(here)
        assert await shake_hands(guard, tokens=await visitor(here), headers=OWN) == ACCEPTED
        assert app.who.display_name == "ada"
        assert app.scope["auth"].scopes == ("authenticated", "verified")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param({}, 4401, id="no cookie"),
        pytest.param({"token": "garbage", "refreshToken": "garbage"}, 4401, id="garbage"),
    ],
)
async def test_nobody_is_denied_before_it_is_accepted(sent: Tokens, code: int) -> None:
    """SECURITY P-13: the app never hears of it."""
    async with world() as here:
        guard, app = guarded(here)
        assert await shake_hands(guard, tokens=sent, headers=OWN) == [
            {"type": "websocket.close", "code": code}
        ]
    assert app.seen == []


async def test_two_origins_are_none() -> None:
    """SECURITY P-14: nobody can say which of them the browser wrote."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        own, evil = (b"origin", OWN["origin"].encode()), (b"origin", b"https://evil.example")
        for origins in ([own, evil], [evil, own], [own, own]):
            [denied] = await shake_hands(guard, tokens=tokens, headers=origins)
            assert denied == {"type": "websocket.close", "code": 4403}
    assert app.seen == []


async def test_a_server_that_can_is_given_an_answer_to_send() -> None:
    async with world() as here:
        guard, app = guarded(here)
        start, body = await shake_hands(guard, headers=OWN, **DENIAL)
        assert start["type"] == "websocket.http.response.start"
        assert start["status"] == 401
        assert (b"cache-control", b"private, no-store") in start["headers"]
        assert body["type"] == "websocket.http.response.body"
        assert json.loads(body["body"])["code"] == "not_signed_in"
        tokens = await visitor(here)
        evil = {"origin": "https://evil.example"}
        start, body = await shake_hands(guard, tokens=tokens, headers=evil, **DENIAL)
        assert (start["status"], json.loads(body["body"])["code"]) == (403, "cross_site")
        start, body = await shake_hands(guard, "members", tokens, headers=OWN, **DENIAL)
        assert (start["status"], json.loads(body["body"])["code"]) == (400, "bad_path")
    assert app.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "https://evil.example"}, id="another site"),
        pytest.param({"origin": "http://localhost:8000.evil.example"}, id="looks like ours"),
        pytest.param({"origin": "https://localhost:8000"}, id="another scheme"),
        pytest.param({"origin": "http://localhost:8001"}, id="another port"),
        pytest.param({"origin": "http://u@localhost:8000"}, id="with a name before it"),
        pytest.param({"origin": "null"}, id="a sandboxed frame"),
        pytest.param({"origin": ""}, id="empty"),
        pytest.param({}, id="none"),
        pytest.param({"origin": "https://evil.example", "host": "evil.example"}, id="own Host"),
        pytest.param(
            {"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, id="its own word"
        ),
    ],
)
@pytest.mark.parametrize("path", ["/members", "/open", "/signin"])
async def test_with_cookies_it_must_come_from_our_own_pages(
    headers: Mapping[str, str], path: str
) -> None:
    """SECURITY P-14: a browser lets every site open a socket, and sends our cookies along."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        denied = [{"type": "websocket.close", "code": 4403}]
        assert await shake_hands(guard, path, tokens, headers=headers) == denied
        here.clock.pass_(hours=1.1)  # the refresh token alone proves as much
        assert await shake_hands(guard, path, tokens, headers=headers) == denied
    assert app.seen == []


async def test_a_site_that_we_trust_may_open_one() -> None:
    async with world(trusted_origins=("https://app.example",)) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        headers = {"origin": "https://app.example"}
        assert await shake_hands(guard, tokens=tokens, headers=headers) == ACCEPTED


@pytest.mark.parametrize(
    ("path", "seen"), [("/open", True), ("/signin", True), ("/raw", False)], ids=str
)
async def test_whoever_has_no_cookie_may_open_public_ones_from_anywhere(
    path: str, seen: bool
) -> None:
    async with world() as here:
        guard, app = guarded(here)
        headers = {"origin": "https://elsewhere.example"}
        assert await shake_hands(guard, path, headers=headers) == ACCEPTED
        assert ("user" in app.scope) is seen
        assert not seen or not app.who.is_authenticated


class TestARefreshToken:
    """SECURITY S-23: some servers drop the headers of an accepted handshake, so nothing rotates."""

    async def test_opens_it_without_being_exchanged(self) -> None:
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, app = guarded(here)
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            before = await row(here, tokens)
            store.calls.clear()
            assert await shake_hands(guard, tokens=tokens, headers=OWN) == ACCEPTED
            assert app.who.display_name == "ada"
            assert set(store.calls) == {"get"}
            assert await row(here, tokens) == before
            assert [name for name, _ in app.scope["headers"]] == [b"origin", b"cookie"]

    @pytest.mark.parametrize("trouble", ["closed", "over", "user gone", "epoch raised", "old"])
    async def test_of_a_session_that_is_over_opens_nothing(self, trouble: str) -> None:
        async with world() as here:
            guard, app = guarded(here)
            tokens = await visitor(here)
            claims = claims_in(here, tokens["token"])
            services, now = here.kit.services, here.clock()
            if trouble == "closed":
                await services.sessions.close(claims.session_id, reason="test", now=now)
            elif trouble == "over":
                here.clock.pass_(hours=24 * 8)
            elif trouble == "user gone":
                user = await services.accounts.by_id(claims.subject)
                assert user is not None
                await services.accounts.delete(user, now=now)
            elif trouble == "epoch raised":
                await services.sessions.close_all(claims.subject, now=now)
            else:
                new = tokens
                for _ in range(2):
                    here.clock.pass_(hours=1.1)
                    new = (await ask(guard, "/members", new)).cookies
                app.seen.clear()
            here.clock.pass_(hours=1.1)
            (denied,) = await shake_hands(guard, tokens=tokens, headers=OWN)
            assert denied == {"type": "websocket.close", "code": 4401}
        assert app.seen == []

    async def test_of_a_lost_answer_opens_it(self) -> None:
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            await ask(guard, "/members", tokens)  # whose answer never arrives
            assert await shake_hands(guard, tokens=tokens, headers=OWN) == ACCEPTED


async def test_the_first_sight_of_a_generation_is_confirmed_before_it_opens() -> None:
    """A socket lives for hours: its end is no time to write that the tokens arrived."""
    async with world() as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.1)
        new = (await ask(guard, "/members", tokens)).cookies
        assert (await row(here, new)).confirmed == 0
        assert await shake_hands(guard, tokens=new, headers=OWN) == ACCEPTED
        assert (await row(here, new)).confirmed == 1


async def test_a_logout_denies_the_next_handshake() -> None:
    """SECURITY S-10."""
    async with world() as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        assert await shake_hands(guard, tokens=tokens, headers=OWN) == ACCEPTED
        session_id = claims_in(here, tokens["token"]).session_id
        await here.kit.services.sessions.close(session_id, reason="test", now=here.clock())
        (denied,) = await shake_hands(guard, tokens=tokens, headers=OWN)
        assert denied["type"] == "websocket.close"


async def test_a_client_with_a_bearer_token_needs_no_origin() -> None:
    async with world(bearer=True) as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        bearer = {"authorization": f"Bearer {tokens['token']}"}
        assert await shake_hands(guard, headers=bearer) == ACCEPTED
        assert app.who.display_name == "ada"
        (denied,) = await shake_hands(guard, tokens=tokens, headers=bearer)
        assert denied["code"] == 4403  # a cookie beside it, and no word of where it comes from
        (denied,) = await shake_hands(guard, f"/members?access_token={tokens['token']}")
        assert denied["code"] == 4401


async def test_what_travels_on_the_socket_is_not_touched() -> None:
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "ping"}]
    sent: list[Message] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "x", "headers": [(b"a", b"b")]})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async with world() as here:
        guard = AuthMiddleware(echo, kit=here.kit, rules=RULES)
        tokens = await visitor(here)
        cookie = f"token={tokens['token']}".encode()
        headers = [(b"cookie", cookie), (b"origin", OWN["origin"].encode())]
        await guard({"type": "websocket", "path": "/members", "headers": headers}, receive, send)
    assert sent == [
        {"type": "websocket.accept", "subprotocol": "x", "headers": [(b"a", b"b")]},
        {"type": "websocket.send", "text": "ping"},
    ]
