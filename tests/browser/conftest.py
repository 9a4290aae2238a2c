"""A Chromium, the sample app behind a real server, and a mail folder, for all tests in here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.people import Person, Post, make_user
from tests.servers.serving import Server, serving

LIFETIME = 3  # seconds that an access token lives here, so that a test can see one run out
FLAGS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Arrive: TypeAlias = Callable[..., Person]


# Not for the whole session: Playwright keeps an event loop running in this thread, and the tests of
# other modules could run none of their own beside it.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI"):
        raise RuntimeError("CI, and no Chromium: scripts/chromium.sh fetches one")
    if found is None:
        pytest.skip("no Chromium: scripts/chromium.sh fetches one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def post(tmp_path_factory: pytest.TempPathFactory) -> Post:
    return Post(tmp_path_factory.mktemp("mail"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, post: Post) -> Iterator[Server]:
    settings = {
        "AUTHKIT_ACCESS_TOKEN_LIFETIME": str(LIFETIME),
        "AUTHKIT_MAIL_URL": post.directory.as_uri(),
        "AUTHKIT_DEV_MODE": "true",  # for the mailbox
    }
    database = tmp_path_factory.mktemp("browser") / "authkit.db"
    with serving(database, workers=1, app="sample_app.main:app", **settings) as running:
        yield running


@pytest.fixture(scope="session")
def ada(server: Server) -> str:
    """The address of somebody with an account, whose password no test changes."""
    return make_user(server, "Ada")


@pytest.fixture
def arrive(chromium: Browser, server: Server) -> Iterator[Arrive]:
    """Lets somebody sit down at a browser of their own. No page may complain behind their back."""
    people: list[Person] = []
    with ExitStack() as contexts:

        def sit_down(**options: Any) -> Person:
            context = contexts.enter_context(chromium.new_context(**options))
            context.set_default_timeout(10_000)
            person = Person(server, context, context.new_page())
            person.listen()
            people.append(person)
            return person

        yield sit_down
    assert [person.complaints for person in people] == [[] for _ in people]
