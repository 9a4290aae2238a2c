"""The client and the kit, together: what the one sends is what the other wants."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from authkit_asgi.client import AsyncAuthKitClient, AsyncRefreshing, AuthKitClientError
from tests.world import BASE_URL, PASSWORD, World, world

API = f"{BASE_URL}/api/users"


def client_of(w: World) -> tuple[httpx2.AsyncClient, AsyncAuthKitClient]:
    transport = AsyncRefreshing(httpx2.ASGITransport(app=w.app), API)
    client = httpx2.AsyncClient(transport=transport, base_url=BASE_URL)
    return client, AsyncAuthKitClient(client, API)


async def test_a_script_signs_in_stays_signed_in_and_signs_out() -> None:
    async with world() as w:
        await w.person()
        client, authkit = client_of(w)
        async with client:
            user = await authkit.login("ada@example.test", PASSWORD, remember_me=True)
            assert user["username"] == "ada"
            assert (await authkit.session())["user"]["email"] == "ada@example.test"
            w.clock.pass_(hours=2)
            assert (await client.get("/members")).json()["name"] == "ada"
            w.clock.pass_(hours=2)
            await authkit.refresh()
            changed = await client.patch("/api/users/profile", json={"username": "countess"})
            assert changed.status_code == 200
            assert (await client.get("/members")).json()["name"] == "countess"
            await authkit.logout()
            assert (await client.get("/members")).status_code == 401


async def test_a_wrong_password_is_told_with_its_code() -> None:
    async with world() as w:
        await w.person()
        client, authkit = client_of(w)
        async with client:
            with pytest.raises(AuthKitClientError) as refused:
                await authkit.login("ada@example.test", "not the password")
            assert (refused.value.status, refused.value.code) == (401, "bad_credentials")


async def test_many_requests_with_one_expired_token_are_one_rotation() -> None:
    """SECURITY S-22."""
    async with world() as w:
        await w.person()
        client, authkit = client_of(w)
        async with client:
            await authkit.login("ada@example.test", PASSWORD)
            w.clock.pass_(hours=2)
            answers: list[int] = []

            async def ask() -> None:
                answers.append((await client.get("/members")).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(ask)
            assert answers == [200] * 30
            assert w.ear.names().count("SessionRefreshed") == 1


async def test_an_account_that_is_gone_signs_the_client_out() -> None:
    async with world() as w:
        await w.person()
        client, authkit = client_of(w)
        async with client:
            await authkit.login("ada@example.test", PASSWORD)
            body = {"password": PASSWORD}
            assert (await client.post(f"{API}/delete-account", json=body)).status_code == 200
            with pytest.raises(AuthKitClientError) as refused:
                await authkit.session()
            assert refused.value.status == 401
