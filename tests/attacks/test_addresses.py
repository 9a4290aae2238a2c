"""Odd addresses: below an app's root, with a slash too many, with a query that is no text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.world import PASSWORD, World, world

OWN = (b"sec-fetch-site", b"same-origin")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
SIGN_IN = urlencode({"email": "ada@example.test", "password": PASSWORD}).encode()


async def ask(
    w: World,
    method: str,
    path: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    **more: Any,
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the answer to a raw ASGI request."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 8000),
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        **more,
    }
    await w.app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("path", ["/user/assets", "/user/login/", "/user/dashboard/"])
async def test_no_page_sends_on_to_the_host_that_a_request_names(path: str) -> None:
    """SECURITY R-03: nor does a query that is not UTF-8 make it fail."""
    async with world() as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()
            cookie = "; ".join(f"{name}={value}" for name, value in browser.tokens().items())
        headers = [(b"host", b"evil.example"), (b"cookie", cookie.encode())]
        status, answered = await ask(w, "GET", path, headers=headers, query_string=b"\xff")
        assert status == 404
        assert b"location" not in answered


@pytest.mark.parametrize(
    ("root", "path", "home"),
    [
        pytest.param("/app", "/app/user/login", b"/app/user/dashboard", id="root in the path"),
        pytest.param("/app", "/user/login", b"/app/user/dashboard", id="root cut off"),
        pytest.param("/", "/user/login", b"/user/dashboard", id="nothing but a slash"),
        pytest.param("", "/user/login", b"/user/dashboard", id="no root"),
    ],
)
async def test_a_sign_in_leads_home_below_the_root_of_the_app(
    root: str, path: str, home: bytes
) -> None:
    async with world() as w:
        await w.person()
        _, answered = await ask(w, "POST", path, headers=[OWN, FORM], body=SIGN_IN, root_path=root)
        assert answered[b"location"] == home


async def test_a_root_that_is_a_slash_makes_no_page_of_ours_a_host() -> None:
    """SECURITY R-03: `//user/login` is a host named `user`."""
    async with world() as w:
        _, answered = await ask(w, "POST", "/user/logout", headers=[OWN], root_path="/")
        assert answered[b"location"] == b"/user/login?notice=signed-out"
