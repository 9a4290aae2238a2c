"""What a worker knows of ended sessions: soon, cheaply, and no longer than it must."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.accounts import User
from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.core.seals import Seals
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.revocations import Revocations
from authkit_asgi.sessions import SESSIONS
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


async def test_a_slow_write_beside_clocks_that_differ_leaves_no_gap(
    house: House, ada: User
) -> None:
    """S-10, Q-09: dated by a clock that is behind, and seen when the store was done with it."""
    who, other = await signed_in(house, ada), elsewhere(house)
    await other.refresh(START + 100)
    await other.refresh(START + 111.4)  # the last before the write is seen
    await close(house, who, START + 100)
    await other.refresh(START + 112.4)
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


# --- told by another worker ------------------------------------------------------------------


def line_between(here: Revocations, there: Revocations, now: float = START) -> list[bytes]:
    """What the one tells the other hears; and whoever listens in has it too."""
    overheard: list[bytes] = []

    def tell(message: bytes) -> None:
        overheard.append(message)
        there.hear(message, now=now)

    here.tell = tell
    return overheard


async def test_what_is_told_is_known_without_a_read(house: House, ada: User) -> None:
    """S-10: another worker need not wait for its next read."""
    bob = await house.user("bob")
    closed, ended = await signed_in(house, ada), await signed_in(house, bob)
    spared, other = await signed_in(house, bob), await signed_in(house, ada)
    counted = Breaking(house.store)
    there = elsewhere(house, counted)
    line_between(house.sessions.revocations, there)
    await close(house, closed, START)
    assert await house.sessions.close_all(bob.id, now=START, spare=spared.session_id)
    denied = [there.denies(who) for who in (closed, ended, spared, other)]
    assert denied == [True, True, False, False]
    assert counted.calls == []


async def test_who_only_hears_tells_nothing_on(house: House, ada: User) -> None:
    there, overheard = elsewhere(house), list[bytes]()
    there.tell = overheard.append
    line_between(house.sessions.revocations, there)
    await close(house, await signed_in(house, ada), START)
    await there.refresh(START + 1)
    assert overheard == []


async def test_nobody_else_can_sign_anybody_out(house: House, ada: User) -> None:
    """Whoever shares the Redis sees what is told, and can neither forge nor bend it."""
    who, victim = await signed_in(house, ada), await signed_in(house, ada)
    there = elsewhere(house)
    overheard = line_between(house.sessions.revocations, there)
    await close(house, who, START)
    (told,) = overheard
    body = json.dumps(["session", victim.session_id]).encode()
    raised = json.dumps(["user", ada.id, 2**40, "", 2**40]).encode()
    strangers = Seals(["x" * 40], "revocations")
    another = Seals(house.settings.refresh_token_secret, "another purpose")
    forged = [
        b"",
        b"{",
        body,
        bytes(32) + body,
        told[:32] + body,
        told[:32] + raised,
        told + b" ",
        told[:-1],
        told.replace(who.session_id.encode(), victim.session_id.encode()),
        strangers.sealed(body),
        another.sealed(body),
        *(told[:at] + bytes([told[at] ^ 1]) + told[at + 1 :] for at in range(len(told))),
    ]
    for message in forged:
        there.hear(message, now=START)
    assert not there.denies(victim)
    assert list(there._closed) == [who.session_id]


async def test_what_is_heard_again_and_late_does_no_harm(house: House, ada: User) -> None:
    there = elsewhere(house)
    overheard = line_between(house.sessions.revocations, there)
    for step in range(3):
        await house.sessions.close_all(ada.id, now=START + step)
    now = await house.accounts().by_id(ada.id)
    assert now is not None
    since = await signed_in(house, now, START + 5)
    for message in (*overheard, *reversed(overheard)):
        there.hear(message, now=START + 6)
    assert not there.denies(since)
    assert there._raised[ada.id].epoch == 3


async def test_a_worker_of_another_version_is_not_misunderstood(house: House, ada: User) -> None:
    who, there = await signed_in(house, ada), elsewhere(house)
    seals = Seals(house.settings.refresh_token_secret, "revocations")
    later: list[object] = [
        ["session", who.session_id, "paused"],
        ["user", ada.id, 1],
        ["device", who.session_id],
        {"session": who.session_id},
        ["session", 7],
        None,
    ]
    for what in later:
        there.hear(seals.sealed(json.dumps(what).encode()), now=START)
    assert not there.denies(who)


@pytest.mark.parametrize(
    ("ours", "theirs", "heard"),
    [
        (["old"], ["old", "new"], True),
        (["old", "new"], ["new", "old"], True),
        (["new", "old"], ["new"], True),
        (["old", "new"], ["new"], False),
    ],
)
def test_secrets_may_be_changed_while_workers_speak(
    ours: list[str], theirs: list[str], heard: bool
) -> None:
    """The first seals, all are honoured: as for tokens."""
    sealed = Seals(ours, "news").sealed(b"what there is")
    assert Seals(theirs, "news").opened(sealed) == (b"what there is" if heard else None)


async def test_who_may_have_missed_something_reads(house: House) -> None:
    """S-13."""
    knowledge = elsewhere(house)
    assert knowledge.age(START) is None
    await knowledge.refresh(START)
    assert knowledge.is_fresh(START + 0.1)
    knowledge.expire()
    assert not knowledge.is_fresh(START + 0.1)
    assert knowledge.age(START + 0.5) == 0.5


# --- roles, and accounts that are shut -------------------------------------------------------


async def by_reading(here: Revocations, there: Revocations) -> None:
    await there.refresh(START + 10)


async def by_hearing(here: Revocations, there: Revocations) -> None:
    pass


@pytest.mark.parametrize("how", [by_reading, by_hearing])
async def test_a_changed_role_voids_access_tokens_and_ends_no_session(
    house: House, ada: User, how: Callable[..., Any]
) -> None:
    """S-12."""
    here, there = house.sessions.revocations, elsewhere(house)
    if how is by_hearing:
        line_between(here, there)
    _, pair = await house.opened(ada)
    who, bob = identity_of(house.access(pair)), await signed_in(house, await house.user("bob"))
    for number, is_admin in enumerate((True, False, True), 1):
        changed = await house.accounts().set_admin(ada.id, is_admin, now=START + number)
        assert changed is not None
        here.note_user(changed, now=START + number)
        await how(here, there)
        there.expire()
        for knowledge in (here, there):
            assert knowledge.denies(who)
            assert knowledge.outdates(who)
            assert not knowledge.denies(bob)
        refreshed = await house.refresh(pair, now=START + number)
        assert refreshed.pair is not None
        pair = refreshed.pair
        who = identity_of(house.access(pair))
        assert ("admin" in who.credentials.scopes) is is_admin
        assert not here.denies(who)
        assert not there.denies(who)


async def test_a_newer_token_than_what_is_known_is_let_in(house: House, ada: User) -> None:
    """It was made elsewhere after a change of which this worker has not heard: to refuse it would
    be to exchange it for nothing, again and again."""
    behind = elsewhere(house)
    assert await house.accounts().set_admin(ada.id, True, now=START + 1)
    await behind.refresh(START + 2)
    newest = await house.accounts().set_admin(ada.id, False, now=START + 3)
    assert newest is not None
    assert not behind.denies(await signed_in(house, newest, START + 4))


async def test_roles_and_epochs_are_known_apart(house: House, ada: User) -> None:
    """In whatever order they are heard."""
    here = house.sessions.revocations
    spared, other = await signed_in(house, ada), await signed_in(house, ada)
    raised = await house.sessions.close_all(ada.id, now=START + 1, spare=spared.session_id)
    promoted = await house.accounts().set_admin(ada.id, True, now=START + 2)
    assert raised is not None
    assert promoted is not None
    for order in ((raised, promoted), (promoted, raised), (promoted, ada), (ada, promoted)):
        there = elsewhere(house)
        for user in order:
            there.note_user(user, now=START + 3)
        assert there.denies(spared)
        assert there.outdates(spared)
        assert there.denies(other)
    assert not here.denies(spared)


@pytest.mark.parametrize("how", ["disable", "delete"])
async def test_a_shut_account_is_denied_elsewhere(house: House, ada: User, how: str) -> None:
    """S-12: a deleted user's row is an empty shell, by which the others hear of it."""
    who, there = await signed_in(house, ada), elsewhere(house)
    await there.refresh(START)
    accounts = house.accounts()
    if how == "disable":
        assert await accounts.disable(ada.id, now=START + 0.1)
    else:
        assert await accounts.delete(ada, now=START + 0.1)
        assert await accounts.set_admin(ada.id, True, now=START + 0.2) is None
        assert await accounts.disable(ada.id, now=START + 0.2) is None
        assert await accounts.enable(ada.id) is None
    await there.refresh(START + POLL)
    assert there.denies(who)
    assert await accounts.by_id(ada.id) is None
    if how == "disable":
        assert await accounts.enable(ada.id)
        assert await accounts.by_id(ada.id) is not None
        assert await house.sessions.holder(who.session_id, now=START + POLL) is None
