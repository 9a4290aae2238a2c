"""One worker's clock is an hour off: some requests are turned away, and nobody is signed out."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio
import httpx2
import pytest

from authkit_asgi import AuthMiddleware
from authkit_asgi.testing import login_as
from tests.outages.people import ADA, OffClock, asked, workers
from tests.outages.table import proves
from tests.world import Browser

HOUR = 3600.0
VISITS = 200


class AnyOf:
    """Hands each request to one of the workers, as a proxy does before them."""

    def __init__(self, apps: list[AuthMiddleware], dice: random.Random) -> None:
        self._apps = apps
        self._dice = dice

    async def __call__(self, *asgi: Any) -> None:
        await self._dice.choice(self._apps)(*asgi)


@proves("A worker's clock is ahead")
@proves("A worker's clock is behind")
@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_browser_among_workers_of_which_one_is_wrong(off: float) -> None:
    """SECURITY Q-07: no 5xx, nothing cleared, no session ended, nothing taken for theft."""
    dice = random.Random(off)
    async with workers(off) as (w, apps), Browser(AnyOf(apps, dice)) as ada:
        await login_as(ada, ADA, kit=w.kit, create=True)
        answers: list[httpx2.Response] = []

        async def visit() -> None:
            answers.append(await ada.get("/members"))

        for _ in range(VISITS):
            w.clock.pass_(seconds=dice.choice([0.1, 1, 30, 600, 4000]))
            async with anyio.create_task_group() as tabs:
                for _ in range(dice.choice([1, 1, 3])):
                    tabs.start_soon(visit)

        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {200, 401}
        assert statuses[200] > statuses[401]
        assert not any("Max-Age=0" in cookie for answer in answers for cookie in cookies_of(answer))
        assert set(w.ear.names()) == {"SessionRefreshed"}
        # Corrected, it is right with everybody, once what came from the future lies in the past.
        set_right(apps)
        w.clock.pass_(hours=1)
        assert [(await ada.get("/members")).status_code for _ in range(8)] == [200] * 8


@proves("A worker's clock is ahead")
async def test_who_asks_only_workers_that_are_right_notices_nothing() -> None:
    async with workers(HOUR, 0) as (w, (right, _, also_right)), Browser(right) as ada:
        await login_as(ada, ADA, kit=w.kit, create=True)
        for _ in range(30):
            w.clock.pass_(minutes=25)
            assert (await ada.get("/members")).status_code == 200
            assert (await asked(also_right, ada.tokens())).status_code == 200


@proves("A worker's clock is ahead")
@proves("A worker's clock is behind")
@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_no_token_lives_longer_than_its_hour_and_the_jump(off: float) -> None:
    """SECURITY Q-07."""
    async with workers(off) as (w, apps), Browser(w.app) as ada:
        await login_as(ada, ADA, kit=w.kit, create=True)
        access = {"token": ada.tokens()["token"]}
        w.clock.pass_(hours=2, seconds=1)
        assert [(await asked(app, access)).status_code for app in apps] == [401, 401]


@proves("A worker's clock is behind")
async def test_a_sign_out_there_counts_elsewhere_when_the_access_token_ends() -> None:
    """The others look for what ended lately, and its row says that it ended an hour ago."""
    async with workers(-HOUR) as (w, (right, behind)), Browser(behind) as ada:
        await login_as(ada, ADA, kit=w.kit, create=True)
        w.clock.pass_(hours=3)
        assert (await ada.get("/members")).status_code == 200
        elsewhere = await asked(right, ada.tokens())
        assert elsewhere.status_code == 200
        theirs = {cookie.name: cookie.value or "" for cookie in elsewhere.cookies.jar}
        assert (await asked(right, theirs)).status_code == 200
        assert (await ada.api("POST", "/logout")).status_code == 200
        w.clock.pass_(seconds=2)
        assert (await asked(right, theirs)).status_code == 200
        w.clock.pass_(hours=1)
        assert (await asked(right, theirs)).status_code == 401


@proves("A worker's clock is behind")
async def test_a_sign_out_there_ends_what_another_worker_began() -> None:
    """SECURITY S-10: its tokens come from the future, by that worker's clock."""
    async with workers(-HOUR) as (w, (right, behind)), Browser(behind) as ada:
        await login_as(ada, ADA, kit=w.kit, create=True)
        tokens = ada.tokens()
        assert (await ada.api("POST", "/logout")).status_code == 200
        w.clock.pass_(hours=1, seconds=2)
        assert (await asked(right, tokens)).status_code == 401
        assert w.ear.names() == ["SignedOut"]


def cookies_of(answer: httpx2.Response) -> list[str]:
    return answer.headers.get_list("set-cookie")


def set_right(apps: list[AuthMiddleware]) -> None:
    for app in apps:
        clock = app._clock
        if isinstance(clock, OffClock):
            clock.off = 0
