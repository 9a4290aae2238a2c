"""A live socket belongs to its session: closed with 4401 when that is over, and never before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from authkit_asgi import live
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from tests.house import Breaking
from tests.live.lines import (
    ENDINGS,
    POLL,
    App,
    Line,
    chatter,
    echo,
    ended,
    opened,
    scope_for,
    sign_out,
    signed_in,
)
from tests.world import World, world


@pytest.mark.parametrize("app", [echo, chatter])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_end_of_its_session_closes_a_socket(
    app: App, ending: Callable[[World, dict[str, str]], Awaitable[None]]
) -> None:
    """SECURITY S-10: and the app's part of it ends, whether it listens or only talks."""
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        guard = AuthMiddleware(app, kit=w.kit)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                line = await opened(guard, tokens, tasks)
                await ending(w, tokens)
                w.clock.pass_(seconds=1)
                assert (await ended(line))["code"] == 4401
        assert len(guard.live) == 0


async def test_a_socket_that_is_accepted_late_is_closed_as_soon_as_it_is_open() -> None:
    """SECURITY S-10: the session ended while the app made up its mind."""
    decided = anyio.Event()

    async def hesitant(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await decided.wait()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        guard, line = AuthMiddleware(hesitant, kit=w.kit), Line()
        line.say({"type": "websocket.connect"})
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(guard, scope_for(tokens), line.receive, line.send)
                await anyio.sleep(POLL)
                assert len(guard.live) == 0
                await sign_out(w, tokens)
                w.clock.pass_(hours=3)  # past all that a worker remembers of ended sessions
                decided.set()
                assert (await ended(line))["code"] == 4401
        assert len(guard.live) == 0


async def test_neither_a_rotation_nor_another_sessions_end_disturbs_a_socket() -> None:
    async with world(revocation_poll=POLL) as w:
        await w.person()
        mine, other = await signed_in(w), await signed_in(w)
        async with anyio.create_task_group() as tasks:
            line = await opened(AuthMiddleware(echo, kit=w.kit), mine, tasks)
            await sign_out(w, other)
            for _ in range(3):
                w.clock.pass_(hours=2)
                async with w.browser() as browser:
                    browser.take_tokens(mine)
                    assert (await browser.get("/members")).status_code == 200
                    mine = browser.tokens()
                await anyio.sleep(3 * POLL)
            line.say({"type": "websocket.receive", "text": "still here"})
            await anyio.sleep(POLL)
            assert line.sent[-1]["text"] == "still here"
            assert not line.ended.is_set()
            line.hang_up()


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
        assert len(guard.live) == 0


async def test_roles_that_changed_close_the_sockets_opened_with_the_old_ones() -> None:
    """SECURITY S-12: to the app, a socket that an admin opened is an admin's for as long as it
    lives."""
    async with world(revocation_poll=POLL) as w:
        await w.person()
        accounts = w.kit.services.accounts
        user = await accounts.by_email("ada@example.test")
        assert user is not None
        await accounts.set_admin(user.id, True, now=w.clock())
        tokens = await signed_in(w)
        guard = AuthMiddleware(echo, kit=w.kit)
        async with anyio.create_task_group() as tasks:
            line = await opened(guard, tokens, tasks)
            await accounts.set_admin(user.id, False, now=w.clock())
            w.clock.pass_(seconds=1)
            assert (await ended(line))["code"] == 4401


async def test_an_outage_closes_nothing_and_hides_no_end() -> None:
    """SECURITY Q-06: as long as it lasts, nobody knows better than before it."""
    store = Breaking(MemoryStore())
    async with world(revocation_poll=POLL, store=store) as w:
        await w.person()
        staying, leaving = await signed_in(w), await signed_in(w)
        guard = AuthMiddleware(echo, kit=w.kit)
        async with anyio.create_task_group() as tasks:
            mine, other = [await opened(guard, one, tasks) for one in (staying, leaving)]
            store.before = {"find", "get"}
            w.clock.pass_(hours=1.5)  # past the access token: from here on only the row knows
            await anyio.sleep(5 * POLL)
            assert len(guard.live) == 2
            store.before = set()
            await sign_out(w, leaving)
            w.clock.pass_(seconds=1)
            assert (await ended(other))["code"] == 4401
            assert not mine.ended.is_set()
            mine.hang_up()


async def test_beyond_the_cap_the_oldest_sockets_of_a_session_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SECURITY D-04. "Try again later", and the newest stay: a phone's half-open connections would
    keep their owner out."""
    monkeypatch.setattr(live, "MOST_OF_SESSION", 3)
    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens, other = await signed_in(w), await signed_in(w)
        guard = AuthMiddleware(echo, kit=w.kit)
        async with anyio.create_task_group() as tasks:
            mine = await opened(guard, other, tasks)
            lines = [await opened(guard, tokens, tasks) for _ in range(5)]
            assert [(await ended(line))["code"] for line in lines[:2]] == [1013, 1013]
            await anyio.sleep(3 * POLL)
            assert not any(line.ended.is_set() for line in (mine, *lines[2:]))
            assert len(guard.live) == 4
            monkeypatch.setattr(live, "MOST", 2)
            assert [(await ended(line))["code"] for line in (mine, lines[2])] == [1013, 1013]
            for line in lines[3:]:
                line.hang_up()
        assert len(guard.live) == 0


async def test_a_client_that_takes_nothing_keeps_no_other_socket_open() -> None:
    """Nor is what the app sends to it afterwards sent."""
    stuck: list[dict[str, Any]] = []

    async with world(revocation_poll=POLL) as w:
        await w.person()
        tokens = await signed_in(w)
        guard = AuthMiddleware(chatter, kit=w.kit)
        line = Line()
        line.say({"type": "websocket.connect"})

        async def never(message: Any) -> None:
            stuck.append(message)
            if message["type"] != "websocket.accept":
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guard, scope_for(tokens), line.receive, never)
            other = await opened(guard, tokens, tasks)
            await sign_out(w, tokens)
            assert (await ended(other))["code"] == 4401
            tasks.cancel_scope.cancel()
        assert [message["type"] for message in stuck] == [
            "websocket.accept",
            "websocket.send",
            "websocket.close",
        ]
