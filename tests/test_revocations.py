"""What a worker knows of ended sessions: soon, cheaply, and no longer than it must."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.accounts import User
from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.sessions import SESSIONS, Revocations
from authkit_asgi.settings import HOUR
from authkit_asgi.store.memory import MemoryStore
from tests.house import Breaking, House
from tests.world import START

POLL = 1.0


@pytest.fixture
async def house() -> House:
    return await House(MemoryStore()).open()


@pytest.fixture
async def ada(house: House) -> User:
    return await house.user()


async def signed_in(house: House, user: User, now: float = START) -> Identity:
    _, pair = await house.opened(user, now=now)
    return identity_of(house.access(pair))


def elsewhere(house: House, store: Any = None) -> Revocations:
    """Another worker's knowledge."""
    return house.worker(store).revocations


async def close(house: House, who: Identity, now: float) -> None:
    assert await house.sessions.close(who.session_id, reason="signed out", now=now)


async def test_another_worker_knows_at_its_next_read(house: House, ada: User) -> None:
    """S-10, S-13: the store is asked, so no message can be lost."""
    who, other = await signed_in(house, ada), elsewhere(house)
    await other.refresh(START)
    await close(house, who, START + 0.1)
    assert house.sessions.revocations.denies(who)  # at once, where it happened
    assert not other.denies(who)
    await other.refresh(START + POLL)
    assert other.denies(who)


async def test_one_read_an_interval_is_made(house: House) -> None:
    counted = Breaking(house.store)
    knowledge = elsewhere(house, counted)
    for step in range(10):
        await knowledge.refresh(START + step / 10 * POLL)
    assert counted.calls == ["find", "find"]
    assert knowledge.is_fresh(START + 0.9)
    assert not knowledge.is_fresh(START + POLL)
    await knowledge.refresh(START + POLL)
    assert len(counted.calls) == 4


async def test_a_crowd_makes_one_read(house: House) -> None:
    counted = Breaking(house.store)
    knowledge = elsewhere(house, counted)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(knowledge.refresh, START)
    assert counted.calls == ["find", "find"]


@pytest.mark.parametrize("skew", [-10.0, -9.0, 0.0, 9.0, 10.0], ids=lambda skew: f"{skew:+.0f}s")
async def test_clocks_may_differ_by_the_skew(house: House, ada: User, skew: float) -> None:
    """Q-09: a row that was closed "before" the last read, by a clock that is late, is still
    read."""
    who, other = await signed_in(house, ada), elsewhere(house)
    await other.refresh(START + 100)
    await close(house, who, START + 100.5 + skew)
    await other.refresh(START + 101)
    assert other.denies(who)


async def test_a_user_whose_epoch_was_raised_is_denied_but_for_the_spared(
    house: House, ada: User
) -> None:
    """S-11."""
    spared, other, bob = (
        await signed_in(house, ada),
        await signed_in(house, ada),
        await signed_in(house, await house.user("bob")),
    )
    assert await house.sessions.close_all(ada.id, now=START + 1, spare=spared.session_id)
    since = await house.accounts().by_id(ada.id)
    assert since is not None
    new = await signed_in(house, since, START + 2)
    for knowledge in (house.sessions.revocations, elsewhere(house)):
        await knowledge.refresh(START + 3)
        assert [knowledge.denies(who) for who in (spared, other, bob, new)] == [
            False,
            True,
            False,
            False,
        ]
        knowledge.note_user(ada, now=START + 4)  # an older row changes nothing
        assert knowledge.denies(other)


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
async def test_more_rows_of_one_instant_than_a_page_holds(
    house: House, ada: User, count: int
) -> None:
    """As when an administrator ends everything by one statement."""
    people = [await signed_in(house, ada) for _ in range(count)]
    for who in people:
        await house.store.swap(SESSIONS, who.session_id, expect={}, change={"closed_at": START + 5})
    later = await signed_in(house, ada)
    await close(house, later, START + 6)
    knowledge = elsewhere(house)
    await knowledge.refresh(START + 7)
    assert all(knowledge.denies(who) for who in (*people, later))


async def test_what_no_token_can_need_is_forgotten(house: House, ada: User) -> None:
    """Knowledge is bounded by the life of an access token."""
    who, other = await signed_in(house, ada), await signed_in(house, ada)
    knowledge = elsewhere(house)
    await close(house, who, START + 1)
    await house.sessions.close_all(ada.id, now=START + 1)
    await knowledge.refresh(START + 2)
    await knowledge.refresh(who.expires_at)
    assert knowledge.denies(who)
    assert knowledge.denies(other)
    await knowledge.refresh(START + 3 * HOUR)
    assert (knowledge._closed, knowledge._raised) == ({}, {})


async def test_a_worker_that_starts_late_reads_what_still_counts(house: House, ada: User) -> None:
    """S-06."""
    who = await signed_in(house, ada)
    await close(house, who, START + 1)
    knowledge = elsewhere(house)
    await knowledge.refresh(who.expires_at - 1)
    assert knowledge.denies(who)


async def test_an_outage_forgets_nothing(house: House, ada: User) -> None:
    """Q-06."""
    known, missed = await signed_in(house, ada), await signed_in(house, ada)
    breaking = Breaking(house.store)
    knowledge = elsewhere(house, breaking)
    await close(house, known, START)
    await knowledge.refresh(START)
    breaking.before.add("find")
    await close(house, missed, START + 1)
    with pytest.raises(StoreUnavailable):
        await knowledge.refresh(START + 600)
    assert knowledge.denies(known)
    knowledge.put_off(START + 602)
    assert knowledge.is_fresh(START + 602.5)  # no request waits until the next try
    breaking.before.clear()
    await knowledge.refresh(START + 603)
    assert knowledge.denies(missed)


@pytest.mark.parametrize("jump", [9, 11, HOUR, 3 * HOUR], ids=lambda jump: f"+{jump:.0f}s")
async def test_a_clock_that_was_ahead_leaves_no_gap(house: House, ada: User, jump: float) -> None:
    """Q-07: it asked for too little and forgot too much; set right, it knows everything again."""
    before, meanwhile = await signed_in(house, ada), await signed_in(house, ada)
    knowledge = elsewhere(house)
    await close(house, before, START + 1)
    await knowledge.refresh(START + 2)
    await knowledge.refresh(START + 3 + jump)
    await close(house, meanwhile, START + 4)
    await knowledge.refresh(START + 5 + jump)
    await knowledge.refresh(START + 6)
    assert knowledge.denies(before)
    assert knowledge.denies(meanwhile)


async def test_a_clock_that_was_behind_leaves_no_gap(house: House, ada: User) -> None:
    """Q-07."""
    who, knowledge = await signed_in(house, ada), elsewhere(house)
    await knowledge.refresh(START)
    await knowledge.refresh(START - HOUR)
    await close(house, who, START + 2)
    assert not knowledge.is_fresh(START + 3)
    await knowledge.refresh(START + 3)
    assert knowledge.denies(who)


async def test_a_cancelled_reader_hands_over(house: House, ada: User) -> None:
    class Held(Breaking):
        async def find(self, *args: Any, **more: Any) -> Any:
            if not started.is_set():
                started.set()
                await anyio.sleep_forever()
            return await self.store.find(*args, **more)

    started = anyio.Event()
    who = await signed_in(house, ada)
    await close(house, who, START)
    knowledge = elsewhere(house, Held(house.store))
    async with anyio.create_task_group() as others, anyio.create_task_group() as leader:
        leader.start_soon(knowledge.refresh, START + 1)
        await started.wait()
        others.start_soon(knowledge.refresh, START + 1)
        await anyio.lowlevel.checkpoint()
        leader.cancel_scope.cancel()
    assert knowledge.denies(who)
