"""Who am I, and on which devices; and what a stranger may end."""

from __future__ import annotations

import pytest

from authkit_asgi.core.times import iso
from authkit_asgi.features.sessions import device_of
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import WatchedStore, code_of, seen, signed_in, user_of, works
from tests.world import Browser, world

SHOWN = {"id", "current", "device", "userAgent", "ip", "createdAt", "lastSeenAt", "expiresAt"}
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1"


async def ids(browser: Browser) -> dict[bool, str]:
    """The ids of this browser's session (True) and of another one of its user (False)."""
    sessions = (await browser.api("GET", "/sessions")).json()["data"]["sessions"]
    return {session["current"]: session["id"] for session in sessions}


async def test_who_am_i_and_for_how_long() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            data = (await browser.api("GET", "/session")).json()["data"]
            assert data["user"]["username"] == "ada"
            assert data["accessTokenExpiresAt"] == iso(town.clock() + 3600)
            assert data["sessionExpiresAt"] == iso(town.clock() + 7 * 86400)


async def test_a_person_sees_devices_and_no_tokens() -> None:
    """S-17, G-07."""
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        async with (
            signed_in(town) as mine,
            signed_in(town, user_agent=IPHONE) as phone,
            signed_in(town, "bob"),
        ):
            answer = await mine.api("GET", "/sessions")
            sessions = answer.json()["data"]["sessions"]
            assert [set(session) for session in sessions] == [SHOWN, SHOWN]
            devices = {session["device"]: session["current"] for session in sessions}
            assert devices == {"Firefox on Linux": True, "Safari on iOS": False}
            for token in (*mine.tokens().values(), *phone.tokens().values()):
                assert token not in answer.text


async def test_nobody_ends_the_session_of_somebody_else() -> None:
    """S-17: theirs, one that is over, one that never was: one answer."""
    async with world() as town:
        await town.person("ada")
        await town.person("eve")
        async with signed_in(town) as ada, signed_in(town, "eve") as eve, signed_in(town, "eve"):
            own = (await ids(eve))[False]
            assert (await eve.api("DELETE", f"/sessions/{own}")).status_code == 200
            named = ((await ids(ada))[True], own, "never-was", "%7B%22$gt%22:%22%22%7D", "x" * 5000)
            answers = [await eve.api("DELETE", f"/sessions/{one}") for one in named]
            assert code_of(answers[0]) == (404, "not_found")
            assert all(seen(answer) == seen(answers[0]) for answer in answers)
            assert await works(town, ada)


async def test_one_session_ends_and_the_others_go_on() -> None:
    """S-17."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as mine, signed_in(town) as lost:
            answer = await mine.api("DELETE", f"/sessions/{(await ids(mine))[False]}")
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            assert not await works(town, lost)
            assert (await lost.api("POST", "/token", {})).status_code == 401
            assert await works(town, mine)
            assert list(await ids(mine)) == [True]


async def test_whoever_ends_this_session_is_signed_out() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            assert (
                await browser.api("DELETE", f"/sessions/{(await ids(browser))[True]}")
            ).is_success
            assert not browser.tokens()


@pytest.mark.parametrize(
    ("query", "mine_goes_on"),
    [("", True), ("?all=true", False), ("?all=false", True), ("?all=true&all=true", True)],
)
async def test_all_others_end_or_all(query: str, mine_goes_on: bool) -> None:
    """S-17, S-11, N-15."""
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        async with (
            signed_in(town) as mine,
            signed_in(town) as other,
            signed_in(town) as third,
            signed_in(town, "bob") as bob,
        ):
            assert (await mine.api("DELETE", f"/sessions{query}")).status_code == 200
            for browser in (other, third):
                assert not await works(town, browser)
                assert (await browser.api("POST", "/token", {})).status_code == 401
            assert await works(town, mine) is mine_goes_on
            assert await works(town, bob)


async def test_a_session_that_others_outlived_is_not_found() -> None:
    """S-17: it ended with all others, though its row does not say so."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as mine, signed_in(town):
            other = (await ids(mine))[False]
            await mine.api("DELETE", "/sessions")
            assert code_of(await mine.api("DELETE", f"/sessions/{other}"))[0] == 404


async def test_ids_are_opaque_and_no_token() -> None:
    """S-17: an id in hand opens nothing."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as mine, town.browser() as stranger:
            session_id = (await ids(mine))[True]
            for name in ("token", "refreshToken"):
                stranger.take_tokens({name: session_id})
                assert (await stranger.api("POST", "/token", {})).status_code == 401


async def test_an_outage_ends_all_sessions_or_none() -> None:
    """S-11."""
    for calls in range(5):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.person("ada")
            async with signed_in(town) as mine, signed_in(town) as other:
                store.unplug_after(calls)
                answer = await mine.api("DELETE", "/sessions")
                store.plug_in()
                assert await works(town, other) == (answer.status_code != 200)
                assert await works(town, mine)


async def test_rows_that_are_over_are_not_shown() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town):
            pass
        town.clock.pass_(hours=24 * 8)
        async with signed_in(town) as browser:
            assert list(await ids(browser)) == [True]
        user = await user_of(town)
        assert await town.kit.store.count(SESSIONS, {"user_id": user.id}) == 2


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36", "Chrome on Windows"),
        (IPHONE, "Safari on iOS"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/150.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.9", "curl"),
        ("", "Unknown device"),
        ("<script>alert(1)</script>", "Unknown device"),
    ],
)
def test_a_device_is_named_as_people_call_it(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device
