"""Cookies that get another name: nobody is signed out, and the old pair goes (SECURITY C-11)."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_asgi.settings import SettingsError
from tests.middleware.knocking import App, ask, shake_hands, visitor
from tests.world import settings, world

OLD: dict[str, Any] = {"old_cookies": "was,wasToo"}


async def test_the_old_pair_is_exchanged_once_for_one_of_the_new_names() -> None:
    """C-10, C-11: in the request itself; the app sees the new names only."""
    app = App()
    async with world(**OLD) as here:
        guard = here.kit.wrap(app)
        tokens = await visitor(here)
        old = {"theme": "dark", "was": tokens["token"], "wasToo": tokens["refreshToken"]}
        answer = await ask(guard, "/members", old)
        assert answer.status == 200
        new = {name: value for name, value in answer.cookies.items() if value}
        assert set(new) == {"token", "refreshToken"}
        gone = [one for one in answer.all("set-cookie") if one.startswith(("was=;", "wasToo=;"))]
        assert [one.partition("; ")[2] for one in gone] == [
            "Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
        ] * 2
        (told,) = app.cookie_headers
        assert told.split(b"; ")[0] == b"theme=dark"
        assert b"was" not in told
        assert answer.header("cache-control") == "private, no-store"
        again = await ask(guard, "/members", new)
        assert (again.status, again.cookies) == (200, {})


async def test_an_old_access_token_alone_and_one_beside_the_new_pair_count_for_nothing() -> None:
    """C-06: the old names open nothing that the new ones do not."""
    async with world(**OLD) as here:
        guard = here.kit.wrap(App())
        ada, bob = await visitor(here, "ada"), await visitor(here, "bob")
        alone = await ask(guard, "/members", {"was": ada["token"]})
        planted = {**bob, "was": ada["token"], "wasToo": ada["refreshToken"]}
        both = await ask(guard, "/members", planted)
        broken = await ask(guard, "/members", {"token": "x", "wasToo": ada["refreshToken"]})
        assert (alone.status, both.status, broken.status) == (401, 200, 401)
        app = App()
        await ask(here.kit.wrap(app), "/members", planted)
        assert app.who.display_name == "bob"


async def test_signing_out_removes_the_old_pair_too() -> None:
    async with world(**OLD) as here:
        own = {"sec-fetch-site": "same-origin"}
        guard = here.kit.wrap(App())
        tokens = await visitor(here)
        answer = await ask(guard, "/api/users/logout", tokens, method="POST", headers=own)
    assert answer.cookies == dict.fromkeys(("token", "refreshToken", "was", "wasToo"), "")


async def test_a_socket_opens_with_the_old_pair_and_exchanges_nothing() -> None:
    async with world(**OLD) as here:
        tokens = await visitor(here)
        old = {"wasToo": tokens["refreshToken"]}
        origin = {"origin": "http://localhost:8000"}
        sent = await shake_hands(here.kit.wrap(App()), "/members", old, headers=origin)
    assert sent[0] == {"type": "websocket.accept"}


async def test_without_the_setting_an_old_name_is_anybodys() -> None:
    async with world() as here:
        tokens = await visitor(here)
        answer = await ask(here.kit.wrap(App()), "/members", {"wasToo": tokens["refreshToken"]})
    assert answer.status == 401


@pytest.mark.parametrize(
    "wrong", ["token,was", "was", "was,was", "a,b,c,d", "a b,c", "__Host-a,__Host-b,example.com"]
)
def test_names_that_cannot_be_meant_are_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="AUTHKIT_OLD_COOKIES"):
        settings(old_cookies=wrong)
