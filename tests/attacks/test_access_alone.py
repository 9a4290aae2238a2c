"""A copied access token without the refresh token beside it."""

from __future__ import annotations

import pytest

from tests.world import world


@pytest.mark.parametrize(
    "change", [pytest.param({}, id="nothing"), pytest.param({"bio": "Mine"}, id="the bio")]
)
async def test_it_is_not_renewed_by_saving_a_profile(change: dict[str, str]) -> None:
    """SECURITY S-04: it opens nothing once its hour is over, whatever it was used for. Otherwise
    the thief would stay as long as the session, and never show anything that is caught."""
    async with world() as w:
        await w.person()
        async with w.browser() as owner, w.browser() as thief:
            await owner.sign_in()
            thief.take_tokens({"token": owner.tokens()["token"]})
            w.clock.pass_(minutes=55)
            saved = await thief.api("PATCH", "/profile", change)
            assert saved.status_code == 200
            assert "Max-Age=300;" in saved.headers["set-cookie"]
            w.clock.pass_(minutes=4)
            assert (await thief.get("/members")).status_code == 200
            w.clock.pass_(minutes=1)
            assert (await thief.get("/members")).status_code == 401
            assert (await owner.get("/members")).status_code == 200
