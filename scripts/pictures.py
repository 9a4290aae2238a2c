"""Makes the pictures of the documentation, out of the sample app in a real Chromium.

    .venv/bin/python -m scripts.pictures

Writes docs/images/overview.png, and each page as PAGE-THEME-DEVICE.png beside it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.people import Person, Post, confirm, register
from tests.servers.serving import ROOT, Server, serving

IMAGES = ROOT / "docs" / "images"
DEVICES = {
    "desktop": {"width": 1120, "height": 700},
    "phone": {"width": 390, "height": 780},
}
# Which pages are worth a picture, and of what.
PICTURES = {
    "login": "/user/login",
    "register": "/user/register",
    "dashboard": "/user/dashboard",
    "sessions": "/user/dashboard/settings/sessions",
    "security": "/user/dashboard/settings/security",
}
BEFORE_SIGN_IN = ("login", "register")
ELSEWHERE = {  # where else the person in the pictures is signed in
    "198.51.100.23": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
    "203.0.113.80": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Firefox/150.0",
}
HERE = "192.0.2.17"

# The pages take the system's font. That is another one on each machine, and on bare servers an
# ugly one: here it is always the same.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include>/etc/fonts/fonts.conf</include>
  <match target="pattern">
    <test name="family"><string>system-ui</string></test>
    <edit name="family" mode="assign" binding="strong"><string>Liberation Sans</string></edit>
  </match>
</fontconfig>
"""


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (server, post):
        with chromium(Path(name)) as browser:
            ada_signs_up(browser, server, post)
            for theme in ("light", "dark"):
                for device in DEVICES:
                    take_all(browser, server, post, theme, device)
            compose(browser)


@contextmanager
def served(folder: Path) -> Iterator[tuple[Server, Post]]:
    post = Post(folder / "mail")
    settings = {"AUTHKIT_APP_NAME": "Lighthouse", "AUTHKIT_MAIL_URL": post.directory.as_uri()}
    with serving(folder / "db", workers=1, app="sample_app.main:app", **settings) as server:
        yield server, post


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="chromium",
            args=list(FLAGS),
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        yield browser
        browser.close()


