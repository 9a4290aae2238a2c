"""A thief's two lines: what they take, what they leave, and that the library catches it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from starlette.testclient import TestClient

from authkit_asgi import AuthKit
from authkit_asgi.testing import (
    Clock,
    login_as,
    quick_kit,
    replay,
    run_sync,
    steal_refresh,
)
from tests.testing.site import build

ADA = "ada@example.test"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kit(clock: Clock) -> Iterator[AuthKit]:
    made = quick_kit(clock=clock)
    yield made
    run_sync(made.close)


@pytest.fixture
def ada(kit: AuthKit) -> TestClient:
    client = TestClient(build(kit))
    login_as(client, ADA, kit=kit, create=True)
    return client


def test_a_copy_used_after_its_owner_went_on_closes_the_session(
    ada: TestClient, clock: Clock
) -> None:
    """SECURITY S-04."""
    stolen = steal_refresh(ada)
    for _ in range(2):
        clock.pass_(hours=2)
        assert ada.get("/members").status_code == 200
    assert replay(ada, stolen).status_code == 401
    assert ada.get("/members").status_code == 401


def test_an_owner_behind_a_thief_finds_out(kit: AuthKit, ada: TestClient, clock: Clock) -> None:
    """SECURITY S-04."""
    stolen, thief = steal_refresh(ada), TestClient(build(kit))
    assert replay(thief, stolen, keep=True).status_code == 200
    clock.pass_(hours=2)
    assert thief.get("/members").status_code == 200
    clock.pass_(hours=2)
    assert ada.get("/members").status_code == 401
    assert thief.get("/members").status_code == 401


def test_a_replay_leaves_the_client_as_it_was(ada: TestClient) -> None:
    before = {cookie.name: cookie.value for cookie in ada.cookies.jar}
    answer = replay(ada, steal_refresh(ada), path="/members", method="GET")
    assert answer.status_code == 200
    assert {cookie.name for cookie in answer.cookies.jar} == {"token", "refreshToken"}
    assert {cookie.name: cookie.value for cookie in ada.cookies.jar} == before


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_async_clients_steal_and_replay(kit: AuthKit, library: Any) -> None:
    transport = library.ASGITransport(app=build(kit))
    async with library.AsyncClient(transport=transport, base_url="http://localhost:8000") as ada:
        await login_as(ada, ADA, kit=kit, create=True)
        before = dict(ada.cookies)
        assert (await replay(ada, steal_refresh(ada))).status_code == 200
        assert dict(ada.cookies) == before


def test_nothing_to_steal(kit: AuthKit) -> None:
    with pytest.raises(LookupError, match="0 cookies"):
        steal_refresh(TestClient(build(kit)))


def test_a_stolen_token_does_not_print(ada: TestClient) -> None:
    stolen = steal_refresh(ada)
    assert stolen.value.startswith("ey")
    assert stolen.value not in repr(stolen)
