"""Several devices, long pauses, and bad lines."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_asgi.store.memory import MemoryStore
from tests.world import PASSWORD, settings, world


async def test_of_two_devices_one_ends_the_other() -> None:
    """S-17."""
    async with world() as w, w.browser() as laptop, w.browser() as phone, w.browser() as tablet:
        await w.person()
        for browser in (laptop, phone, tablet):
            assert (await browser.sign_in()).status_code == 200
            w.clock.pass_(seconds=1)
        sessions = (await laptop.api("GET", "/sessions")).json()["data"]["sessions"]
        assert [one["current"] for one in sessions] == [False, False, True]
        tablets, phones, laptops = (one["id"] for one in sessions)

        assert (await laptop.api("DELETE", f"/sessions/{phones}")).status_code == 200
        assert (await phone.get("/members")).status_code == 401
        assert (await tablet.get("/members")).status_code == 200
        assert (await laptop.api("DELETE", f"/sessions/{phones}")).status_code == 404

        assert (await laptop.api("DELETE", "/sessions")).status_code == 200
        assert (await tablet.get("/members")).status_code == 401
        w.clock.pass_(hours=3)
        assert (await laptop.get("/members")).status_code == 200
        left = (await laptop.api("GET", "/sessions")).json()["data"]["sessions"]
        assert [one["id"] for one in left] == [laptops]
        assert tablets != laptops


async def test_signing_out_everywhere_is_everywhere() -> None:
    async with world() as w, w.browser() as laptop, w.browser() as phone:
        await w.person()
        assert (await laptop.sign_in()).status_code == 200
        assert (await phone.sign_in(remember=True)).status_code == 200
        assert (await laptop.api("DELETE", "/sessions?all=true")).status_code == 200
        assert laptop.tokens() == {}
        assert (await phone.get("/members")).status_code == 401
        w.clock.pass_(hours=3)
        assert (await phone.get("/members")).status_code == 401
        assert (await phone.sign_in()).status_code == 200


@pytest.mark.parametrize(
    ("remember", "days", "still_in"),
    [
        pytest.param(False, 6, True, id="a week has seven days"),
        pytest.param(False, 8, False, id="over a week"),
        pytest.param(True, 8, True, id="remembered for over a week"),
        pytest.param(True, 29, True, id="remembered for a month"),
        pytest.param(True, 31, False, id="remembered, and over"),
    ],
)
async def test_how_long_a_pause_may_be(remember: bool, days: int, still_in: bool) -> None:
    """S-09."""
    async with world() as w, w.browser() as ada:
        await w.person()
        assert (await ada.sign_in(remember=remember)).status_code == 200
        w.clock.pass_(hours=24 * days)
        assert (await ada.get("/members")).status_code == (200 if still_in else 401)
        assert bool(ada.tokens()) is still_in


async def test_after_ninety_days_everybody_signs_in_again() -> None:
    """S-09: however busy the session was."""
    async with world() as w, w.browser() as ada:
        await w.person()
        assert (await ada.sign_in(remember=True)).status_code == 200
        for _ in range(18):
            assert (await ada.get("/members")).status_code == 200
            w.clock.pass_(hours=5 * 24)
        assert (await ada.get("/members")).status_code == 401


@pytest.mark.parametrize("way", ["a page", "the token route"])
async def test_on_a_train_answers_get_lost(way: str) -> None:
    """S-08: the response never arrives. Two hours later the old token is the only one there is,
    and still good, because nothing newer was seen in use."""
    async with world() as w, w.browser() as ada:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        held = ada.tokens()
        for _ in range(3):
            w.clock.pass_(hours=2)
            lost = await (ada.get("/members") if way == "a page" else ada.api("POST", "/token"))
            assert lost.status_code == 200
            ada.take_tokens(held)  # none of its cookies arrived
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).status_code == 200
        assert (await ada.get("/members")).status_code == 200
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).status_code == 200
        assert "SessionReused" not in w.ear.names()


async def test_in_a_tunnel_a_new_password_gets_lost() -> None:
    """The tokens had just run out, so one answer carried both the exchange and the renewal."""
    async with world() as w, w.browser() as ada:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        held = ada.tokens()
        w.clock.pass_(hours=2)
        body = {"currentPassword": PASSWORD, "newPassword": "a different phrase"}
        assert (await ada.api("POST", "/change-password", body)).status_code == 200
        ada.take_tokens(held)
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).status_code == 200
        assert "SessionReused" not in w.ear.names()


async def test_new_names_do_not_cost_a_browser_its_session() -> None:
    """An exchange got lost while the access token was still good; then the profile is edited."""
    async with world() as w, w.browser() as ada:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        held = ada.tokens()
        assert (await ada.api("POST", "/token")).status_code == 200
        ada.take_tokens(held)
        w.clock.pass_(minutes=5)
        assert (await ada.api("PATCH", "/profile", {"username": "countess"})).status_code == 200
        assert (await ada.get("/members")).json()["name"] == "countess"
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).json()["name"] == "countess"


async def test_an_ended_session_does_not_come_back_by_a_new_password() -> None:
    """S-11: another worker takes its access token for a moment more, and its holder knows the
    password; yet a session that is over must not spare itself, or a second factor is led around."""
    store, own = MemoryStore(), settings()
    secrets: dict[str, Any] = {
        "token_secret": own.token_secret,
        "refresh_token_secret": own.refresh_token_secret,
    }
    async with (
        world(store=store, **secrets) as here,
        world(store=store, **secrets) as there,
        here.browser() as ada,
        there.browser() as other,
    ):
        await here.person()
        assert (await ada.sign_in()).status_code == 200
        assert (await other.sign_in()).status_code == 200
        assert (await other.get("/members")).status_code == 200
        assert (await ada.api("DELETE", "/sessions?all=true")).status_code == 200
        body = {"currentPassword": PASSWORD, "newPassword": "a different phrase"}
        assert (await other.api("POST", "/change-password", body)).status_code == 401
        there.clock.pass_(hours=3)
        assert (await other.get("/members")).status_code == 401
        assert (await other.sign_in(password=PASSWORD)).status_code == 200
