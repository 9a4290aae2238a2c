"""Signing clients in without a form: TestClient, httpx and httpx2, sync and async."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from starlette.testclient import TestClient

from authkit_asgi import AuthKit
from authkit_asgi.errors import EmailNotVerified
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Taken
from authkit_asgi.testing import (
    Clock,
    login_as,
    make_user,
    quick_kit,
    quick_settings,
    run_sync,
    storage_state,
)
from tests.testing.site import build

ADA = "ada@example.test"
LIBRARIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]


@pytest.fixture
def kit() -> Iterator[AuthKit]:
    made = quick_kit()
    yield made
    run_sync(made.close)


@asynccontextmanager
async def visiting(library: Any, kit: AuthKit, **options: Any) -> AsyncIterator[Any]:
    options.setdefault("base_url", kit.settings.base_url)
    transport = library.ASGITransport(app=build(kit))
    async with library.AsyncClient(transport=transport, **options) as client:
        yield client


def test_a_test_client_is_signed_in(kit: AuthKit) -> None:
    client = TestClient(build(kit))
    assert client.get("/members").status_code == 401
    user = login_as(client, ADA, kit=kit, create=True, is_admin=True)
    answer = client.get("/members")
    assert answer.json() == {"id": user.id, "scopes": ["authenticated", "verified", "admin"]}


def test_so_is_an_entered_one_on_a_database(tmp_path: Path) -> None:
    settings = quick_settings(database_url=f"sqlite:///{tmp_path}/authkit.db")
    kit = quick_kit(settings=settings)
    with TestClient(build(kit), base_url=settings.base_url) as client:
        login_as(client, ADA, kit=kit, create=True)
        assert client.get("/members").status_code == 200
        assert client.post("/api/users/logout", json={}).status_code == 200
        assert client.get("/members").status_code == 401


@pytest.mark.parametrize("library", LIBRARIES)
async def test_so_are_async_clients(kit: AuthKit, library: Any) -> None:
    async with visiting(library, kit) as client:
        user = await login_as(client, ADA, kit=kit, create=True)
        assert (await client.get("/members")).json()["id"] == user.id


@pytest.mark.parametrize("library", LIBRARIES)
def test_so_are_clients_without_any_app(kit: AuthKit, library: Any) -> None:
    """Of a server elsewhere, whose store the kit shares."""
    app = TestClient(build(kit))
    with library.Client(base_url=kit.settings.base_url) as client:
        login_as(client, ADA, kit=kit, create=True)
        request = client.build_request("GET", "/members")
        answer = app.get("/members", headers={"cookie": request.headers["cookie"]})
    assert answer.status_code == 200


async def test_the_cookies_of_https_go_over_https_only(kit: AuthKit) -> None:
    secure = quick_kit(
        settings=quick_settings(base_url="https://app.example.com", bcrypt_rounds=10)
    )
    async with visiting(httpx2, secure) as client:
        await login_as(client, ADA, kit=secure, create=True)
        assert (await client.get("/members")).status_code == 200
        assert {cookie.name for cookie in client.cookies.jar} == {
            "__Host-token",
            "__Host-refreshToken",
        }
    async with visiting(httpx2, secure, base_url="http://app.example.com") as client:
        with pytest.raises(ValueError, match="base URL"):
            await login_as(client, ADA, kit=secure)
    await secure.close()


def test_a_browser_of_https_gets_cookies_that_no_other_host_can_set() -> None:
    """SECURITY C-01: as Playwright takes them, and as the server would have set them."""
    secure = quick_kit(
        settings=quick_settings(base_url="https://app.example.com", bcrypt_rounds=10)
    )
    state = storage_state(secure, ADA, create=True)
    assert [cookie["name"] for cookie in state["cookies"]] == [
        "__Host-token",
        "__Host-refreshToken",
    ]
    for cookie in state["cookies"]:
        assert (cookie["domain"], cookie["path"]) == ("app.example.com", "/")
        assert cookie["secure"]
        assert cookie["httpOnly"]
        assert cookie["expires"] > time.time()
    run_sync(secure.close)


async def test_nothing_is_hashed_and_nobody_is_asked(kit: AuthKit) -> None:
    user = await make_user(kit, ADA)
    assert user.password_hash is None
    assert user.is_verified
    async with visiting(httpx2, kit) as client:
        await login_as(client, user, kit=kit)
        await login_as(client, ADA, kit=kit, methods=("pwd", "otp", "mfa"))
        assert (await client.get("/members")).status_code == 200
    sessions = await kit.store.find(SESSIONS, {"user_id": user.id})
    assert {session.methods for session in sessions} == {("pwd",), ("pwd", "otp", "mfa")}


async def test_a_password_signs_in_by_the_form(kit: AuthKit) -> None:
    await make_user(kit, ADA, password="correct horse battery")
    async with visiting(httpx2, kit) as client:
        body = {"email": ADA, "password": "correct horse battery"}
        assert (await client.post("/api/users/login", json=body)).status_code == 200


async def test_a_session_made_here_is_exchanged_like_any_other() -> None:
    clock = Clock()
    kit = quick_kit(clock=clock)
    async with visiting(httpx2, kit) as client:
        await login_as(client, ADA, kit=kit, create=True, remember=True)
        before = dict(client.cookies)
        clock.pass_(days=29)
        assert (await client.get("/members")).status_code == 200
        assert dict(client.cookies).keys() == before.keys()
        assert dict(client.cookies) != before
        clock.pass_(days=31)
        assert (await client.get("/members")).status_code == 401
    await kit.close()


async def test_who_signs_in_next_takes_the_place(kit: AuthKit) -> None:
    async with visiting(httpx2, kit) as client:
        await login_as(client, ADA, kit=kit, create=True)
        bob = await login_as(client, "bob@example.test", kit=kit, create=True)
        assert len(list(client.cookies.jar)) == 2
        assert (await client.get("/members")).json()["id"] == bob.id


async def test_whom_it_refuses(kit: AuthKit) -> None:
    await make_user(kit, ADA, is_verified=False)
    async with visiting(httpx2, kit) as client:
        with pytest.raises(EmailNotVerified):
            await login_as(client, ADA, kit=kit)
        with pytest.raises(LookupError, match=r"nobody@example\.test"):
            await login_as(client, "nobody@example.test", kit=kit)
        with pytest.raises(TypeError, match="is_admin"):
            await login_as(client, ADA, kit=kit, is_admin=True)
        with pytest.raises(Taken):
            await login_as(client, "new@example.test", kit=kit, create=True, username="ada")
        assert not client.cookies
