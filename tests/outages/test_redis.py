"""Redis is down, or silent: the poll goes on, and nobody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import anyio
import pytest

from authkit_asgi import AuthKit
from authkit_asgi.testing import login_as
from tests.broadcast.valkey import Valkey, running
from tests.outages.people import ADA, asked, workers
from tests.outages.table import proves
from tests.world import Browser

PATIENCE = 20.0  # seconds


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with running() as server:
        yield server


async def connected(kit: AuthKit) -> None:
    assert kit.broadcast is not None
    with anyio.fail_after(PATIENCE):
        while not kit.broadcast.is_connected:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.02)


@proves("Redis is down")
@pytest.mark.parametrize("how", ["killed", "frozen", "never there"])
async def test_sign_outs_count_within_the_poll_interval(
    valkey: Valkey, how: Literal["killed", "frozen", "never there"]
) -> None:
    """SECURITY S-10, Q-06."""
    if how == "never there":
        valkey.kill()
    async with workers(0, redis_url=valkey.url) as (w, (here, there)), Browser(here) as ada:
        await w.kit.start()
        if how != "never there":
            await connected(w.kit)
        if how == "killed":
            valkey.kill()
        elif how == "frozen":
            valkey.freeze()
        began = time.monotonic()
        await login_as(ada, ADA, kit=w.kit, create=True)
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).status_code == 200  # exchanged
        assert (await asked(there, ada.tokens())).status_code == 200
        tokens = ada.tokens()
        assert (await ada.api("POST", "/logout")).status_code == 200
        w.clock.pass_(seconds=1)
        assert (await asked(there, tokens)).status_code == 401
        assert time.monotonic() - began < PATIENCE / 2
        assert set(w.ear.names()) == {"SessionRefreshed", "SignedOut"}
        if how == "frozen":
            valkey.thaw()
