"""Someone copies a refresh token. Whoever comes second shows it."""

from __future__ import annotations

import pytest

from tests.world import world


async def test_the_thief_comes_first_and_both_are_out() -> None:
    """S-04."""
    async with world() as w, w.browser() as ada, w.browser(user_agent="curl/9") as thief:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        thief.take_tokens({"refreshToken": ada.tokens()["refreshToken"]})

        w.clock.pass_(hours=2)
        assert (await thief.get("/members")).json()["name"] == "ada"
        w.clock.pass_(minutes=1)
        assert (await thief.get("/members")).status_code == 200
        w.clock.pass_(hours=1)
        assert (await ada.navigate("/members")).status_code == 303
        assert ada.tokens() == {}
        assert (await thief.get("/members")).status_code == 401
        assert thief.tokens() == {}

        notice = (await w.mails())[-1]
        assert notice.to == "ada@example.test"
        assert notice.subject == "We ended a session of your AuthKit account"
        assert w.ear.names()[-1] == "SessionReused"
        assert w.ear.names().count("SessionReused") == 1
        assert (await ada.sign_in()).status_code == 200
        assert (await ada.get("/members")).status_code == 200


async def test_the_thief_comes_second_and_both_are_out() -> None:
    """S-04: also when the copy lay about for days."""
    async with world() as w, w.browser() as ada, w.browser(user_agent="curl/9") as thief:
        await w.person()
        assert (await ada.sign_in(remember=True)).status_code == 200
        thief.take_tokens(ada.tokens())
        for _ in range(3):
            w.clock.pass_(hours=20)
            assert (await ada.get("/members")).status_code == 200
        assert (await thief.get("/members")).status_code == 401
        assert (await ada.get("/members")).status_code == 401
        assert w.ear.names().count("SessionReused") == 1


async def test_a_patient_thief_is_shown_by_its_second_visit() -> None:
    """S-04: it exchanges the copy first, and uses nothing of it until the owner was back."""
    async with world() as w, w.browser() as ada, w.browser(user_agent="curl/9") as thief:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        thief.take_tokens({"refreshToken": ada.tokens()["refreshToken"]})
        w.clock.pass_(hours=2)
        assert (await thief.api("POST", "/token")).status_code == 200
        w.clock.pass_(hours=1)
        assert (await ada.get("/members")).status_code == 200
        w.clock.pass_(hours=2)
        assert (await ada.get("/members")).status_code == 200
        w.clock.pass_(minutes=1)
        assert (await thief.get("/members")).status_code == 401
        assert (await ada.get("/members")).status_code == 401
        assert w.ear.names().count("SessionReused") == 1


async def test_another_device_of_the_owner_goes_on() -> None:
    async with world() as w, w.browser() as ada, w.browser() as phone, w.browser() as thief:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        assert (await phone.sign_in()).status_code == 200
        thief.take_tokens(ada.tokens())
        for _ in range(2):
            w.clock.pass_(hours=2)
            assert (await ada.get("/members")).status_code == 200
        assert (await thief.get("/members")).status_code == 401
        assert (await phone.get("/members")).status_code == 200


@pytest.mark.parametrize("first", ["/user/login", "/members", "/open/page", "/api/users/session"])
async def test_no_way_to_use_a_token_hides_that_it_is_in_use(first: str) -> None:
    """Whatever the thief asks for first: the generation counts as seen, and the owner is told."""
    async with world() as w, w.browser() as ada, w.browser() as thief:
        await w.person()
        assert (await ada.sign_in()).status_code == 200
        thief.take_tokens(ada.tokens())
        w.clock.pass_(hours=2)
        assert (await thief.api("POST", "/token")).status_code == 200
        await thief.get(first)
        assert (await thief.get("/members")).status_code == 200
        w.clock.pass_(minutes=1)
        assert (await ada.get("/members")).status_code == 401
        assert w.ear.names()[-1] == "SessionReused"
