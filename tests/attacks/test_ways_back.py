"""`next` and mailed links: no page of ours sends anybody to another site."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from authkit_asgi.core.paths import safe_next
from authkit_asgi.testing import token_in
from tests.world import PASSWORD, registration, world

HOSTILE = ("//evil.example", "/\\evil.example", "https://evil.example/", "/%2f/evil.example")
HTTPS: dict[str, Any] = {"base_url": "https://app.example.test", "bcrypt_rounds": 10}


@pytest.mark.parametrize("way", HOSTILE)
async def test_no_page_sends_anybody_away_whatever_next_says(way: str) -> None:
    """SECURITY R-07, R-01: every page, shown and submitted, signed in or not."""
    async with world() as town:
        await town.person("ada")
        assert isinstance(town.kit.pages, Starlette)
        pages = [one.path for one in town.kit.pages.routes if isinstance(one, Route)]
        assert {"/login", "/register", "/verify-token", "/reset-password/verify"} <= set(pages)
        forms = {"email": "ada@example.test", "password": PASSWORD, "token": "x", "next": way}
        for is_known in (False, True):
            for path in pages:
                async with town.browser() as browser:
                    if is_known:
                        await browser.sign_in()
                    target = f"/user{path}?next={quote(way, safe='')}"
                    shown = await browser.navigate(target)
                    sent = await browser.post(target, data=forms)
                    for answer in (shown, sent):
                        location = answer.headers.get("location", "/")
                        assert safe_next(location) == location, (path, location)
                        assert f'href="{way}' not in answer.text, path


async def test_a_good_way_back_is_gone() -> None:
    """Or the test above would pass with a kit that goes nowhere."""
    async with world() as town, town.browser() as browser:
        await town.person("ada")
        form = {"email": "ada@example.test", "password": PASSWORD, "next": "/members/7?page=2"}
        answer = await browser.post("/user/login", data=form)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/members/7?page=2"


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        pytest.param(HTTPS, "https://app.example.test/", id="R-05 https"),
        pytest.param({}, "http://localhost:8000/", id="R-05 this machine"),
    ],
)
async def test_links_in_mails_are_https_or_lead_to_this_machine(
    settings: dict[str, Any], begins: str
) -> None:
    """SECURITY R-05, R-04: every mail of an account's life, asked for at another host."""
    async with world(**settings) as town:
        origin = town.kit.settings.origin
        transport = httpx2.ASGITransport(app=town.app)
        lies = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http"}
        lies |= {"host": "evil.example", "forwarded": "host=evil.example;proto=http"}
        async with httpx2.AsyncClient(
            transport=transport, base_url=origin, headers={**lies, "sec-fetch-site": "same-origin"}
        ) as client:

            async def post(path: str, **body: str) -> None:
                answer = await client.post(f"/api/users{path}", json=body)
                assert answer.status_code in (200, 201), (path, answer.text)

            await post("/register", **registration("ada"))
            await post("/user-verify", token=await town.mailed_token())
            await post("/register", **registration("ada", username="other"))
            await post("/forgot-password/sent", email="ada@example.test")
            signed_in = await client.post(
                "/api/users/login", json={"email": "ada@example.test", "password": PASSWORD}
            )
            # The host of the requests is another one, so the jar would keep the cookies for that.
            cookies = [one.partition(";")[0] for one in signed_in.headers.get_list("set-cookie")]
            client.headers["cookie"] = "; ".join(cookies)
            await post("/change-email", newEmail="new@example.test", password=PASSWORD)
            mailed = {mail.to: mail for mail in await town.mails()}
            await post("/change-email/verify", token=token_in(mailed["new@example.test"]))
        mails = await town.mails()
        links = re.findall(r"https?://[^\s\"'<>)]+", "\n".join(m.text + m.html for m in mails))
        assert len(mails) >= 5
        assert len(links) >= 8
        assert {link for link in links if not f"{link}/".startswith(begins)} == set()
