"""A logout counts everywhere within the poll interval; an outage of the store is no logout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from tests.middleware.knocking import (
    App,
    BrittleStore,
    Tokens,
    ask,
    claims_in,
    owner_of,
    session_of,
    shake_hands,
    visitor,
)
from tests.world import World, world

RULES = PathRules(public=["/open"])


@dataclass
class Worker:
    """A process of its own, as far as memory goes: another kit on the same store and secrets."""

    kit: AuthKit
    guard: AuthMiddleware
    app: App
    store: BrittleStore

    async def status(self, tokens: Tokens, path: str = "/members") -> int:
        return (await ask(self.guard, path, tokens)).status


@asynccontextmanager
async def two_workers() -> AsyncIterator[tuple[World, Worker, Worker]]:
    rows = MemoryStore()
    first = BrittleStore(rows)
    async with world(store=first) as here:
        second = BrittleStore(rows)
        twin = AuthKit(here.kit.settings, store=second, mailer=here.mailbox, clock=here.clock)
        workers = []
        for kit, store in ((here.kit, first), (twin, second)):
            app = App()
            workers.append(Worker(kit, AuthMiddleware(app, kit=kit, rules=RULES), app, store))
        yield here, workers[0], workers[1]
        await twin.close()


async def log_out(worker: Worker, here: World, tokens: Tokens) -> None:
    session_id = claims_in(here, tokens["token"]).session_id
    assert await worker.kit.services.sessions.close(session_id, reason="test", now=here.clock())


def access_only(tokens: Tokens) -> Tokens:
    return {"token": tokens["token"]}


async def test_a_logout_counts_on_every_worker_after_the_poll_interval() -> None:
    """SECURITY S-10: at once where it happened, within a second elsewhere."""
    async with two_workers() as (here, a, b):
        tokens = await visitor(here)
        assert [await a.status(tokens), await b.status(tokens)] == [200, 200]
        here.clock.pass_(seconds=0.5)
        await log_out(a, here, tokens)
        assert await a.status(access_only(tokens)) == 401
        b.store.calls.clear()
        assert await b.status(tokens) == 200  # it knows nothing yet, and asks nobody
        assert b.store.calls == []
        here.clock.pass_(seconds=0.5)
        assert await b.status(access_only(tokens)) == 401
        assert b.store.calls == ["find", "find"]


async def test_a_worker_that_was_idle_reads_before_it_believes() -> None:
    async with two_workers() as (here, a, b):
        tokens = await visitor(here)
        await log_out(a, here, tokens)
        assert await b.status(access_only(tokens)) == 401


async def test_a_remembered_header_is_no_way_around_a_logout() -> None:
    """SECURITY T-17: revocation and `exp` count on every hit of the map."""
    async with two_workers() as (here, a, b):
        tokens = await visitor(here)
        for _ in range(3):
            assert await b.status(tokens) == 200
        await log_out(a, here, tokens)
        here.clock.pass_(seconds=1)
        assert await b.status(tokens) == 401
        other = await visitor(here, "bob")
        assert await b.status(access_only(other)) == 200
        here.clock.pass_(hours=1)
        assert await b.status(access_only(other)) == 401


async def test_raising_the_epoch_ends_every_session_but_the_spared_one() -> None:
    """SECURITY S-11."""
    async with two_workers() as (here, a, b):
        spared = await visitor(here)
        owner = await owner_of(here, spared)
        others = [await session_of(here, owner) for _ in range(3)]
        stranger = await visitor(here, "bob")
        assert [await b.status(tokens) for tokens in (spared, *others)] == [200] * 4
        session_id = claims_in(here, spared["token"]).session_id
        sessions = a.kit.services.sessions
        assert await sessions.close_all(owner.id, now=here.clock(), spare=session_id)
        assert await a.status(others[0]) == 401
        here.clock.pass_(seconds=1)
        assert [await b.status(tokens) for tokens in others] == [401] * 3
        assert [await b.status(tokens) for tokens in (spared, stranger)] == [200] * 2
        here.clock.pass_(hours=1.1)
        assert await b.status(spared) == 200  # and it can be exchanged
        assert await b.status(others[0]) == 401


class TestTheClockJumps:
    """SECURITY Q-07."""

    async def test_an_hour_back_blinds_nobody(self) -> None:
        async with two_workers() as (here, a, b):
            tokens, later = await visitor(here), await visitor(here, "bob")
            assert await b.status(tokens) == 200
            assert await b.status(later) == 200
            here.clock.pass_(hours=-1)
            await log_out(a, here, tokens)
            here.clock.pass_(seconds=1)
            assert await b.status(access_only(tokens)) == 401
            assert await b.status(later) == 200

    async def test_an_hour_forth_and_back_forgives_nobody(self) -> None:
        """What was forgotten, because no token of it could live, may count again."""
        async with two_workers() as (here, a, b):
            tokens, other = await visitor(here), await visitor(here, "bob")
            assert await b.status(tokens) == 200
            await log_out(a, here, tokens)
            here.clock.pass_(minutes=10)
            assert await b.status(access_only(tokens)) == 401
            here.clock.pass_(hours=1.1)
            fresh = await visitor(here, "eve")
            assert await b.status(fresh) == 200  # it reads, and forgets
            here.clock.pass_(hours=-1.1)
            assert await b.status(access_only(tokens)) == 401
            assert await b.status(other) == 200

    async def test_no_jump_is_a_fault_or_a_theft(self) -> None:
        async with two_workers() as (here, _, b):
            tokens = await visitor(here)
            for hours in (-1.0, 2.0, -2.0, 1.0, 1.0, -1.0):
                here.clock.pass_(hours=hours)
                answer = await ask(b.guard, "/members", tokens)
                assert answer.status in (200, 401)
                tokens = {**tokens, **{k: v for k, v in answer.cookies.items() if v}}
            assert answer.status == 200
            assert "SessionReused" not in here.ear.names()


class TestAnOutage:
    """SECURITY Q-06, S-05: an outage of ours is never a logout."""

    async def test_a_valid_access_token_keeps_working(self) -> None:
        async with two_workers() as (here, a, _):
            tokens, unseen = await visitor(here), await visitor(here, "bob")
            assert await a.status(tokens) == 200
            a.store.down = True
            for _ in range(5):
                here.clock.pass_(minutes=5)
                assert await a.status(tokens) == 200
            assert await a.status(unseen) == 200

    async def test_a_worker_that_starts_in_an_outage_lets_valid_tokens_pass(self) -> None:
        async with two_workers() as (here, _, b):
            tokens = await visitor(here)
            b.store.down = True
            assert await b.status(tokens) == 200

    async def test_a_needed_refresh_answers_503_and_touches_no_cookie(self) -> None:
        async with two_workers() as (here, a, _):
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            a.store.down = True
            for headers in ({}, {"sec-fetch-mode": "navigate"}, {"hx-request": "true"}):
                answer = await ask(a.guard, "/members", tokens, headers=headers)
                assert (answer.status, answer.code) == (503, "unavailable")
                assert int(answer.header("retry-after")) > 0
                assert answer.header("cache-control") == "private, no-store"
                assert answer.all("set-cookie") == []
            assert a.app.seen == []
            a.store.down = False
            answer = await ask(a.guard, "/members", tokens)
            assert (answer.status, len(answer.cookies)) == (200, 2)

    async def test_a_public_page_goes_on_without_a_name(self) -> None:
        async with two_workers() as (here, a, _):
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            a.store.down = True
            answer = await ask(a.guard, "/open", tokens)
            assert answer.status == 200
            assert answer.all("set-cookie") == []
            assert not a.app.who.is_authenticated

    async def test_a_socket_that_needs_the_store_is_denied(self) -> None:
        async with two_workers() as (here, a, _):
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            a.store.down = True
            origin = {"origin": here.kit.settings.origin}
            (denied,) = await shake_hands(a.guard, "/members", tokens, headers=origin)
            assert denied["type"] == "websocket.close"
            assert a.app.seen == []

    async def test_a_public_socket_goes_on_without_a_name(self) -> None:
        async with two_workers() as (here, a, _):
            tokens = await visitor(here)
            here.clock.pass_(hours=1.1)
            a.store.down = True
            assert await shake_hands(a.guard, "/open", tokens) == [{"type": "websocket.accept"}]
            assert not a.app.who.is_authenticated

    async def test_a_logout_counts_once_the_store_is_back(self) -> None:
        async with two_workers() as (here, a, b):
            tokens = await visitor(here)
            assert await b.status(tokens) == 200
            b.store.down = True
            await log_out(a, here, tokens)
            here.clock.pass_(minutes=10)
            assert await b.status(tokens) == 200  # the documented bound: it cannot know
            b.store.down = False
            here.clock.pass_(seconds=1)
            assert await b.status(access_only(tokens)) == 401

    async def test_it_costs_a_worker_one_slow_read_a_poll_interval(self) -> None:
        """Although the store takes longer to fail than the interval is long."""
        async with two_workers() as (here, _, b):
            tokens = await visitor(here)
            assert await b.status(tokens) == 200

            async def fail_slowly() -> None:
                here.clock.pass_(seconds=2)
                await anyio.lowlevel.checkpoint()

            b.store.failing, b.store.down = fail_slowly, True
            b.store.calls.clear()
            here.clock.pass_(seconds=5)
            for _ in range(100):
                assert await b.status(tokens) == 200
            assert len(b.store.calls) == 1
            here.clock.pass_(seconds=1)
            assert await b.status(tokens) == 200
            assert len(b.store.calls) == 2

    async def test_who_comes_meanwhile_waits_for_that_one_read_and_no_longer(self) -> None:
        async with two_workers() as (here, _, b):
            tokens = await visitor(here)
            assert await b.status(tokens) == 200
            failed = anyio.Event()
            b.store.failing, b.store.down = failed.wait, True
            b.store.calls.clear()
            here.clock.pass_(seconds=5)
            statuses: list[int] = []

            async def visit() -> None:
                statuses.append(await b.status(tokens))

            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(visit)
                await anyio.wait_all_tasks_blocked()
                here.clock.pass_(seconds=2)
                failed.set()
            assert statuses == [200] * 50
            assert b.store.calls == ["find"]


async def test_who_waited_for_an_old_read_reads_again() -> None:
    """A read that had begun before a logout says nothing about it, however late it arrives."""
    async with two_workers() as (here, a, b):
        tokens, early = await visitor(here), await visitor(here, "bob")
        assert await b.status(tokens) == 200
        here.clock.pass_(seconds=2)
        reading, go_on = anyio.Event(), anyio.Event()

        async def answer_late() -> None:
            reading.set()
            await go_on.wait()

        statuses: dict[str, int] = {}

        async def visit(name: str, whose: Tokens) -> None:
            statuses[name] = await b.status(access_only(whose))

        b.store.answering = answer_late
        async with anyio.create_task_group() as group:
            group.start_soon(visit, "early", early)
            await reading.wait()
            await log_out(a, here, tokens)
            here.clock.pass_(seconds=2)
            group.start_soon(visit, "late", tokens)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        assert statuses == {"early": 200, "late": 401}


@pytest.mark.parametrize("count", [1, 2500])
async def test_the_end_of_many_sessions_at_one_moment_is_heard_in_full(count: int) -> None:
    """More than a page of rows with one and the same time."""
    async with two_workers() as (here, a, b):
        tokens = await visitor(here)
        owner = await owner_of(here, tokens)
        assert await b.status(tokens) == 200
        many = [await session_of(here, owner) for _ in range(count)]
        for one in (*many, tokens):
            await log_out(a, here, one)
        here.clock.pass_(seconds=1)
        assert await b.status(access_only(tokens)) == 401
        assert await b.status(access_only(many[-1])) == 401
