"""People in front of real browsers, and the letters that reach them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Response, expect

from tests.servers.serving import ROOT, Server

PASSWORD = "correct horse battery"
PATIENCE = 10.0

KNOCK = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => resolve("opened");
  socket.onclose = () => resolve("refused");
})"""


@dataclass(frozen=True, slots=True)
class Post:
    """The mails that a server has written to `directory`."""

    directory: Path

    def link(self, to: str, leads_to: str) -> str:
        """The newest link in a mail to `to` whose address holds `leads_to`, waited for."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for file in sorted(self.directory.glob("*.eml"), reverse=True):
                if found := _link_in(file, to, leads_to):
                    return found
            time.sleep(0.02)  # there is no event: another process writes the file
        raise AssertionError(f"no mail to {to} leads to {leads_to}")


def _link_in(file: Path, to: str, leads_to: str) -> str | None:
    message = message_from_bytes(file.read_bytes(), policy=default)
    text = message.get_body(preferencelist=("plain",))
    if message["to"] != to or text is None:
        return None
    links = re.findall(r"https?://[^\s<>\"]+", text.get_content())
    return next((link for link in links if leads_to in link), None)


@dataclass
class Person:
    """One browser of one person. Its tabs share the cookies.

    `complaints` is what goes wrong without anybody looking: errors in the console (a breach of the
    policy is one), exceptions in scripts, and parts of a page that do not come.
    """

    server: Server
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.context.on("console", lambda said: self._complain(said.type == "error", said.text))
        self.context.on("weberror", lambda error: self._complain(True, str(error.error)))
        self.context.on("response", self._check_part)

    def visit(self, path: str, page: Page | None = None) -> Response:
        response = (page or self.page).goto(self.server.url + path)
        assert response is not None
        return response

    def fill(self, fields: Mapping[str, str]) -> None:
        """Each field by its label, which it must have."""
        for label, text in fields.items():
            self.page.get_by_label(label, exact=True).fill(text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def sign_in(self, email: str, password: str = PASSWORD, *, remember: bool = False) -> None:
        """On the login page, which must be open."""
        self.fill({"E-mail address": email, "Password": password})
        self.page.get_by_label("Remember me").set_checked(remember)
        self.press("Sign in")

    def is_at(self, path: str) -> None:
        """Waits until the browser is there."""
        expect(self.page).to_have_url(self.server.url + path)

    def sees(self, heading: str, page: Page | None = None) -> None:
        expect((page or self.page).locator("h1")).to_have_text(heading)

    def is_told(self, words: str) -> None:
        expect(self.page.get_by_role("status")).to_contain_text(words)

    def is_warned(self, words: str) -> None:
        expect(self.page.get_by_role("alert")).to_contain_text(words)

    def cookie(self, name: str) -> str | None:
        values = [one["value"] for one in self.context.cookies() if one["name"] == name]
        return values[0] if values else None

    def waits_until_the_access_token_is_gone(self) -> None:
        """Its cookie ends with it, by the browser's own clock."""
        while self.cookie("token") is not None:
            self.page.wait_for_timeout(50)

    def loses_the_access_token(self) -> None:
        """As if it had run out just now."""
        self.context.clear_cookies(name="token")

    def knocks(self, page: Page) -> str:
        """Tries the sample's WebSocket from `page`: `opened`, or `refused` before it was open."""
        answer: str = page.evaluate(KNOCK, self.server.url.replace("http", "ws") + "/ws")
        return answer

    def _complain(self, is_wrong: bool, words: str) -> None:
        # What a page itself answers is for the test to judge; its parts are judged below.
        if is_wrong and not words.startswith("Failed to load resource"):
            self.complaints.append(words)

    def _check_part(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.complaints.append(f"{response.status} for {response.url}")


def make_user(server: Server, name: str) -> str:
    """An account whose address is confirmed. Returns the address."""
    email = f"{name.lower()}@example.test"
    command = [sys.executable, "-m", "authkit_asgi", "create-user", "--verified"]
    command += ["--email", email, "--username", name.lower(), "--password-stdin"]
    command += ["--firstname", name, "--lastname", "Example"]
    subprocess.run(
        command,
        input=PASSWORD.encode(),
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env=dict(server.environment),
        check=True,
    )
    return email


def register(person: Person, name: str) -> str:
    """Makes an account by the page. Returns its address, which is still to be confirmed."""
    email = f"{name.lower()}@example.test"
    person.visit("/user/register")
    person.fill({"First name": name, "Last name": "Example", "Username": name.lower()})
    person.fill({"E-mail address": email, "Password": PASSWORD})
    person.press("Create account")
    person.sees("Check your mail")
    person.is_told("We have sent you a mail")
    return email


def confirm(person: Person, post: Post, email: str) -> None:
    """Follows the mailed link. Ends at the login page."""
    person.page.goto(post.link(email, "/user/verify-token"))
    person.press("Confirm my e-mail address")
    person.is_told("Your e-mail address is confirmed")
