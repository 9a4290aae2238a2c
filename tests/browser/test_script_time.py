"""authkit.js ahead of time: tokens live for seconds here, and the clock alone ends them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.people import make_user
from tests.browser.tabs import TOKEN, Tabs, begin, heard, until
from tests.servers.serving import Server, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    short = {"AUTHKIT_ACCESS_TOKEN_LIFETIME": "4", "AUTHKIT_REFRESH_TOKEN_LIFETIME": "6"}
    database = tmp_path_factory.mktemp("script") / "authkit.db"
    with serving(database, workers=1, app="tests.browser.reach:app", **short) as running:
        make_user(running, "Ada")
        yield running


@pytest.fixture
def tabs(chromium: Browser, server: Server) -> Iterator[Tabs]:
    with chromium.new_context() as context:
        tabs = Tabs(server, context, "ada@example.test")
        tabs.tell()
        yield tabs
        assert tabs.thrown == []


def test_one_tab_refreshes_ahead_of_time_while_somebody_is_there(tabs: Tabs) -> None:
    first, second = tabs.member(remember=True), tabs.open()
    before = tabs.cookie("refreshToken")
    tabs.tell()
    for tab in (first, second):
        assert tab.evaluate("session.start()")["username"] == "ada"
    for tab in (first, second):
        until(tab, "heard.includes('refreshed')")
    assert tabs.cookie("token") is not None  # it never ran out
    assert tabs.cookie("refreshToken") != before
    # Nobody did anything since: the token runs out, and the session may, as it should.
    until(first, "Date.now() > session.expiresAt.getTime() + 500")
    assert tabs.asked()[TOKEN] == 1
    assert tabs.cookie("token") is None

    second.keyboard.press("Tab")
    until(first, "Date.now() < session.expiresAt.getTime()")
    assert tabs.cookie("token") is not None
    assert tabs.asked()[TOKEN] == 1  # the question who is signed in has refreshed within itself
    assert "signedout" not in heard(first) + heard(second)


def test_a_hidden_tab_leaves_it_until_it_is_shown(tabs: Tabs) -> None:
    tab = tabs.member(remember=True)
    tab.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => window.seen})")
    tab.evaluate("seen = 'hidden'; session.start()")
    tabs.tell()
    until(tab, "Date.now() > session.expiresAt.getTime() + 300")
    assert tabs.asked() == {}
    tab.evaluate("seen = 'visible'; document.dispatchEvent(new Event('visibilitychange')); 0")
    until(tab, "Date.now() < session.expiresAt.getTime()")


def test_an_outage_puts_it_off_and_no_more(tabs: Tabs) -> None:
    tab = tabs.member(remember=True)
    tab.evaluate("session.start()")
    tab.evaluate("window.first = session.expiresAt")
    tabs.tell(down={"/api/users/session": 1})
    until(tab, "session.expiresAt > first", seconds=30)
    assert tabs.asked()["GET /api/users/session"] > 1
    assert "signedout" not in heard(tab)


def test_the_end_of_the_session_is_told_before_it_comes(tabs: Tabs) -> None:
    tab = tabs.member(warning=5, spacing=0.5)
    tab.evaluate("session.addEventListener('sessionexpiring', ({detail}) => window.left = detail)")
    begin(tab, "session.start()")
    until(tab, "heard.includes('sessionexpiring')")
    assert tab.evaluate("left.seconds") == pytest.approx(5, abs=2.5)
    assert "signedout" not in heard(tab)

    first_end = tab.evaluate("left.sessionExpiresAt.getTime()")
    tab.evaluate("session.refresh()")  # "Stay signed in"
    tab.evaluate("session.load()")
    assert tab.evaluate("session.sessionExpiresAt.getTime()") > first_end
    until(tab, "heard.includes('sessionexpiring')")
    until(tab, "heard.includes('signedout')")  # nobody did anything
    assert tab.evaluate("[session.state, session.user]") == ["signed-out", None]
    assert tabs.cookie("refreshToken") is None
