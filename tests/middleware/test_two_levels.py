"""A refresh inside a request and one by `POST /token` are the same: same verdicts, same tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from authkit_asgi.core.rotation import Session
from authkit_asgi.core.tokens import ACCESS, REFRESH
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import DAY
from authkit_asgi.store.memory import MemoryStore
from tests.middleware.knocking import (
    OWN_FORM,
    Answered,
    BrittleStore,
    Tokens,
    ask,
    claims_in,
    owner_of,
    visitor,
)
from tests.world import World, world

Case = Callable[[World], Awaitable[str]]  # the refresh token that is to be shown, when all is set


async def in_the_request(w: World, token: str) -> Answered:
    return await ask(w.app, "/members", {"refreshToken": token})


async def by_route(w: World, token: str) -> Answered:
    path = "/api/users/token"
    return await ask(w.app, path, {"refreshToken": token}, method="POST", headers=OWN_FORM)


LEVELS = (in_the_request, by_route)


async def signed_in(w: World) -> str:
    tokens = await visitor(w)
    w.clock.pass_(hours=1.1)
    return tokens["refreshToken"]


async def exchanged(w: World, token: str) -> Tokens:
    refreshed = await by_route(w, token)
    assert refreshed.status == 200
    return refreshed.cookies


async def in_use(w: World, token: str) -> str:
    """Exchanged, and the answer's access token was seen."""
    tokens = await exchanged(w, token)
    assert (await ask(w.app, "/members", tokens)).status == 200
    return tokens["refreshToken"]


async def the_current_one(w: World) -> str:
    return await signed_in(w)


async def a_twin(w: World) -> str:
    token = await signed_in(w)
    await in_use(w, token)
    w.clock.pass_(seconds=29)
    return token


async def a_lost_answer(w: World) -> str:
    token = await signed_in(w)
    await exchanged(w, token)
    w.clock.pass_(hours=50)
    return token


async def a_used_one(w: World) -> str:
    token = await signed_in(w)
    await in_use(w, token)
    w.clock.pass_(seconds=31)
    return token


async def two_behind(w: World) -> str:
    token = await signed_in(w)
    await exchanged(w, (await exchanged(w, token))["refreshToken"])
    return token


async def a_patient_thiefs(w: World) -> str:
    token = await signed_in(w)
    copy, own = [(await exchanged(w, token))["refreshToken"] for _ in range(2)]
    w.clock.pass_(hours=2)
    await exchanged(w, own)
    return copy


async def a_late_answers_in_a_race(w: World) -> str:
    token = await signed_in(w)
    late, first = [(await exchanged(w, token))["refreshToken"] for _ in range(2)]
    await in_use(w, first)
    w.clock.pass_(seconds=5)
    return late


async def after_a_rollback(w: World) -> str:
    token = await signed_in(w)
    newer = await in_use(w, token)
    session_id = claims_in(w, newer, REFRESH).session_id
    await w.kit.services.store.swap(SESSIONS, session_id, expect={}, change={"generation": 0})
    return newer


async def of_a_closed_session(w: World) -> str:
    token = await signed_in(w)
    session_id = claims_in(w, token, REFRESH).session_id
    await w.kit.services.sessions.close(session_id, reason="signed out", now=w.clock())
    return token


async def of_a_replaced_session(w: World) -> str:
    token = await signed_in(w)
    session_id = claims_in(w, token, REFRESH).session_id
    await w.kit.services.sessions.close(session_id, reason="replaced", now=w.clock())
    return token


async def of_a_disabled_user(w: World) -> str:
    tokens = await visitor(w)
    user = await owner_of(w, tokens)
    await w.kit.services.accounts.change(user, {"disabled_at": w.clock()})
    w.clock.pass_(hours=1.1)
    return tokens["refreshToken"]


async def past_its_end(w: World) -> str:
    token = await signed_in(w)
    w.clock.pass_(hours=24 * 7)
    return token


async def past_its_end_beside_a_twin_in_time(w: World) -> str:
    token = (await visitor(w))["refreshToken"]
    w.clock.at += 7 * DAY - 1
    await in_use(w, token)
    w.clock.pass_(seconds=2)
    return token


async def garbage(w: World) -> str:
    return (await signed_in(w))[:-2]


async def an_access_token(w: World) -> str:
    return (await visitor(w))["token"]


async def in_an_outage(w: World) -> str:
    token = await signed_in(w)
    await in_use(w, token)
    w.clock.pass_(hours=2)
    return token


SIGNED_IN, OUT, LEFT_ALONE, ASK_AGAIN = "signed in", "cookies cleared", "left alone", "503"


@pytest.mark.parametrize(
    ("case", "outcome", "told"),
    [
        (the_current_one, SIGNED_IN, ["SessionRefreshed"]),
        (a_twin, SIGNED_IN, []),
        (a_lost_answer, SIGNED_IN, []),
        (a_used_one, OUT, ["SessionReused"]),
        (two_behind, OUT, ["SessionReused"]),
        (a_patient_thiefs, OUT, ["SessionReused"]),
        (a_late_answers_in_a_race, SIGNED_IN, []),
        (after_a_rollback, OUT, ["SessionRolledBack"]),
        (of_a_closed_session, OUT, []),
        (of_a_replaced_session, LEFT_ALONE, []),
        (of_a_disabled_user, OUT, []),
        (past_its_end, OUT, []),
        (past_its_end_beside_a_twin_in_time, LEFT_ALONE, []),
        (garbage, LEFT_ALONE, []),
        (an_access_token, LEFT_ALONE, []),
        (in_an_outage, ASK_AGAIN, []),
    ],
)
async def test_both_levels_share_one_core(case: Case, outcome: str, told: list[str]) -> None:
    """S-02 to S-10, S-14, S-15: nothing of the verdict depends on the way that a token took."""
    found = []
    for level in LEVELS:
        memory = MemoryStore()
        store: Any = BrittleStore(memory)
        async with world(store=store) as w:
            token = await case(w)
            heard = len(w.ear.names())
            store.down = outcome == ASK_AGAIN
            answer = await level(w, token)
            assert w.ear.names()[heard:] == told
            assert told_by(answer) == outcome
            rows = await memory.find(SESSIONS, {})
            found.append([contents(w, answer), [nameless(row) for row in rows]])
    assert found[0] == found[1]


def told_by(answer: Answered) -> str:
    if answer.status == 503:
        assert not answer.cookies
        return ASK_AGAIN
    if answer.status == 200:
        assert all(answer.cookies[name] for name in ("token", "refreshToken"))
        return SIGNED_IN
    assert answer.status == 401
    assert set(answer.cookies.values()) <= {""}
    return OUT if answer.cookies else LEFT_ALONE


def contents(w: World, answer: Answered) -> list[Any]:
    """What the new tokens say, but for the names that differ from world to world."""
    if answer.status != 200:
        return []
    new = answer.cookies
    pair = (claims_in(w, new["token"], ACCESS), claims_in(w, new["refreshToken"], REFRESH))
    return [replace(one, subject="", session_id="", token_id="") for one in pair]


def nameless(row: Session) -> Session:
    return replace(row, id="", user_id="", parent=row.parent and "a token")
