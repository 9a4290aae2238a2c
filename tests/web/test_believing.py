"""A start says when the server lets strangers choose their address."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from authkit_asgi import AuthKit
from authkit_asgi.store.memory import MemoryStore
from tests.servers.launching import launched
from tests.world import settings

PUBLIC = "https://app.example.test"


async def started(app: Any) -> None:
    messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None: ...

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)


@pytest.mark.parametrize(
    ("believed", "base_url", "warned"),
    [
        pytest.param("*", PUBLIC, True, id="anybody"),
        pytest.param(["*"], PUBLIC, True, id="anybody, as a list"),
        pytest.param("0.0.0.0/0", PUBLIC, True, id="a network of everybody"),
        pytest.param("127.0.0.1", PUBLIC, False, id="uvicorn's default, of which `check` warns"),
        pytest.param("10.0.0.5", PUBLIC, False, id="a proxy"),
        pytest.param(None, PUBLIC, False, id="--no-proxy-headers"),
        pytest.param("*", "http://localhost:8000", False, id="on the own machine"),
    ],
)
async def test_uvicorn_that_believes_anybody_is_warned_of(
    believed: Any, base_url: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """SECURITY I-08."""
    chosen = settings(base_url=base_url, bcrypt_rounds=10)
    app: Any = AuthKit(chosen, store=MemoryStore()).wrap(Starlette())
    if believed is not None:
        app = ProxyHeadersMiddleware(app, trusted_hosts=believed)
    with caplog.at_level(logging.WARNING, "authkit_asgi"):
        await started(app)
    assert ("believes X-Forwarded-For of anybody" in caplog.text) is warned


@pytest.mark.servers
@pytest.mark.parametrize("believed", ["*", "127.0.0.1"])
def test_a_real_uvicorn_says_so_when_it_starts(believed: str, tmp_path: Path) -> None:
    """SECURITY I-08."""
    chosen = {"AUTHKIT_BASE_URL": PUBLIC, "AUTHKIT_BCRYPT_ROUNDS": "10"}
    app = "sample_app.frameworks.starlette:app"
    database = f"sqlite:///{tmp_path}/rows.db"
    with launched(
        "uvicorn-h11", app, database_url=database, FORWARDED_ALLOW_IPS=believed, **chosen
    ) as running:
        assert ("believes X-Forwarded-For of anybody" in running.said()) is (believed == "*")
