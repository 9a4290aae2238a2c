"""Mistakes that look harmless, each planted in the real sessions: the machine finds every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import Phase

from authkit_asgi import sessions
from authkit_asgi.core.rotation import Session, Verdict, judge
from authkit_asgi.core.tokens import Claims
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.sessions import DEAD, Refreshed, Sessions
from tests.machines.places import memory, place, play
from tests.machines.street import LATE, MOVES, Place, Street

Plant = Callable[[pytest.MonkeyPatch], None]


def judging(rule: Callable[..., Verdict]) -> Plant:
    return lambda plant: plant.setattr(sessions, "judge", rule)


def grace_for_older_generations(
    session: Session | None, presented: Claims, *, now: float, grace: float
) -> Verdict:
    verdict = judge(session, presented, now=now, grace=grace)
    if session is None or verdict is not Verdict.REUSED:
        return verdict
    is_older = session.generation > presented.generation + 1
    return Verdict.JOIN if is_older and now - session.rotated_at <= grace else verdict


def cookies_cleared_on_an_outage(plant: pytest.MonkeyPatch) -> None:
    refresh = Sessions.refresh

    async def refreshing(self: Sessions, *args: Any, **more: Any) -> Refreshed:
        try:
            return await refresh(self, *args, **more)
        except StoreUnavailable:
            return DEAD

    plant.setattr(Sessions, "refresh", refreshing)


def confirm_never_written(plant: pytest.MonkeyPatch) -> None:
    async def confirm(self: Sessions, *args: Any, **more: Any) -> None:
        pass

    plant.setattr(Sessions, "confirm", confirm)


def losers_given_nothing(
    session: Session | None, presented: Claims, *, now: float, grace: float
) -> Verdict:
    verdict = judge(session, presented, now=now, grace=grace)
    return Verdict.DEAD if verdict is Verdict.JOIN else verdict


def a_reuse_kept_in_memory_only(plant: pytest.MonkeyPatch) -> None:
    close = Sessions.close

    async def closing(self: Sessions, session_id: str, *, reason: str, now: float) -> Any:
        if reason != "reused":
            return await close(self, session_id, reason=reason, now=now)
        identity_known = session_id in self.revocations._closed
        self.revocations.note_session(session_id, now=now)
        return None if identity_known else await self.get(session_id)

    refresh = Sessions.refresh

    async def refreshing(self: Sessions, token: bytes | None, **more: Any) -> Refreshed:
        known = self.presented(None, token)
        if any(session_id in self.revocations._closed for session_id in known):
            return DEAD
        return await refresh(self, token, **more)

    plant.setattr(Sessions, "close", closing)
    plant.setattr(Sessions, "refresh", refreshing)


def the_parent_is_ignored(
    session: Session | None, presented: Claims, *, now: float, grace: float
) -> Verdict:
    nameless = session and replace(session, parent=None)
    return judge(nameless, presented, now=now, grace=grace)


def the_time_of_minting_is_ignored(
    session: Session | None, presented: Claims, *, now: float, grace: float
) -> Verdict:
    return judge(session, replace(presented, issued_at=int(now)), now=now, grace=grace)


def the_first_use_gives_siblings_a_grace(
    session: Session | None, presented: Claims, *, now: float, grace: float
) -> Verdict:
    if session and session.confirmed_at and session.parent != presented.token_id:
        late = max(session.rotated_at, session.confirmed_at) - session.rotated_at
        return judge(session, presented, now=now, grace=grace + late)
    return judge(session, presented, now=now, grace=grace)


MUTANTS: dict[str, Plant] = {
    "grace for older generations": judging(grace_for_older_generations),
    "cookies cleared on an outage": cookies_cleared_on_an_outage,
    "confirm never written": confirm_never_written,
    "losers given nothing": judging(losers_given_nothing),
    "a reuse kept in memory only": a_reuse_kept_in_memory_only,
    "the parent is ignored": judging(the_parent_is_ignored),
    "the time of minting is ignored": judging(the_time_of_minting_is_ignored),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_machine_finds(mutant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps in each test run, and no more than 20,000."""
    mutant(monkeypatch)
    with place(memory) as here, pytest.raises(AssertionError):
        play(here, 20_000, derandomize=True, phases=[Phase.generate])


def every_habit(here: Place) -> None:
    for before, after, late in product(MOVES, MOVES, LATE):
        street = Street(here)
        street.a_jar_is_copied(which=0)
        street.the_thief_keeps_the_owners_time(0, 0, before, after, late, visits=4)
        street.nobody_shares_a_session()
        street.teardown()


def test_no_habit_lets_a_thief_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-04. Among them the one that needs most steps to be found: the thief keeps a generation
    ahead of the owner, and lets it be seen in use just before the owner comes."""
    with place(memory) as here:
        every_habit(here)
        assert here.happened["caught"] >= len(MOVES) * len(MOVES) * len(LATE) / 2
        judging(the_first_use_gives_siblings_a_grace)(monkeypatch)
        with pytest.raises(AssertionError):
            every_habit(here)
