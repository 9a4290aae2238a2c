"""A changed role counts at once and signs nobody out (SECURITY S-12)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.world import Browser, World, world


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world(bearer=True) as here:
        await here.person()
        yield here


@pytest.fixture
async def ada(here: World) -> AsyncIterator[Browser]:
    async with here.browser() as browser:
        assert (await browser.sign_in()).status_code == 200
        yield browser


async def change_role(here: World, *, is_admin: bool) -> None:
    services = here.kit.services
    user = await services.accounts.by_email("ada@example.test")
    assert user is not None
    changed = await services.accounts.set_admin(user.id, is_admin, now=here.clock())
    assert changed is not None
    services.sessions.revocations.note_user(changed, now=here.clock())


async def test_the_next_request_has_the_new_role(here: World, ada: Browser) -> None:
    """By an exchange on its way, and by one alone."""
    for is_admin in (True, False, True):
        await change_role(here, is_admin=is_admin)
        answer = await ada.get("/members")
        assert answer.status_code == 200
        assert ("admin" in answer.json()["scopes"]) is is_admin
        assert len(answer.headers.get_list("set-cookie")) == 2
        for _ in range(3):
            again = await ada.get("/members")
            assert again.json()["scopes"] == answer.json()["scopes"]
            assert "set-cookie" not in again.headers
    assert here.ear.names().count("SessionRefreshed") == 3
    assert "SessionReused" not in here.ear.names()


async def test_many_requests_at_once_make_one_exchange(here: World, ada: Browser) -> None:
    before = ada.tokens()
    await change_role(here, is_admin=True)
    statuses = []

    async def ask() -> None:
        async with here.browser() as tab:
            tab.take_tokens(before)
            answer = await tab.get("/members")
            statuses.append((answer.status_code, "admin" in answer.json()["scopes"]))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert statuses == [(200, True)] * 20
    assert here.ear.names().count("SessionRefreshed") == 1


async def test_a_client_with_a_bearer_token_is_told_to_refresh(here: World, ada: Browser) -> None:
    access = {"authorization": f"Bearer {ada.tokens()['token']}"}
    async with here.browser() as client:
        assert (await client.get("/members", headers=access)).status_code == 200
        await change_role(here, is_admin=True)
        refused = await client.get("/members", headers=access)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    assert (await ada.api("POST", "/token", {})).status_code == 200
    fresh = {"authorization": f"Bearer {ada.tokens()['token']}"}
    async with here.browser() as client:
        assert "admin" in (await client.get("/members", headers=fresh)).json()["scopes"]


async def test_an_access_token_alone_opens_nothing_any_more(here: World, ada: Browser) -> None:
    """A demoted admin who keeps nothing but the old access token."""
    await change_role(here, is_admin=True)
    await ada.get("/members")
    kept = {"token": ada.tokens()["token"]}
    await change_role(here, is_admin=False)
    async with here.browser() as other:
        other.take_tokens(kept)
        assert (await other.get("/members")).status_code == 401


async def test_only_whose_role_changed_carries_a_claim_of_it(here: World, ada: Browser) -> None:
    assert "roleEpoch" not in claims_in(ada)
    await change_role(here, is_admin=True)
    await ada.get("/members")
    assert claims_in(ada)["roleEpoch"] == 1


def claims_in(browser: Browser) -> dict[str, Any]:
    payload = browser.tokens()["token"].split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "==="))
    return claims


async def test_a_disabled_account_is_out_and_cannot_come_back(here: World, ada: Browser) -> None:
    """SECURITY S-12, S-15."""
    services = here.kit.services
    user = await services.accounts.by_email("ada@example.test")
    assert user is not None
    disabled = await services.accounts.disable(user.id, now=here.clock())
    assert disabled is not None
    services.sessions.revocations.note_user(disabled, now=here.clock())
    assert (await ada.get("/members")).status_code == 401
    assert (await ada.sign_in()).json()["code"] == "bad_credentials"
    assert await services.accounts.enable(user.id) is not None
    assert (await ada.sign_in()).status_code == 200
    assert (await ada.get("/members")).status_code == 200
