"""Answers that arrive in another order than their requests were sent."""

from __future__ import annotations

import pytest

from tests.world import world


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/members", id="a page"),
        pytest.param("POST", "/api/users/token", id="the explicit refresh"),
    ],
)
async def test_a_request_from_before_a_sign_in_does_not_sign_out(method: str, path: str) -> None:
    """Its session was replaced by the sign-in, whose cookies the browser holds by now."""
    async with world() as w:
        await w.person()
        async with w.browser() as browser, w.browser() as other_tab:
            await browser.sign_in()
            other_tab.take_tokens(browser.tokens())
            w.clock.pass_(hours=2)
            await browser.sign_in()
            late = await other_tab.request(method, path)
            assert late.status_code == 401
            assert "set-cookie" not in late.headers
            assert (await browser.get("/members")).status_code == 200
