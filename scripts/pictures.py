"""Makes the pictures of the documentation, out of the sample app in a real Chromium.

    .venv/bin/python -m scripts.pictures

Writes docs/images/overview.png, and pages and mail beside it as NAME-THEME-DEVICE.png.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.people import PASSWORD, Person, Post, confirm
from tests.servers.serving import ROOT, Server, serving

IMAGES = ROOT / "docs" / "images"
EMAIL = "ada@example.com"
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DEVICES = {"desktop": (960, 640), "phone": (390, 760)}

FOR_STRANGERS = {"login": "/user/login"}
FOR_MEMBERS = {
    "dashboard": "/user/dashboard",
    "security": "/user/dashboard/settings/security",
    "sessions": "/user/dashboard/settings/sessions",
}
# Kept for the documentation. The others are for the overview alone.
SHOWN = (
    "login-light-desktop",
    "login-dark-phone",
    "dashboard-light-desktop",
    "dashboard-dark-desktop",
    "dashboard-light-phone",
    "security-light-desktop",
    "sessions-light-desktop",
    "sessions-dark-phone",
    "mail-light-desktop",
    "mail-dark-phone",
)

# Where the person in the pictures is signed in, by addresses that belong to nobody (RFC 5737).
HERE = ("192.0.2.17", "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36")
ELSEWHERE = (
    ("203.0.113.80", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/150.0"),
    ("198.51.100.23", "Mozilla/5.0 (iPhone; like Mac OS X) Version/26.0 Mobile Safari/604.1"),
)

# The pages take the system's font, which is another one on each machine: here it is always this.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include>/etc/fonts/fonts.conf</include>
  <match target="pattern">
    <test name="family" compare="contains"><string>sans</string></test>
    <edit name="family" mode="assign" binding="strong"><string>Liberation Sans</string></edit>
  </match>
</fontconfig>
"""

COLLAGE = """<!DOCTYPE html>
<style>
  body {{ position: relative; width: 1200px; height: 700px; margin: 0; overflow: hidden;
    background: #d9dbfb; }}
  img {{ position: absolute; background: #10131c; box-shadow: 0 14px 30px rgb(20 20 60 / 25%); }}
  .desktop {{ width: 690px; border-radius: 12px; }}
  .phone {{ width: 212px; padding: 7px; border-radius: 30px; }}
</style>
<img class="desktop" style="left: 330px; top: 40px" src="{sessions-dark-desktop}">
<img class="desktop" style="left: 40px; top: 195px" src="{dashboard-light-desktop}">
<img class="phone" style="left: 690px; top: 230px" src="{login-light-phone}">
<img class="phone" style="left: 935px; top: 130px" src="{dashboard-dark-phone}">
"""


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        served(Path(name)) as (server, post),
        chromium(Path(name)) as browser,
    ):
        taken = {**pages(browser, server, post), **mails(browser, post)}
        taken["overview"] = overview(browser, taken)
    for picture in ("overview", *SHOWN):
        (IMAGES / f"{picture}.png").write_bytes(taken[picture])


@contextmanager
def served(folder: Path) -> Iterator[tuple[Server, Post]]:
    post = Post(folder / "mail")
    mail = {"AUTHKIT_MAIL_URL": post.directory.as_uri()}
    with serving(folder / "db", workers=1, app="sample_app.main:app", **mail) as server:
        yield server, post


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=list(FLAGS),
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        yield browser
        browser.close()


def pages(browser: Browser, server: Server, post: Post) -> dict[str, bytes]:
    stranger = at(browser, server, *HERE)
    registers(stranger, post)
    taken = dict(shots(stranger, FOR_STRANGERS))
    for place in (*ELSEWHERE, HERE):
        member = at(browser, server, *place)
        member.visit("/user/login")
        member.sign_in(EMAIL)
        member.is_at("/user/dashboard")
    return {**taken, **dict(shots(member, FOR_MEMBERS))}


def at(browser: Browser, server: Server, ip: str, user_agent: str) -> Person:
    context: BrowserContext = browser.new_context(
        device_scale_factor=1.5,
        user_agent=user_agent,
        extra_http_headers={"X-Forwarded-For": ip},
    )
    return Person(server, context, context.new_page())


def registers(person: Person, post: Post) -> None:
    person.visit("/user/register")
    person.fill({"First name": "Ada", "Last name": "Lovelace", "Username": "ada"})
    person.fill({"E-mail address": EMAIL, "Password": PASSWORD})
    person.press("Create account")
    confirm(person, post, EMAIL)


def shots(person: Person, paths: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for name, path in paths.items():
        person.visit(path)
        if name == "login":
            person.fill({"E-mail address": EMAIL, "Password": PASSWORD})
        person.page.evaluate("document.activeElement.blur()")
        yield from each_way(person.page, name)


def each_way(page: Page, name: str) -> Iterator[tuple[str, bytes]]:
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for device, (width, height) in DEVICES.items():
            page.set_viewport_size({"width": width, "height": height})
            yield f"{name}-{theme}-{device}", page.screenshot(animations="disabled")


def mails(browser: Browser, post: Post) -> dict[str, bytes]:
    (file,) = post.directory.glob("*.eml")
    message = message_from_bytes(file.read_bytes(), policy=default)
    page = browser.new_page(device_scale_factor=1.5)
    for part in message.iter_parts():
        page.set_content(part.get_content())  # the HTML comes last
    return dict(each_way(page, "mail"))


def overview(browser: Browser, taken: dict[str, bytes]) -> bytes:
    sources: dict[str, Any] = {
        name: f"data:image/png;base64,{b64encode(picture).decode()}"
        for name, picture in taken.items()
    }
    page = browser.new_page(device_scale_factor=1.5, viewport={"width": 1200, "height": 700})
    page.set_content(COLLAGE.format_map(sources))
    return page.screenshot()


if __name__ == "__main__":
    main()
