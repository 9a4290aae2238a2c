"""A session that was made beside the server, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from authkit_asgi import AuthKit
from authkit_asgi.testing import run_sync, storage_state
from tests.browser.people import Person
from tests.servers.serving import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def kit(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthKit]:
    """With the settings and the database of the server, in this process."""
    for name, value in server.environment.items():
        if name.startswith("AUTHKIT_"):
            monkeypatch.setenv(name, value)
    made = AuthKit()
    yield made
    run_sync(made.close)


def test_a_browser_starts_signed_in_and_stays_so(
    kit: AuthKit, server: Server, chromium: Browser
) -> None:
    state = storage_state(kit, "stella@example.test", server.url, create=True)
    with chromium.new_context(storage_state=state) as context:  # type: ignore[arg-type]
        person = Person(server, context, context.new_page())
        person.visit("/members")
        expect(person.page.locator("body")).to_contain_text("stella")
        kept = {cookie["name"]: cookie for cookie in context.cookies()}
        assert kept["refreshToken"]["httpOnly"]
        assert kept["refreshToken"]["sameSite"] == "Lax"
        first = kept["refreshToken"]["value"]
        person.waits_until_the_access_token_is_gone()
        person.visit("/members")
        expect(person.page.locator("body")).to_contain_text("stella")
        assert person.cookie("refreshToken") not in (None, first)


def test_the_state_holds_both_cookies_for_as_long_as_they_live(
    kit: AuthKit, server: Server
) -> None:
    state = storage_state(kit, "tess@example.test", server.url, create=True, remember=True)
    lives = {cookie["name"]: cookie["expires"] for cookie in state["cookies"]}
    assert lives["refreshToken"] - lives["token"] == pytest.approx(30 * 86400, abs=60)
    assert {cookie["domain"] for cookie in state["cookies"]} == {"localhost"}
