"""How often a refresh asks the database, counted where the question leaves."""

from __future__ import annotations

import pytest

from authkit_asgi.core.rotation import Verdict
from tests.house import House
from tests.store.heard import counted
from tests.store.places import STORES, Place, on
from tests.world import START

MOST = 3  # the session, its user, and the write


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@on(*STORES)
@pytest.mark.promise("rotation")
async def test_a_refresh_costs_at_most_three_round_trips(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counted(place, monkeypatch) as (store, asked):
        house = await House(store).open()
        # The first of each sort prepares its statements, where there are such.
        for name in ("ada", "bob"):
            _, first = await house.opened(await house.user(name))
            costs: dict[Verdict, int] = {}
            second = first
            for token, now in ((first, 100), (first, 101), (second, 200), (first, 300)):
                before = asked()
                refreshed = await house.refresh(token, now=START + now)
                costs[refreshed.verdict] = asked() - before
                if now == 101:
                    assert refreshed.pair is not None
                    second = refreshed.pair
                if now == 200:
                    assert refreshed.pair is not None
                    await house.moved_on(refreshed.pair, now=START + 201)
        assert set(costs) == {Verdict.ROTATE, Verdict.JOIN, Verdict.REUSED}
        assert costs[Verdict.ROTATE] == MOST
        assert max(costs.values()) <= MOST
