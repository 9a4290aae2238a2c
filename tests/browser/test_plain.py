"""The same life without a line of JavaScript: every page is a form and a link."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.people import Person, Post, confirm, register

pytestmark = pytest.mark.browser

CHANGED = "yet another horse"


def test_an_account_lives_without_javascript(arrive: Arrive, post: Post) -> None:
    """SECURITY F-01."""
    here, phone = arrive(java_script_enabled=False), arrive(java_script_enabled=False)
    email = register(here, "Annie")
    confirm(here, post, email)
    for person in (here, phone):
        person.visit("/user/login")
        person.sign_in(email)
        person.is_at("/user/dashboard")

    changes_the_profile(here)
    ends_the_other_session(here, phone)
    changes_the_password(here)
    signs_out_and_in_again(here, email)
    deletes_the_account(here, email)


def changes_the_profile(person: Person) -> None:
    person.follow("Profile")
    person.fill({"First name": "Ann", "About you": "Orbits,\nby hand."})
    person.press("Save")
    person.is_told("Saved")
    person.visit("/user/dashboard/settings")
    expect(person.page.get_by_label("About you")).to_have_value("Orbits,\nby hand.")


def ends_the_other_session(person: Person, other: Person) -> None:
    person.follow("Sessions")
    expect(person.page.get_by_role("listitem").filter(has_text="Last used")).to_have_count(2)
    person.follow("End all other sessions")
    person.press("End all other sessions")
    person.is_told("Those sessions are over")
    expect(person.page.get_by_role("listitem").filter(has_text="Last used")).to_have_count(1)
    other.visit("/user/dashboard")
    other.is_at("/user/login?next=/user/dashboard")


def changes_the_password(person: Person) -> None:
    person.follow("Security")
    person.fill({"Current password": "no horse at all", "New password": CHANGED})
    person.press("Change password")
    expect(person.page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    person.fill({"Current password": "correct horse battery", "New password": CHANGED})
    person.press("Change password")
    person.is_told("Your password is changed")


def signs_out_and_in_again(person: Person, email: str) -> None:
    person.press("Sign out")
    person.is_told("You are signed out")
    assert person.context.cookies() == []
    person.sign_in(email, CHANGED)
    person.is_at("/user/dashboard")
    person.sees("Hello, Ann")


def deletes_the_account(person: Person, email: str) -> None:
    person.visit("/user/dashboard/settings/delete")
    person.fill({"Your password": CHANGED})
    person.press("Delete my account")
    person.is_told("Your account is deleted")
    person.sign_in(email, CHANGED)
    person.is_warned("wrong")
