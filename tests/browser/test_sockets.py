"""The sample's WebSocket, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Arrive

pytestmark = pytest.mark.browser


def test_a_member_talks_over_the_socket(arrive: Arrive, ada: str) -> None:
    person = arrive()
    person.visit("/members")
    person.sign_in(ada)
    person.is_told("Connected")
    person.fill({"Message": "is anybody there?"})
    person.page.keyboard.press("Enter")
    expect(person.page.get_by_label("Messages")).to_have_text("ada: is anybody there?")
    # A refresh token opens it too, and is not exchanged: the answer may not carry cookies.
    person.loses_the_access_token()
    before = person.cookie("refreshToken")
    assert person.knocks(person.page) == "opened"
    assert person.cookie("refreshToken") == before


def test_the_page_says_when_the_session_was_ended_on_another_device(
    arrive: Arrive, ada: str
) -> None:
    here, phone = arrive(), arrive()
    for person in (here, phone):
        person.visit("/members")
        person.sign_in(ada)
        person.is_told("Connected")
    phone.page.evaluate("fetch('/api/users/sessions', {method: 'DELETE'})")
    here.is_told("Signed out: reload to sign in again")
    # The script asked whether it is so.
    assert {one.split()[0] for one in here.complaints} == {"401"}
    here.complaints.clear()
    here.page.reload()
    here.is_at("/user/login?next=/members")


def test_a_stranger_is_refused_before_the_socket_opens(arrive: Arrive) -> None:
    stranger = arrive()
    stranger.visit("/")
    assert stranger.knocks(stranger.page) == "refused"
    assert "HTTP Authentication failed" in stranger.complaints.pop()  # as Chromium says 401
