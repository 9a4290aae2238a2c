"""How the kit is put together: opened once, mounted anywhere, never late with what it writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from authkit_asgi.store import Table
from authkit_asgi.store.memory import MemoryStore
from tests.world import PASSWORD, Browser, world


class SlowToOpen(MemoryStore):
    opened = 0

    async def open(self, tables: Iterable[Table[Any]]) -> None:
        self.opened += 1
        await anyio.sleep(0.01)
        await super().open(tables)


async def test_many_first_requests_open_the_store_once() -> None:
    store = SlowToOpen()
    async with world(store=store) as w, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(w.kit.start)
    assert store.opened == 1


@pytest.mark.parametrize("path", ["/rp/api/users/openapi.json", "/api/users/openapi.json"])
async def test_api_and_pages_are_found_below_a_root_path(path: str) -> None:
    """SECURITY P-10: some servers leave the root in the path, some cut it off."""
    async with world() as w:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "/rp",
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "http_version": "1.1",
        }
        await w.app(scope, receive, send)
        assert sent[0]["status"] == 200


async def test_the_end_of_sessions_is_dated_when_it_is_written() -> None:
    """SECURITY S-11: by that time the other workers find it, and hashing may take long."""
    async with world() as w:
        await w.person()
        hash_ = w.kit.services.hashing.hash

        async def slowly(password: str) -> str:
            w.clock.pass_(seconds=60)
            return await hash_(password)

        w.kit.services.hashing.hash = slowly  # type: ignore[method-assign]
        async with w.browser() as browser:
            await browser.sign_in()
            before = w.clock()
            body = {"currentPassword": PASSWORD, "newPassword": "another good phrase"}
            assert (await browser.api("POST", "/change-password", body)).status_code == 200
        user = await w.kit.services.accounts.by_email("ada@example.test")
        assert user is not None
        assert user.epoch_at == before + 60


async def test_a_replay_by_prefetch_closes_the_session() -> None:
    """SECURITY S-04: showing a copy without exchanging it gives it away as well."""
    async with world() as w:
        await w.person()
        async with w.browser() as ada:
            await ada.sign_in()
            stolen = {"refreshToken": ada.tokens()["refreshToken"]}
            for _ in range(2):
                w.clock.pass_(hours=2)
                assert (await ada.get("/members")).status_code == 200
                w.clock.pass_(minutes=2)
                assert (await ada.get("/members")).status_code == 200
            async with w.browser() as thief:
                await _prefetch(thief, stolen)
            assert "SessionReused" in w.ear.names()
            w.clock.pass_(seconds=2)
            assert (await ada.get("/members")).status_code == 401


async def _prefetch(browser: Browser, tokens: dict[str, str]) -> None:
    browser.take_tokens(tokens)
    answer = await browser.get("/members", headers={"sec-purpose": "prefetch"})
    assert answer.status_code == 401
