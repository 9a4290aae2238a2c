"""authkit.js on a page of another origin than the API's, copied there out of the package."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.people import PASSWORD, make_user
from tests.browser.tabs import LOAD, TOKEN, Tabs, heard
from tests.servers.serving import serving

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def front(tmp_path: Path) -> Iterator[str]:
    """A site of nothing but files, whose API is elsewhere."""
    (tmp_path / "page.html").write_text("<!doctype html><title>A page</title>")
    (tmp_path / "user/assets").mkdir(parents=True)
    with as_file(files("authkit_asgi").joinpath("client/js/authkit.js")) as script:
        shutil.copy(script, tmp_path / "user/assets")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://localhost:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_page_elsewhere_stays_signed_in_by_the_api_it_was_told_of(
    chromium: Browser, front: str, tmp_path: Path
) -> None:
    """Its origin is trusted by the kit and allowed by CORS (SECURITY X-08, F-04)."""
    trusted = {"AUTHKIT_TRUSTED_ORIGINS": front}
    with (
        serving(tmp_path / "a.db", workers=1, app="tests.browser.reach:app", **trusted) as server,
        chromium.new_context() as context,
    ):
        make_user(server, "Ada")
        tabs = Tabs(server, context, "ada@example.test")
        tab = context.new_page()
        tab.goto(front + "/page.html")
        tab.evaluate(LOAD, {"api": server.url + "/api/users", "spacing": 0.5})
        user = tab.evaluate("word => session.signIn('ada@example.test', word)", PASSWORD)
        assert user["username"] == "ada"
        tabs.token_runs_out()
        tabs.tell()
        service = f"call('{server.url}/service', {{method: 'POST', body: 'hello'}})"
        assert tab.evaluate(service + ".then(a => a.json())")["body"] == "hello"
        assert tabs.asked()[TOKEN] == 1
        assert tab.evaluate("session.refresh().then(String)")
        # The page's own files are asked for as ever.
        assert tab.evaluate("call('/page.html').then(a => a.status)") == 200
        tab.evaluate("session.signOut()")
        assert heard(tab)[-1] == "signedout"
        assert context.cookies() == []
