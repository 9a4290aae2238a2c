"""The life of an account, in a browser: from the first visit to the sign-out."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.people import Person, Post, confirm, register

pytestmark = pytest.mark.browser

DAY = 24 * 3600


def member(arrive: Arrive, email: str) -> Person:
    """Somebody signed in, on the members' page, where they wanted to go."""
    person = arrive()
    person.visit("/members")
    person.sign_in(email)
    person.is_at("/members")
    return person


def test_a_newcomer_registers_confirms_the_address_and_walks_in(arrive: Arrive, post: Post) -> None:
    newcomer = arrive()
    newcomer.visit("/")
    newcomer.follow("Create an account")
    newcomer.sees("Create your account")
    email = register(newcomer, "Grace")
    confirm(newcomer, post, email)
    newcomer.sign_in(email, remember=True)
    newcomer.is_at("/user/dashboard")
    newcomer.sees("Hello, Grace")
    newcomer.visit("/members")
    newcomer.sees("Welcome, grace")


def test_opening_a_mailed_link_uses_nothing_up_and_hides_the_token(
    arrive: Arrive, post: Post
) -> None:
    """SECURITY V-09, K-05: a program that looks through mails may even run our script."""
    newcomer, scanner = arrive(), arrive()
    email = register(newcomer, "Mary")
    link = post.link(email, "/user/verify-token")

    opened = scanner.page.goto(link)
    assert opened is not None
    assert opened.headers["referrer-policy"] == "no-referrer"
    scanner.is_at("/user/verify-token?type=email")
    assert "token=" not in str(scanner.page.evaluate("location.href"))

    newcomer.visit("/user/login")
    newcomer.sign_in(email)
    newcomer.is_warned("Please confirm your e-mail address first")
    newcomer.page.goto(link)
    newcomer.press("Confirm my e-mail address")
    newcomer.is_told("Your e-mail address is confirmed")

    scanner.press("Confirm my e-mail address")
    scanner.is_warned("link")  # once, and no more
    expect(scanner.page.get_by_role("link", name="Ask for a new link")).to_be_visible()


def test_the_cookies_are_for_the_server_alone(arrive: Arrive, ada: str) -> None:
    """SECURITY C-01, F-02."""
    person = member(arrive, ada)
    cookies = {cookie["name"]: cookie for cookie in person.context.cookies()}
    assert cookies.keys() == {"token", "refreshToken"}
    for cookie in cookies.values():
        assert cookie["httpOnly"] is True
        assert cookie["sameSite"] == "Lax"
        assert (cookie["domain"], cookie["path"]) == ("localhost", "/")
    kept = "[document.cookie, localStorage.length, sessionStorage.length]"
    assert person.page.evaluate(kept) == ["", 0, 0]


@pytest.mark.parametrize(
    ("remember", "days"),
    [pytest.param(False, 7, id="a week"), pytest.param(True, 30, id="remembered: a month")],
)
def test_how_long_a_browser_is_remembered(
    arrive: Arrive, ada: str, *, remember: bool, days: int
) -> None:
    person = arrive()
    person.visit("/user/login")
    person.sign_in(ada, remember=remember)
    person.is_at("/user/dashboard")
    ends = {cookie["name"]: cookie["expires"] for cookie in person.context.cookies()}
    assert ends["refreshToken"] - time.time() == pytest.approx(days * DAY, abs=30)


def test_a_spent_access_token_is_renewed_within_the_request(arrive: Arrive, ada: str) -> None:
    person = member(arrive, ada)
    first = person.cookie("refreshToken")
    person.waits_until_the_access_token_is_gone()

    response = person.visit("/members")

    assert (response.status, response.request.redirected_from) == (200, None)
    assert response.headers["cache-control"] == "private, no-store"
    person.sees("Welcome, ada")
    assert person.cookie("token") is not None
    assert person.cookie("refreshToken") not in (None, first)


def test_many_tabs_at_once_after_the_expiry_sign_nobody_out(arrive: Arrive, ada: str) -> None:
    """SECURITY S-02: each tab is a page load, and one of them asks twenty times more."""
    person = member(arrive, ada)
    tabs = [person.context.new_page() for _ in range(8)]
    for tab in tabs:
        person.visit("/static/icon.svg", tab)  # public, so it renews nothing
    person.waits_until_the_access_token_is_gone()

    for tab in tabs:
        tab.evaluate("() => { location.href = '/members' }")
    asked = "Promise.all(Array.from({length: 20}, () => fetch('/api/hello'))).then(all => all.map("
    assert person.page.evaluate(asked + "answer => answer.status))") == [200] * 20

    for tab in tabs:
        person.sees("Welcome, ada", tab)
        expect(tab).to_have_url(person.server.url + "/members")
    person.loses_the_access_token()
    person.visit("/members")
    person.sees("Welcome, ada")  # whichever answer came last, it left a good refresh token


def test_a_stranger_is_sent_to_sign_in_and_comes_straight_back(arrive: Arrive, ada: str) -> None:
    person = member(arrive, ada)
    other_tab = person.context.new_page()
    person.visit("/user/dashboard", other_tab)
    person.press("Sign out")
    person.is_at("/user/login")
    person.is_told("You are signed out")
    assert person.context.cookies() == []

    person.visit("/members", other_tab)
    expect(other_tab).to_have_url(person.server.url + "/user/login?next=/members")
    person.visit("/members?tab=2")
    person.sign_in(ada)
    person.is_at("/members?tab=2")
    person.visit("/user/login")
    person.is_at("/user/dashboard")  # nothing to do there for somebody signed in


def test_a_wrong_password_keeps_the_address_and_says_no_more(arrive: Arrive, ada: str) -> None:
    person = arrive()
    person.visit("/user/login?next=/members")
    person.sign_in(ada, "not my password")
    person.is_warned("wrong")
    expect(person.page.get_by_label("E-mail address")).to_have_value(ada)
    expect(person.page.get_by_label("Password", exact=True)).to_have_value("")
    expect(person.page.get_by_label("Password", exact=True)).to_be_focused()
    assert person.page.title().startswith("Error")
    person.sign_in(ada)
    person.is_at("/members")  # where the way led before the slip


def test_a_forgotten_password_is_replaced_by_a_mailed_link(arrive: Arrive, post: Post) -> None:
    """SECURITY V-11: it opens no session, and ends all that were open."""
    owner, elsewhere = arrive(), arrive()
    email = register(owner, "Dorothy")
    confirm(owner, post, email)
    for person in (owner, elsewhere):
        person.visit("/user/login")
        person.sign_in(email)
        person.is_at("/user/dashboard")
    owner.press("Sign out")

    owner.follow("Forgot password?")
    owner.fill({"E-mail address": email})
    owner.press("Send the link")
    owner.is_told("We have sent you a mail")
    owner.page.goto(post.link(email, "/user/reset-password/verify"))
    owner.fill({"New password": "dorothy"})
    owner.press("Set new password")
    owner.is_warned("")  # too weak, and the link still good
    owner.fill({"New password": "another horse entirely"})
    owner.press("Set new password")

    owner.is_told("Your new password is set")
    assert owner.context.cookies() == []
    owner.sign_in(email, "another horse entirely")
    owner.is_at("/user/dashboard")
    elsewhere.visit("/members")
    elsewhere.is_at("/user/login?next=/members")
