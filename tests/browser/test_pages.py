"""Every page, for everybody: in any browser, with a keyboard, on a phone, read aloud."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Arrive
from tests.browser.people import Person

pytestmark = pytest.mark.browser

WIDTHS = (1280, 320)
BY_MAIL_ALONE = (
    "/user/verify-token?token=x",
    "/user/reset-password/verify?token=x",
    "/user/change-email/verify?token=x",
    "/user/change-email/revert?token=x",
    "/user/logout",
)

# What is wrong with a page for somebody who does not see it, or sees it on a small phone.
PROBLEMS = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const problems = [];
  const demand = (holds, words) => { if (!holds) problems.push(words); };
  demand(document.documentElement.lang, "no language");
  demand(document.title.trim(), "no title");
  demand(all("h1").length === 1, "not one h1");
  demand(all("main").length === 1, "not one main");
  demand(document.documentElement.scrollWidth <= innerWidth, "wider than the screen");
  for (const input of all("input:not([type=hidden]):not([hidden]), textarea, select"))
    demand(input.labels.length || input.ariaLabel, "no label: " + input.outerHTML);
  for (const thing of all("button, a"))
    demand(thing.textContent.trim() || thing.ariaLabel, "no name: " + thing.outerHTML);
  for (const nav of all("nav")) demand(nav.ariaLabel, "no name: nav");
  for (const image of all("img")) demand(image.hasAttribute("alt"), "no alt: " + image.src);
  for (const image of all("svg")) demand(image.ariaHidden === "true", "svg read aloud");
  const ids = all("[id]").map((one) => one.id);
  demand(new Set(ids).size === ids.length, "an id twice");
  for (const one of all("[aria-describedby], [aria-controls]"))
    for (const name of ["aria-describedby", "aria-controls"])
      for (const id of (one.getAttribute(name) ?? "").split(" ").filter(Boolean))
        demand(ids.includes(id), name + " of nothing: " + id);
  const levels = all("h1, h2, h3, h4").map((one) => Number(one.tagName[1]));
  levels.reduce((before, level) => {
    demand(level <= before + 1, "a heading level is left out");
    return level;
  }, 0);
  return problems;
}"""
LINKS = "[...document.links].map((link) => link.getAttribute('href'))"


def test_every_page_for_strangers_is_sound(arrive: Arrive) -> None:
    stranger = arrive()
    found = walked(stranger, ["/", *BY_MAIL_ALONE])
    assert {"/user/login", "/user/register", "/dev/mailbox"} <= found.keys()
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_every_page_for_members_is_sound(arrive: Arrive, ada: str) -> None:
    person = arrive()
    person.visit("/user/login")
    person.sign_in(ada)
    person.is_at("/user/dashboard")
    found = walked(person, ["/", "/user/dashboard"])
    assert {"/members", "/user/dashboard/settings/delete"} <= found.keys()
    assert {path: problems for path, problems in found.items() if problems} == {}


def walked(person: Person, start: Iterable[str]) -> dict[str, list[str]]:
    """What is wrong with each page that links lead to, from `start` on."""
    to_do, found = list(start), dict[str, list[str]]()
    while to_do:
        path = to_do.pop()
        if path in found or not path.startswith("/") or "/api/" in path:
            continue
        response = person.visit(path)
        found[path] = [] if response.status == 200 else [f"answers {response.status}"]
        for width in WIDTHS:
            person.page.set_viewport_size({"width": width, "height": 720})
            found[path] += person.page.evaluate(PROBLEMS)
        to_do += person.page.evaluate(LINKS)
    return found


def test_the_policy_stops_a_script_that_somebody_smuggled_in(arrive: Arrive) -> None:
    """SECURITY K-07, and a proof that a breach of the policy would not stay unseen in here."""
    person = arrive()
    for path in ("/", "/user/login"):
        person.visit(path)
        person.page.evaluate("document.body.append(document.createElement('script'))")
        person.page.evaluate("document.body.lastChild.textContent = 'window.owned = true'")
        assert person.page.evaluate("window.owned") is None
        assert "Content Security Policy" in person.complaints.pop()


def test_the_keyboard_alone_signs_in(arrive: Arrive, ada: str) -> None:
    person = arrive()
    page = person.page
    person.visit("/user/login")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    page.keyboard.type(ada)
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    person.is_at("/user/dashboard")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    person.is_at("/user/dashboard#main")


@pytest.mark.parametrize("path", ["/user/login", "/user/register", "/"])
def test_whatever_has_the_focus_shows_it(arrive: Arrive, path: str) -> None:
    person = arrive()
    person.visit(path)
    rings = list(focused_ones(person.page))
    assert len(rings) >= 5
    assert [name for name, width in rings if width < 2] == []


def focused_ones(page: Page) -> Iterable[tuple[str, float]]:
    """Each stop of the Tab key, with the width of the ring around it."""
    ring = """() => {
      const one = document.activeElement;
      const style = getComputedStyle(one);
      const width = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
      return one === document.body ? null : [one.outerHTML, width];
    }"""
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        found = page.evaluate(ring)
        if found is None:
            return
        yield found[0], found[1]


def test_a_password_can_be_looked_at_while_it_is_typed(arrive: Arrive) -> None:
    """SECURITY W-15."""
    person = arrive()
    person.visit("/user/register")
    field = person.page.get_by_label("Password", exact=True)
    field.fill("correct horse battery")
    shown = person.page.get_by_role("button", name="Show password")
    expect(shown).to_have_attribute("aria-pressed", "false")
    shown.click()
    expect(field).to_have_attribute("type", "text")
    expect(shown).to_have_attribute("aria-pressed", "true")
    shown.click()
    expect(field).to_have_attribute("type", "password")
