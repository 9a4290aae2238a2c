"""What people write is data: to the database, to the pages, to the mails."""

from __future__ import annotations

from pathlib import Path

import pytest

from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.world import PASSWORD, world

SQL = "x'); DROP TABLE users; --"
TEMPLATE = "{{ 7 * 7 }}{% set x = 1 %}"


def store_of(kind: str, folder: Path) -> Store:
    return MemoryStore() if kind == "memory" else SqliteStore(folder / "rows.db")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_sql_in_a_field_is_text(kind: str, tmp_path: Path) -> None:
    """SECURITY N-03."""
    async with world(store=store_of(kind, tmp_path)) as w:
        await w.person("ada")
        async with w.browser() as browser:
            assert (await browser.sign_in()).status_code == 200
            assert (await browser.api("PATCH", "/profile", {"bio": SQL})).status_code == 200
            assert (await browser.api("GET", "/profile")).json()["data"]["user"]["bio"] == SQL
            assert (await browser.api("DELETE", "/sessions/' OR '1'='1")).status_code == 404
        async with w.browser() as stranger:
            assert (await stranger.sign_in("' OR 1=1 --")).status_code == 401
            assert (await stranger.sign_in("ada@example.test", "' OR '1'='1")).status_code == 401
            assert (await stranger.sign_in("ada@example.test", PASSWORD)).status_code == 200


async def test_a_template_in_a_field_is_text() -> None:
    """SECURITY N-13: neither pages nor mails are made of what people write."""
    async with world() as w:
        await w.person("ada", firstname=TEMPLATE)
        assert TEMPLATE in (await w.mails())[-1].text
        async with w.browser() as browser:
            await browser.sign_in()
            assert (await browser.api("PATCH", "/profile", {"bio": TEMPLATE})).status_code == 200
            page = (await browser.navigate("/user/dashboard/settings")).text
            assert TEMPLATE in page
            assert "49" not in page
