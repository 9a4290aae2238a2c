"""Tabs of a browser on the site of `reach.py`, with authkit.js in each of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.browser.people import PASSWORD
from tests.servers.serving import Server

TOKEN = "POST /api/users/token"
LOAD = """async (options) => {
  window.kit = await import("/user/assets/authkit.js");
  window.session = options ? new kit.Session(options) : kit.session;
  window.call = (...args) => session.call(...args);
  window.heard = [];
  for (const type of ["signedin", "signedout", "refreshed", "sessionexpiring"])
    session.addEventListener(type, () => heard.push(type));
}"""
# Begins without waiting for the end, so that several tabs can be at it together.
BEGIN = """([script]) => {
  window.running = eval(script).then((value) => ({ value }), (error) => ({ error: String(error) }));
}"""


@dataclass
class Tabs:
    """One browser. Nothing may be thrown in its pages that a test does not catch."""

    server: Server
    context: BrowserContext
    email: str
    thrown: list[str] = field(default_factory=list)

    def open(self, path: str = "/page", **options: Any) -> Page:
        tab = self.context.new_page()
        tab.on("pageerror", lambda error: self.thrown.append(str(error)))
        tab.goto(self.server.url + path)
        tab.evaluate(LOAD, options or None)
        return tab

    def member(self, *, remember: bool = False, **options: Any) -> Page:
        """A tab of somebody signed in."""
        tab = self.open(**options)
        signs_in = "([email, word, rememberMe]) => session.signIn(email, word, { rememberMe })"
        tab.evaluate(signs_in, [self.email, PASSWORD, remember])
        return tab

    def token_runs_out(self) -> None:
        self.context.clear_cookies(name=re.compile(r"^(__Host-)?token$"))

    def asked(self) -> Counter[str]:
        """How often each route was asked for since the last `tell`."""
        return Counter(self.context.request.get(self.server.url + "/desk").json())

    def tell(self, **what: Any) -> None:
        """Forget what was asked; and what is to go wrong, by path."""
        self.context.request.post(self.server.url + "/desk", data=what)

    def cookie(self, name: str) -> str | None:
        found = [one["value"] for one in self.context.cookies() if one["name"] == name]
        return found[0] if found else None


def begin(tab: Page, script: str) -> None:
    tab.evaluate(BEGIN, [script])


def end(tab: Page) -> Any:
    """What the script of `begin` came to."""
    done = tab.evaluate("window.running")
    assert "error" not in done, done
    return done["value"]


def heard(tab: Page) -> list[str]:
    told: list[str] = tab.evaluate("heard.splice(0)")
    return told


def until(tab: Page, condition: str, *, seconds: float = 15) -> None:
    """Waits in the page, where time passes as it does for the script."""
    waiting = "([condition, ms]) => new Promise((done, late) => { const until = Date.now() + ms;"
    waiting += "(function look() { if (eval(condition)) done(); else if (Date.now() > until) "
    waiting += "late(new Error('never: ' + condition)); else setTimeout(look, 20); })(); })"
    tab.evaluate(waiting, [condition, seconds * 1000])
