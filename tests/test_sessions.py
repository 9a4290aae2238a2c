"""Sessions over real stores: nobody is signed out by mistake, and a copied token is caught."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi.accounts import USERS, User
from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.core.rotation import Verdict
from authkit_asgi.core.tokens import ACCESS, REFRESH
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.events import SessionReused
from authkit_asgi.sessions import SESSIONS, Refreshed, TokenPair
from authkit_asgi.settings import DAY, HOUR, MINUTE
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.house import LAPTOP, PHONE, Breaking, House
from tests.world import START

PLACES = ("memory on asyncio", "memory on trio", "sqlite on asyncio")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(place: str) -> str:
    return place.rpartition(" ")[2]


@pytest.fixture
async def store(place: str, tmp_path: Path) -> AsyncIterator[Store]:
    in_memory = place.startswith("memory")
    store: Store = (
        MemoryStore() if in_memory else SqliteStore(tmp_path / "rows.db", durability="normal")
    )
    yield store
    await store.close()


@pytest.fixture
async def house(store: Store) -> House:
    return await House(store).open()


@pytest.fixture
async def ada(house: House) -> User:
    return await house.user()


def identity(house: House, pair: TokenPair) -> Identity:
    return identity_of(house.access(pair))


async def together(count: int, work: Callable[[int], Awaitable[Refreshed]]) -> list[Refreshed]:
    got: list[Refreshed] = []

    async def one(number: int) -> None:
        got.append(await work(number))

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(one, number)
    return got


# --- opening ------------------------------------------------------------------------------------


async def test_a_new_session_is_told_by_both_tokens(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    access, refresh = house.access(pair), house.refresh_claims(pair)
    for claims in (access, refresh):
        assert (claims.subject, claims.session_id) == (ada.id, session.id)
        assert (claims.generation, claims.issued_at) == (0, START)
    assert access.expires_at == START + HOUR == pair.access_expires_at
    assert refresh.expires_at == START + 7 * DAY == pair.refresh_expires_at
    assert access.profile["username"] == "ada"
    assert refresh.profile == {}
    assert await house.row(session.id) == session


async def test_two_sign_ins_are_two_sessions(house: House, ada: User) -> None:
    """S-01."""
    one, _ = await house.opened(ada)
    other, _ = await house.opened(ada)
    assert one.id != other.id


async def test_no_token_is_in_a_row_or_a_repr(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    for token in (pair.access, pair.refresh):
        assert token not in repr((pair, session, await house.refresh(pair, now=START + 1)))


# --- refreshing ---------------------------------------------------------------------------------


async def test_a_refresh_token_is_exchanged(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    refreshed = await house.refresh(pair, now=START + HOUR)
    assert refreshed.verdict is Verdict.ROTATE
    assert refreshed.pair is not None
    assert house.access(refreshed.pair).generation == 1
    assert house.refresh_claims(refreshed.pair).generation == 1
    row = await house.row(session.id)
    assert (row.generation, row.confirmed, row.rotated_at) == (1, 0, START + HOUR)
    assert (row.ip, row.user_agent) == (LAPTOP.ip, LAPTOP.user_agent)  # S-25
    assert row.last_seen_at == START + HOUR
    assert house.ear.names() == ["SessionRefreshed"]


async def test_the_new_access_token_says_what_is_true_now(house: House, ada: User) -> None:
    _, pair = await house.opened(ada)
    await house.accounts().change(ada, {"username": "countess", "is_admin": True})
    refreshed = await house.refresh(pair, now=START + HOUR)
    assert refreshed.pair is not None
    profile = house.access(refreshed.pair).profile
    assert (profile["username"], profile["isAdmin"]) == ("countess", True)


@pytest.mark.parametrize("later", [0.0, 30.0], ids=["at once", "at the end of the grace"])
async def test_a_twin_gets_tokens_of_the_same_generation(
    house: House, ada: User, later: float
) -> None:
    """S-03."""
    session, pair = await house.opened(ada)
    winner = await house.moved_on(pair, now=START + HOUR)
    before = await house.row(session.id)
    twin = await house.refresh(pair, now=START + HOUR + later)
    assert twin.verdict is Verdict.JOIN
    assert twin.pair is not None
    assert twin.pair.generation == winner.generation == 1
    assert twin.pair.refresh_expires_at == winner.refresh_expires_at
    assert house.refresh_claims(twin.pair).expires_at == house.refresh_claims(winner).expires_at
    assert await house.row(session.id) == before


async def test_a_lost_answer_can_be_asked_for_again_days_later(house: House, ada: User) -> None:
    """S-08: nothing of the new generation was seen, so the old token is the browser's best."""
    _, pair = await house.opened(ada)
    lost = await house.refresh(pair, now=START + HOUR)
    assert lost.pair is not None
    for later in (2 * HOUR, 2 * DAY, 6 * DAY):
        again = await house.refresh(pair, now=START + later)
        assert again.verdict is Verdict.JOIN
        assert again.pair is not None
        assert again.pair.generation == 1


async def test_a_used_token_closes_the_session_and_no_other(house: House, ada: User) -> None:
    """S-04."""
    session, stolen = await house.opened(ada)
    _, elsewhere = await house.opened(ada)
    current = await house.moved_on(stolen, now=START + HOUR)
    replayed = await house.refresh(stolen, now=START + HOUR + 31)
    assert replayed.verdict is Verdict.REUSED
    assert (replayed.pair, replayed.ours) == (None, True)
    assert (await house.row(session.id)).close_reason == "reused"
    assert (await house.refresh(current, now=START + HOUR + 32)).verdict is Verdict.DEAD
    assert house.sessions.revocations.denies(identity(house, current))
    assert (await house.refresh(elsewhere, now=START + HOUR + 33)).verdict is Verdict.ROTATE
    told = [event for event in house.ear.heard if isinstance(event, SessionReused)]
    assert [(one.session_id, one.user_id, one.visitor) for one in told] == [
        (session.id, ada.id, LAPTOP)
    ]


async def test_a_patient_thief_is_caught_at_the_second_refresh(house: House, ada: User) -> None:
    """S-04: it exchanges its copy first and uses nothing, so the owner's next refresh looks like a
    lost answer. From there on both hold tokens of one generation, and only one may go on."""
    session, copy = await house.opened(ada)
    thiefs = (await house.refresh(copy, now=START + HOUR)).pair
    owners = (await house.refresh(copy, now=START + 2 * HOUR)).pair
    assert thiefs is not None
    assert owners is not None
    assert thiefs.generation == owners.generation == 1
    assert (await house.row(session.id)).parent == house.refresh_claims(copy).token_id
    assert (await house.refresh(owners, now=START + 3 * HOUR)).verdict is Verdict.ROTATE
    assert (await house.refresh(thiefs, now=START + 5 * HOUR)).verdict is Verdict.REUSED
    assert house.ear.names().count("SessionReused") == 1


async def test_a_punctual_thief_is_caught_at_the_second_refresh(house: House, ada: User) -> None:
    """S-04: it always comes within the grace before the owner, and lets its tokens be seen in use
    just before the owner comes, so that the grace would begin anew."""
    _, copy = await house.opened(ada)
    thiefs = (await house.refresh(copy, now=START + HOUR - 5)).pair
    owners = (await house.refresh(copy, now=START + HOUR)).pair
    assert thiefs is not None
    assert owners is not None
    later = (await house.refresh(thiefs, now=START + HOUR + 30)).pair
    assert later is not None
    await house.sessions.confirm(identity(house, later), now=START + 2 * HOUR - 1)
    assert (await house.refresh(owners, now=START + 2 * HOUR)).verdict is Verdict.REUSED


async def test_a_glance_catches_as_an_exchange_does(house: House, ada: User) -> None:
    """S-23: what a WebSocket's handshake shows is judged by the same rules, and none twice."""
    session, copy = await house.opened(ada)
    pairs = [(await house.refresh(copy, now=START + HOUR)).pair for _ in range(2)]
    first, second = (pair.refresh.encode() for pair in pairs if pair)
    assert first != second
    assert await house.sessions.peek(first, now=START + 2 * HOUR) is not None
    assert await house.sessions.peek(second, now=START + 2 * HOUR) is not None
    await house.sessions.refresh(first, visitor=PHONE, now=START + 2 * HOUR)
    assert await house.sessions.peek(second, now=START + 2 * HOUR) is None
    assert (await house.row(session.id)).close_reason == "reused"


async def test_two_tokens_of_one_generation_at_once_are_not_one_refresh(
    house: House, ada: User
) -> None:
    """S-04: in one process, too, where refreshes of one token share one exchange."""
    _, copy = await house.opened(ada)
    pairs = [(await house.refresh(copy, now=START + HOUR)).pair for _ in range(2)]
    held = [pair for pair in pairs if pair]
    got = await together(2, lambda n: house.refresh(held[n], now=START + 2 * HOUR))
    assert {one.verdict for one in got} == {Verdict.ROTATE, Verdict.REUSED}


async def test_two_refreshes_in_a_moment_are_no_theft(house: House, ada: User) -> None:
    """A tab asks with the old token, and another one with the answer to it that came meanwhile;
    then a third with an answer that was late."""
    _, old = await house.opened(ada)
    pairs = [(await house.refresh(old, now=START + HOUR + late)).pair for late in (0, 3)]
    first, second = (pair for pair in pairs if pair)
    newer = await house.moved_on(first, now=START + HOUR + 4)
    third = await house.refresh(second, now=START + HOUR + 8)
    assert third.verdict is Verdict.JOIN
    assert third.pair is not None
    assert third.pair.generation == newer.generation


async def test_after_a_renewal_any_token_before_it_may_have_been_the_last(
    house: House, ada: User
) -> None:
    session, old = await house.opened(ada)
    pairs = [(await house.refresh(old, now=START + HOUR)).pair for _ in range(2)]
    held = [pair for pair in pairs if pair]
    await house.sessions.confirm(identity(house, held[0]), now=START + HOUR)
    renewed = await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + HOUR + 60)
    assert renewed is not None
    assert (await house.row(session.id)).parent is None
    for pair in held:
        assert (await house.refresh(pair, now=START + 3 * HOUR)).verdict is Verdict.JOIN


async def test_fifty_replays_on_two_workers_tell_of_one_theft(house: House, ada: User) -> None:
    """S-04, S-06: reuse is known by the row, also to a worker that never saw the session."""
    _, stolen = await house.opened(ada)
    await house.moved_on(stolen, now=START + HOUR)
    workers = house.worker(), house.worker()
    later = START + 2 * HOUR
    got = await together(50, lambda n: house.refresh(stolen, now=later, worker=workers[n % 2]))
    assert {one.pair for one in got} == {None}
    assert all(one.ours for one in got)
    assert house.ear.names().count("SessionReused") == 1


async def test_fifty_refreshes_on_two_workers_make_one_rotation(house: House, ada: User) -> None:
    """S-02: each worker collapses its own; between workers the store decides."""
    session, pair = await house.opened(ada)
    workers = house.worker(), house.worker()
    later = START + HOUR
    got = await together(50, lambda n: house.refresh(pair, now=later, worker=workers[n % 2]))
    assert {one.pair.generation for one in got if one.pair} == {1}
    assert all(one.pair for one in got)
    assert (await house.row(session.id)).generation == 1
    assert house.ear.names() == ["SessionRefreshed"]


async def test_whoever_loses_the_swap_is_the_winners_twin(house: House, ada: User) -> None:
    """S-02: the other worker rotates between our reading of the row and our write."""

    class Overtaken(Breaking):
        async def swap(self, *args: Any, **more: Any) -> Any:
            await house.refresh(pair, now=START + HOUR, worker=house.worker())
            return await self.store.swap(*args, **more)

    _, pair = await house.opened(ada)
    mine = await house.refresh(pair, now=START + HOUR, worker=house.worker(Overtaken(house.store)))
    assert mine.verdict is Verdict.JOIN
    assert mine.pair is not None
    assert mine.pair.generation == 1


async def test_a_session_that_ends_during_its_refresh_stays_ended(house: House, ada: User) -> None:
    class SignedOut(Breaking):
        async def swap(self, *args: Any, **more: Any) -> Any:
            await house.sessions.close(session.id, reason="signed out", now=START + HOUR)
            return await self.store.swap(*args, **more)

    session, pair = await house.opened(ada)
    mine = await house.refresh(pair, now=START + HOUR, worker=house.worker(SignedOut(house.store)))
    assert (mine.verdict, mine.pair) == (Verdict.DEAD, None)


async def test_a_token_ahead_of_the_row_is_no_theft(house: House, ada: User) -> None:
    """S-07: a restored backup asks for a new sign-in, and accuses nobody."""
    session, pair = await house.opened(ada)
    newer = await house.moved_on(pair, now=START + HOUR)
    await house.store.swap(SESSIONS, session.id, expect={}, change={"generation": 0})
    refreshed = await house.refresh(newer, now=START + 2 * HOUR)
    assert (refreshed.verdict, refreshed.pair) == (Verdict.ROLLED_BACK, None)
    assert refreshed.ours
    assert (await house.row(session.id)).closed_at is None
    assert house.ear.names() == ["SessionRefreshed", "SessionRolledBack"]
    assert (await house.refresh(pair, now=START + 2 * HOUR)).pair is not None


@pytest.mark.parametrize("token", [None, b"", b"a.b.c", b"\xff" * 5000], ids=str)
async def test_garbage_is_not_ours(house: House, token: bytes | None) -> None:
    """Not ours, so no cookie is cleared: it may be another worker's with a newer key."""
    refreshed = await house.sessions.refresh(token, visitor=PHONE, now=START)
    assert (refreshed.pair, refreshed.ours) == (None, False)


async def test_an_access_token_refreshes_nothing(house: House, ada: User) -> None:
    """S-14."""
    session, pair = await house.opened(ada)
    refreshed = await house.sessions.refresh(pair.access.encode(), visitor=PHONE, now=START)
    assert (refreshed.pair, refreshed.ours) == (None, False)
    assert (await house.row(session.id)).generation == 0


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("remember", "idle"), [(False, 7 * DAY), (True, 30 * DAY)])
async def test_the_idle_end_slides(house: House, ada: User, remember: bool, idle: float) -> None:
    """S-09."""
    _, pair = await house.opened(ada, remember=remember)
    now = START
    for _ in range(2):
        now += idle - 1
        pair = await house.moved_on(pair, now=now)
        assert pair.refresh_expires_at == now + idle
    over = await house.refresh(pair, now=now + idle)
    assert (over.verdict, over.pair, over.ours) == (Verdict.DEAD, None, True)


async def test_a_twin_that_comes_too_late_clears_no_cookie(house: House, ada: User) -> None:
    """S-09: its token has run out on the way, but the browser has a newer one by now."""
    session, pair = await house.opened(ada)
    end = session.idle_expires_at
    newer = await house.moved_on(pair, now=end - 5)
    late = await house.refresh(pair, now=end + 3)
    assert (late.verdict, late.pair, late.ours) == (Verdict.DEAD, None, False)
    assert (await house.refresh(newer, now=end + 3)).pair is not None
    await house.sessions.close(session.id, reason="signed out", now=end + 4)
    assert (await house.refresh(pair, now=end + 5)).ours


@pytest.mark.parametrize("remember", [False, True])
async def test_the_absolute_end_never_moves(house: House, ada: User, remember: bool) -> None:
    """S-09, S-16: however often it is used; and no token outlives it."""
    session, pair = await house.opened(ada, remember=remember)
    end = START + 90 * DAY
    now = START
    while now + 6 * DAY < end:
        now += 6 * DAY
        pair = await house.moved_on(pair, now=now)
        assert house.refresh_claims(pair).expires_at <= end
    last = await house.refresh(pair, now=end - MINUTE)
    assert last.pair is not None
    assert house.access(last.pair).expires_at == end
    assert house.refresh_claims(last.pair).expires_at == end
    assert (await house.row(session.id)).expires_at == end
    assert (await house.refresh(last.pair, now=end)).verdict is Verdict.DEAD


async def test_a_row_is_kept_as_long_as_a_token_of_it_may_live(house: House, ada: User) -> None:
    """S-20."""
    session, pair = await house.opened(ada)
    assert (session.purge_at or 0) > session.ends_at + HOUR
    await house.moved_on(pair, now=START + DAY)
    row = await house.row(session.id)
    assert (row.purge_at or 0) > row.ends_at + HOUR
    await house.sessions.close(session.id, reason="signed out", now=START + 2 * DAY)
    assert ((await house.row(session.id)).purge_at or 0) > START + 2 * DAY + HOUR


async def test_refreshes_of_one_day_leave_the_index_over_rows_that_are_over_alone(
    house: House, ada: User
) -> None:
    session, pair = await house.opened(ada)
    moves: list[float | None] = []
    for hour in range(1, 49):
        pair = await house.moved_on(pair, now=START + hour * HOUR)
        row = await house.row(session.id)
        assert row.ends_at + HOUR < (row.purge_at or 0) < row.ends_at + 2 * DAY
        if row.purge_at not in moves:
            moves.append(row.purge_at)
    assert len(moves) == 2


# --- the account --------------------------------------------------------------------------------


async def disable(house: House, user: User) -> None:
    await house.accounts().change(user, {"disabled_at": START})


async def delete(house: House, user: User) -> None:
    await house.accounts().delete(user, now=START)


async def remove(house: House, user: User) -> None:
    await house.store.take(USERS, user.id)


async def doubt(house: House, user: User) -> None:
    await house.accounts().change(user, {"is_verified": False})


async def end_all(house: House, user: User) -> None:
    await house.sessions.close_all(user.id, now=START)


FALLS = {
    "disabled": disable,
    "deleted": delete,
    "missing": remove,
    "unverified": doubt,
    "epoch raised": end_all,
}


@pytest.mark.parametrize("fall", FALLS.values(), ids=FALLS.keys())
async def test_a_session_ends_with_what_its_account_lost(
    house: House, ada: User, fall: Callable[[House, User], Awaitable[None]]
) -> None:
    """S-15, S-12: on every way to a token."""
    session, pair = await house.opened(ada)
    await fall(house, ada)
    now = START + 1
    refreshed = await house.refresh(pair, now=now)
    assert (refreshed.verdict, refreshed.pair, refreshed.ours) == (Verdict.DEAD, None, True)
    sessions, who = house.sessions, identity(house, pair)
    current = await house.accounts().by_id(ada.id)
    assert await sessions.peek(pair.refresh.encode(), now=now) is None
    assert await sessions.owner(session) is None
    if current is not None:
        assert await sessions.renew(session.id, current, visitor=PHONE, now=now) is None
        assert await sessions.reissue(who, current, now=now) is None


async def test_an_unverified_account_may_stay_where_settings_allow_it(store: Store) -> None:
    house = await House(store, require_verified_email=False).open()
    ada = await house.user()
    _, pair = await house.opened(ada)
    await doubt(house, ada)
    assert (await house.refresh(pair, now=START + 1)).pair is not None


async def test_the_spared_session_survives_and_no_other(house: House, ada: User) -> None:
    """S-11."""
    mine, kept = await house.opened(ada)
    _, other = await house.opened(ada)
    assert await house.sessions.close_all(ada.id, now=START + 1, spare=mine.id)
    assert (await house.refresh(other, now=START + 2)).verdict is Verdict.DEAD
    assert not house.sessions.revocations.denies(identity(house, kept))
    assert house.sessions.revocations.denies(identity(house, other))
    survived = await house.refresh(kept, now=START + 2)
    assert survived.pair is not None
    assert not house.sessions.revocations.denies(identity(house, survived.pair))
    user = await house.accounts().by_id(ada.id)
    assert user is not None
    assert [one.id for one in await house.sessions.listing(user, now=START + 3)] == [mine.id]
    assert await house.sessions.close_all(ada.id, now=START + 4)
    assert (await house.refresh(survived.pair, now=START + 5)).verdict is Verdict.DEAD


async def test_an_ended_session_cannot_spare_itself(house: House, ada: User) -> None:
    """S-11: a thief whose access token another worker still takes asks it to end "the others"."""
    mine, _ = await house.opened(ada)
    stolen, copied = await house.opened(ada)
    assert await house.sessions.close_all(ada.id, now=START + 1, spare=mine.id)
    assert await house.worker().close_all(ada.id, now=START + 1.5, spare=stolen.id) is None
    assert (await house.refresh(copied, now=START + 2)).verdict is Verdict.DEAD
    closed, _ = await house.opened(ada)
    await house.sessions.close(closed.id, reason="signed out", now=START + 2)
    assert await house.worker().close_all(ada.id, now=START + 2.5, spare=closed.id) is None


async def test_nobody_spares_a_session_of_somebody_else(house: House, ada: User) -> None:
    """S-17."""
    bob = await house.user("bob")
    his, _ = await house.opened(bob)
    assert await house.sessions.close_all(ada.id, now=START + 1, spare=his.id) is None
    assert await house.sessions.close_all(ada.id, now=START + 1, spare="unknown") is None


async def test_of_many_who_close_a_session_one_is_told(house: House, ada: User) -> None:
    session, _ = await house.opened(ada)
    got = []

    async def close() -> None:
        got.append(await house.worker().close(session.id, reason="signed out", now=START))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(close)
    assert Counter(one is not None for one in got) == {True: 1, False: 19}


async def test_living_sessions_are_listed_the_newest_first(house: House, ada: User) -> None:
    bob = await house.user("bob")
    old, _ = await house.opened(ada, now=START)
    over, _ = await house.opened(ada, now=START - 8 * DAY)
    new, _ = await house.opened(ada, now=START + 1)
    closed, _ = await house.opened(ada, now=START + 2)
    await house.opened(bob, now=START + 3)
    await house.sessions.close(closed.id, reason="signed out", now=START + 4)
    listed = await house.sessions.listing(ada, now=START + 5)
    assert [one.id for one in listed] == [new.id, old.id]
    assert over.id not in {one.id for one in listed}


# --- without an exchange ------------------------------------------------------------------------


async def test_a_renewed_session_moves_on(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    renewed = await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + MINUTE)
    assert renewed is not None
    assert renewed.generation == 1
    assert (await house.refresh(renewed, now=START + MINUTE + 1)).pair is not None
    await house.store.swap(SESSIONS, session.id, expect={}, change={"confirmed": 2})
    assert (await house.refresh(pair, now=START + 2 * MINUTE)).verdict is Verdict.REUSED


async def test_a_renewal_right_after_a_refresh_makes_no_thief_of_a_slow_twin(
    house: House, ada: User
) -> None:
    """Several requests leave with tokens that have run out. The first one's answer is in use and
    a new password chosen before the last of them arrives: two generations would lie between."""
    session, pair = await house.opened(ada)
    current = await house.moved_on(pair, now=START + HOUR)
    renewed = await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + HOUR + 30)
    assert renewed is not None
    assert renewed.generation == current.generation
    assert (await house.refresh(pair, now=START + HOUR + 30)).verdict is Verdict.JOIN
    later = await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + HOUR + 31)
    assert later is not None
    assert later.generation == current.generation + 1


async def test_a_renewal_is_never_a_second_lost_step(house: House, ada: User) -> None:
    """A password is changed with an access token that has just run out: the guard exchanges it,
    the handler renews it, and the one answer with both is lost. The browser is one behind."""
    session, pair = await house.opened(ada)
    exchanged = await house.refresh(pair, now=START + HOUR)
    assert exchanged.pair is not None
    user = await house.accounts().change_and_end_sessions(
        ada, {}, now=START + HOUR, spare=session.id
    )
    assert user is not None
    lost = await house.sessions.renew(session.id, user, visitor=PHONE, now=START + HOUR)
    assert lost is not None
    again = await house.refresh(pair, now=START + 3 * HOUR)
    assert again.verdict is Verdict.JOIN


async def test_a_session_that_is_over_is_not_renewed(house: House, ada: User) -> None:
    session, _ = await house.opened(ada)
    assert await house.sessions.renew("unknown", ada, visitor=PHONE, now=START) is None
    assert await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + 7 * DAY) is None
    await house.sessions.close(session.id, reason="signed out", now=START)
    assert await house.sessions.renew(session.id, ada, visitor=PHONE, now=START + 1) is None


async def test_a_session_that_ends_while_it_is_renewed_gets_no_tokens(
    house: House, ada: User
) -> None:
    class SignedOut(Breaking):
        async def swap(self, *args: Any, **more: Any) -> Any:
            await house.sessions.close(session.id, reason="signed out", now=START)
            return await self.store.swap(*args, **more)

    session, _ = await house.opened(ada)
    worker = house.worker(SignedOut(house.store))
    assert await worker.renew(session.id, ada, visitor=PHONE, now=START + MINUTE) is None


async def test_new_claims_never_confirm_an_answer_that_was_lost(house: House, ada: User) -> None:
    """The browser holds generation 0; that 1 was made, it never heard. An access token that said
    1 would confirm it, and make the browser's own refresh token look stolen."""
    _, pair = await house.opened(ada)
    lost = await house.refresh(pair, now=START + MINUTE)
    assert lost.pair is not None
    token = await house.sessions.reissue(identity(house, pair), ada, now=START + 2 * MINUTE)
    assert token is not None
    claims = house.tokens.read(ACCESS, token.encode(), now=START + 2 * MINUTE)
    assert claims is not None
    assert claims.generation == 0
    await house.sessions.confirm(identity_of(claims), now=START + 2 * MINUTE)
    assert (await house.refresh(pair, now=START + HOUR)).verdict is Verdict.JOIN


async def test_new_claims_reach_the_access_token(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    changed = await house.accounts().change(ada, {"username": "countess"})
    assert changed is not None
    token = await house.sessions.reissue(identity(house, pair), changed, now=START + 1)
    assert token is not None
    claims = house.tokens.read(ACCESS, token.encode(), now=START + 1)
    assert claims is not None
    assert (claims.profile["username"], claims.session_id) == ("countess", session.id)
    await house.sessions.close(session.id, reason="signed out", now=START + 2)
    assert await house.sessions.reissue(identity(house, pair), changed, now=START + 3) is None


async def test_new_claims_give_an_access_token_no_longer_life(house: House, ada: User) -> None:
    """S-04: a thief who never shows a refresh token is never caught, and must not need one."""
    _, pair = await house.opened(ada)
    later = START + HOUR - MINUTE
    token = await house.sessions.reissue(identity(house, pair), ada, now=later)
    assert token is not None
    claims = house.tokens.read(ACCESS, token.encode(), now=later)
    assert claims is not None
    assert claims.expires_at == pair.access_expires_at


async def test_a_peek_tells_who_it_is_and_writes_nothing(house: House, ada: User) -> None:
    """S-23."""
    session, pair = await house.opened(ada)
    counted = Breaking(house.store)
    worker = house.worker(counted)
    who = await worker.peek(pair.refresh.encode(), now=START + 2 * HOUR)
    assert who is not None
    assert (who.id, who.session_id, who.display_name) == (ada.id, session.id, "ada")
    current = await house.moved_on(pair, now=START + HOUR)
    assert await worker.peek(pair.refresh.encode(), now=START + HOUR + 30) is not None
    assert await worker.peek(pair.access.encode(), now=START) is None
    assert await worker.peek(current.refresh.encode(), now=START + 30 * DAY) is None
    assert await worker.peek(None, now=START) is None
    assert set(counted.calls) == {"get"}
    assert (await house.row(session.id)).closed_at is None


async def test_a_used_token_is_nobodys_at_a_peek(house: House, ada: User) -> None:
    _, pair = await house.opened(ada)
    await house.moved_on(pair, now=START + HOUR)
    assert await house.sessions.peek(pair.refresh.encode(), now=START + HOUR + 31) is None


async def test_a_confirmed_generation_ends_its_predecessor(house: House, ada: User) -> None:
    session, pair = await house.opened(ada)
    refreshed = await house.refresh(pair, now=START + HOUR)
    assert refreshed.pair is not None
    old, new = identity(house, pair), identity(house, refreshed.pair)
    await house.sessions.confirm(old, now=START + 2 * HOUR)  # an old one confirms nothing
    assert (await house.row(session.id)).confirmed == 0
    await house.sessions.confirm(new, now=START + 2 * HOUR)
    assert (await house.row(session.id)).confirmed == 1
    # Another worker sees it for the first time: that begins no new grace.
    await house.worker().confirm(new, now=START + 3 * HOUR)
    assert (await house.refresh(pair, now=START + 3 * HOUR)).verdict is Verdict.REUSED


async def test_the_slowest_request_of_a_retry_is_a_twin_too(house: House, ada: User) -> None:
    """S-08: hours after a lost answer six tabs ask at once; one's answer is in use already when
    the last one's request arrives."""
    _, pair = await house.opened(ada)
    lost = await house.refresh(pair, now=START + HOUR)
    again = await house.refresh(pair, now=START + 3 * HOUR)
    assert lost.pair is not None
    assert again.pair is not None
    await house.sessions.confirm(identity(house, again.pair), now=START + 3 * HOUR + 1)
    slow = await house.refresh(pair, now=START + 3 * HOUR + 31)
    assert slow.verdict is Verdict.JOIN
    assert (await house.refresh(pair, now=START + 3 * HOUR + 32)).verdict is Verdict.REUSED


async def test_presented_tokens_name_their_sessions(house: House, ada: User) -> None:
    one, first = await house.opened(ada)
    two, second = await house.opened(ada)
    named = house.sessions.presented(first.access.encode(), second.refresh.encode())
    assert named == [two.id, one.id]
    same = house.sessions.presented(first.access.encode(), first.refresh.encode())
    assert same == [one.id]
    assert house.sessions.presented(b"x", None) == []


# --- trouble ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "swap"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failed_refresh_uses_nothing_up(
    house: House, ada: User, verb: str, when: str
) -> None:
    """S-05: also when the write was done, and only the word of it was lost."""
    _, pair = await house.opened(ada)
    breaking = Breaking(house.store)
    worker = house.worker(breaking)
    failing = breaking.before if when == "before" else breaking.after
    failing.add(verb)
    with pytest.raises(StoreUnavailable):
        await house.refresh(pair, now=START + HOUR, worker=worker)
    failing.clear()
    again = await house.refresh(pair, now=START + 3 * HOUR, worker=worker)
    assert again.pair is not None
    assert again.pair.generation == 1
    assert "SessionReused" not in house.ear.names()


async def test_an_error_reaches_all_who_waited_and_costs_nobody_the_session(
    house: House, ada: User
) -> None:
    _, pair = await house.opened(ada)
    breaking = Breaking(house.store, before={"swap"})
    worker = house.worker(breaking)
    failed = []

    async def one() -> None:
        try:
            await house.refresh(pair, now=START + HOUR, worker=worker)
        except StoreUnavailable:
            failed.append(1)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert len(failed) == 10
    breaking.before.clear()
    assert (await house.refresh(pair, now=START + HOUR, worker=worker)).pair is not None


async def test_whoever_is_cancelled_takes_nobody_along(house: House, ada: User) -> None:
    """S-24: the one whose request did the work closes the tab; the others still get tokens."""

    class Slow(Breaking):
        async def swap(self, *args: Any, **more: Any) -> Any:
            if not started.is_set():
                started.set()
                await anyio.sleep_forever()
            return await self.store.swap(*args, **more)

    started = anyio.Event()
    _, pair = await house.opened(ada)
    worker = house.worker(Slow(house.store))
    got: list[Refreshed] = []

    async def one() -> None:
        got.append(await house.refresh(pair, now=START + HOUR, worker=worker))

    async with anyio.create_task_group() as others, anyio.create_task_group() as leader:
        leader.start_soon(one)
        await started.wait()
        for _ in range(5):
            others.start_soon(one)
        await anyio.lowlevel.checkpoint()
        leader.cancel_scope.cancel()
    assert [one.pair.generation for one in got if one.pair] == [1] * 5


async def test_a_thief_who_hangs_up_is_told_of_all_the_same(house: House, ada: User) -> None:
    """S-04, S-24."""

    class Cut(Breaking):
        async def swap(self, *args: Any, **more: Any) -> Any:
            done = await self.store.swap(*args, **more)
            scope.cancel()
            return done

    session, stolen = await house.opened(ada)
    await house.moved_on(stolen, now=START + HOUR)
    with anyio.CancelScope() as scope:
        await house.refresh(stolen, now=START + 2 * HOUR, worker=house.worker(Cut(house.store)))
    assert (await house.row(session.id)).close_reason == "reused"
    assert house.ear.names().count("SessionReused") == 1


@pytest.mark.parametrize("done", [False, True], ids=["old state", "new state"])
async def test_a_cancelled_refresh_leaves_a_usable_token(
    house: House, ada: User, done: bool
) -> None:
    """S-24: old or new state, both usable."""

    class Cut(Breaking):
        async def swap(self, *args: Any, **more: Any) -> None:
            if done:
                await self.store.swap(*args, **more)
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    session, pair = await house.opened(ada)
    with anyio.CancelScope() as scope:
        await house.refresh(pair, now=START + HOUR, worker=house.worker(Cut(house.store)))
    assert scope.cancelled_caught
    assert (await house.row(session.id)).generation == int(done)
    assert (await house.refresh(pair, now=START + 3 * HOUR)).pair is not None


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-HOUR, -10.0, 10.0, HOUR], ids=lambda jump: f"{jump:+.0f}s")
async def test_a_clock_that_jumps_makes_no_thieves(house: House, ada: User, jump: float) -> None:
    """Q-07, Q-09: twins judged by clocks that disagree are still twins, or not known for now."""
    session, pair = await house.opened(ada)
    lost = await house.refresh(pair, now=START + HOUR)
    assert lost.pair is not None
    twin = await house.refresh(pair, now=START + HOUR + jump)
    assert twin.verdict in (Verdict.JOIN, Verdict.ROTATE)
    new = await house.refresh(lost.pair, now=START + HOUR + jump)
    assert new.verdict is Verdict.ROTATE or not new.ours  # from the future: nothing is cleared
    assert (await house.row(session.id)).closed_at is None
    assert "SessionReused" not in house.ear.names()


async def test_fractions_of_a_second_never_outlive_the_session(house: House, ada: User) -> None:
    """S-16."""
    session, pair = await house.opened(ada, now=START + 0.75)
    assert pair.refresh_expires_at == math.floor(session.ends_at)
    claims = house.tokens.read(REFRESH, pair.refresh.encode(), now=START + 0.75)
    assert claims is not None
    late = await house.refresh(pair, now=session.ends_at - 0.9)
    assert late.pair is not None
