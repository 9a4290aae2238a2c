"""What a hostile page can do from a browser that is signed in here: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Arrive
from tests.browser.people import PASSWORD, Person

pytestmark = pytest.mark.browser

# A neighbour is on the same site by the browser's rules, which know no ports: our cookies are sent
# along from there, as they would be from a forgotten subdomain.
HOSTILE = [
    pytest.param("127.0.0.1", id="another site"),
    pytest.param("localhost", id="a neighbour on the same site"),
]
REFUSED = "This request came from another site."


class Parrot(BaseHTTPRequestHandler):
    """Answers with what the query says, as a page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(unquote(urlsplit(self.path).query).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


# A real server: Chromium lets no page of an unknown place reach for a loopback address at all.
@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def lured(person: Person, origin: str, html: str) -> Page:
    tab = person.context.new_page()
    tab.goto(f"{origin}/?{quote(html)}")
    return tab


def form_to(url: str, **fields: str) -> str:
    inputs = "".join(f"<input name={name} value='{value}'>" for name, value in fields.items())
    return f"<form method=post action='{url}'>{inputs}<button>You have won</button></form>"


def signed_in(arrive: Arrive, email: str) -> Person:
    person = arrive()
    person.visit("/user/login")
    person.sign_in(email)
    person.is_at("/user/dashboard")
    return person


@pytest.mark.parametrize("host", HOSTILE)
def test_a_form_there_signs_nobody_out(arrive: Arrive, ada: str, host: str, port: int) -> None:
    """SECURITY X-01."""
    person = signed_in(arrive, ada)
    tab = lured(person, f"http://{host}:{port}", form_to(person.server.url + "/user/logout"))
    tab.get_by_role("button").click()
    expect(tab.get_by_text(REFUSED)).to_be_visible()
    person.visit("/members")
    person.sees("Welcome, ada")


@pytest.mark.parametrize("host", HOSTILE)
def test_a_form_there_signs_nobody_in_as_the_attacker(
    arrive: Arrive, ada: str, host: str, port: int
) -> None:
    """SECURITY X-04: what one types afterwards would be typed into the attacker's account."""
    stranger = arrive()
    form = form_to(stranger.server.url + "/user/login", email=ada, password=PASSWORD)
    tab = lured(stranger, f"http://{host}:{port}", form)
    tab.get_by_role("button").click()
    expect(tab.get_by_text(REFUSED)).to_be_visible()
    assert stranger.context.cookies() == []


@pytest.mark.parametrize("host", HOSTILE)
def test_a_script_there_reads_nothing_and_opens_no_socket(
    arrive: Arrive, ada: str, host: str, port: int
) -> None:
    """SECURITY X-08, P-14."""
    person = signed_in(arrive, ada)
    tab = lured(person, f"http://{host}:{port}", "<h1>Hello</h1>")
    steal = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
    assert tab.evaluate(steal, person.server.url + "/api/hello") == "refused"
    assert person.knocks(tab) == "refused"
    by_cors, by_us = person.complaints
    assert "blocked by CORS policy" in by_cors
    # The neighbour comes with good cookies, so that it is his origin that is refused.
    reason = {"127.0.0.1": "no valid credentials", "localhost": "response code: 403"}
    assert reason[host] in by_us
    person.complaints.clear()


@pytest.mark.parametrize("host", HOSTILE)
def test_no_page_there_frames_ours(arrive: Arrive, ada: str, host: str, port: int) -> None:
    """SECURITY K-07: a button of ours under a picture of theirs."""
    person = signed_in(arrive, ada)
    for path in ("/user/dashboard/settings/delete", "/members"):
        frame = f"<iframe src='{person.server.url}{path}'></iframe>"
        lured(person, f"http://{host}:{port}", frame)
        assert "frame-ancestors 'none'" in person.complaints.pop()
