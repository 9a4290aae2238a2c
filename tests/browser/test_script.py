"""authkit.js in a browser: one refresh for all tabs, and no fault that reads as a sign-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Error

from tests.browser.people import make_user
from tests.browser.tabs import TOKEN, Tabs, begin, end, heard, until
from tests.servers.serving import ROOT, Server, serving

pytestmark = pytest.mark.browser

# Of one address Chromium would ask once at a time.
TWENTY = (
    "Promise.all(Array.from({length: 20}, (_, i) => call(`/service?${i}`).then(a => a.status)))"
)
GET = "call('/service').then(answer => answer.status)"

Sit: TypeAlias = Callable[..., Tabs]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tokens last an hour here: they run out when a test takes them away."""
    database = tmp_path_factory.mktemp("script") / "authkit.db"
    with serving(database, workers=1, app="tests.browser.reach:app") as running:
        make_user(running, "Ada")
        yield running


@pytest.fixture
def sit(chromium: Browser, server: Server) -> Iterator[Sit]:
    everybody: list[Tabs] = []
    with ExitStack() as contexts:

        def down(*, locks: bool = True) -> Tabs:
            context = contexts.enter_context(chromium.new_context())
            if not locks:  # as on plain http, where browsers offer none
                context.add_init_script("delete Navigator.prototype.locks")
            tabs = Tabs(server, context, "ada@example.test")
            everybody.append(tabs)
            return tabs

        yield down
        assert [tabs.thrown for tabs in everybody] == [[] for _ in everybody]


@pytest.fixture
def tabs(sit: Sit) -> Tabs:
    return sit()


# --- one refresh for all


@pytest.mark.parametrize("locks", [True, False], ids=["web locks", "a lease, without web locks"])
def test_two_tabs_whose_token_ran_out_refresh_once(sit: Sit, *, locks: bool) -> None:
    """SECURITY S-22."""
    tabs = sit(locks=locks)
    first, second = tabs.member(), tabs.open()
    assert first.evaluate("'locks' in navigator") is locks
    tabs.token_runs_out()
    tabs.tell(slow={"/api/users/token": 0.5})  # so that all forty are refused before the answer
    for tab in (first, second):
        begin(tab, TWENTY)
    assert [end(first), end(second)] == [[200] * 20] * 2
    assert tabs.asked() == {"GET /service": 80, TOKEN: 1}
    assert "refreshed" in heard(first)
    until(second, "heard.includes('refreshed')")
    assert first.evaluate("localStorage.length") == 0 or not locks


def test_a_slow_network_changes_nothing_about_that(tabs: Tabs) -> None:
    first, second = tabs.member(), tabs.open()
    for tab in (first, second):
        wire = tabs.context.new_cdp_session(tab)
        slow = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
        wire.send("Network.enable")
        wire.send("Network.emulateNetworkConditions", {**slow, "latency": 200})
    tabs.token_runs_out()
    tabs.tell(slow={"/api/users/token": 1})
    begin(first, TWENTY)
    begin(second, TWENTY)
    assert [end(first), end(second)] == [[200] * 20] * 2
    assert tabs.asked()[TOKEN] == 1


def test_a_tab_that_died_with_the_lease_holds_nobody_up_for_long(sit: Sit) -> None:
    tabs = sit(locks=False)
    tab = tabs.member()
    tabs.token_runs_out()
    died = "localStorage.setItem('authkit /api/users', `gone ${Date.now() + 1500}`)"
    tab.evaluate(died)
    tabs.tell()
    assert tab.evaluate(GET) == 200
    assert tabs.asked()[TOKEN] == 1


def test_explicit_refreshes_are_spaced_over_tabs_and_page_loads(tabs: Tabs) -> None:
    """A request that is still on its way with the token before last looks like a thief's (S-04)."""
    first, second = tabs.member(spacing=1), tabs.open(spacing=1)
    tabs.tell()
    began = time.monotonic()
    before = tabs.cookie("refreshToken")
    for tab in (first, second, first):  # loaded moments ago; refreshed moments ago, elsewhere
        tab.evaluate("session.refresh()")
        after = tabs.cookie("refreshToken")
        assert after not in (None, before)
        before = after
    assert time.monotonic() - began > 1.9  # two gaps; part of the first was over when it began
    assert tabs.asked()[TOKEN] == 3


def test_explicit_refreshes_at_one_time_are_one(tabs: Tabs) -> None:
    first, second = tabs.member(spacing=0.5), tabs.open(spacing=0.5)
    first.wait_for_timeout(600)
    tabs.tell()
    for tab in (first, second):
        begin(tab, "Promise.all([session.refresh(), session.refresh()]).then(all => all.length)")
    assert [end(first), end(second)] == [2, 2]
    assert tabs.asked()[TOKEN] == 1


# --- one retry, and only where it helps


def test_what_a_refresh_would_not_change_starts_none(tabs: Tabs) -> None:
    tab = tabs.open()
    tabs.tell()
    wrong = "call('/api/users/login', {method: 'POST', body: JSON.stringify({email: 'ada@example."
    wrong += "test', password: 'not hers'}), headers: {'Content-Type': 'application/json'}})"
    for script, code in ((wrong, "bad_credentials"), ("call('/hello')", "not_signed_in")):
        assert tab.evaluate(script + ".then(answer => answer.json())")["code"] == code
    assert tabs.asked()[TOKEN] == 0
    assert heard(tab) == []


def test_a_second_refusal_is_final(tabs: Tabs) -> None:
    tab = tabs.member()
    tabs.tell()
    refused = "call('/service?stubborn').then(a => a.json()).then(said => said.code)"
    assert tab.evaluate(refused) == "token_expired"
    assert tabs.asked() == {"GET /service": 2, TOKEN: 1}
    assert tab.evaluate("session.state") == "signed-in"


@pytest.mark.parametrize(
    ("body", "arrives"),
    [
        pytest.param("'two words'", "two words", id="a string"),
        pytest.param("new URLSearchParams({a: '1 2'})", "a=1+2", id="a form"),
        pytest.param("new Blob(['in a ', 'blob'])", "in a blob", id="a blob"),
        pytest.param("new TextEncoder().encode('bytes')", "bytes", id="bytes"),
    ],
)
def test_a_body_in_memory_is_sent_again_whole(tabs: Tabs, body: str, arrives: str) -> None:
    tab = tabs.member()
    tabs.token_runs_out()
    script = f"call('/service', {{method: 'POST', body: {body}}}).then(a => a.json())"
    assert tab.evaluate(script) == {"method": "POST", "body": arrives}


def test_a_head_request_is_understood_without_a_body(tabs: Tabs) -> None:
    tab = tabs.member()
    tabs.token_runs_out()
    assert tab.evaluate("call('/service', {method: 'HEAD'}).then(a => a.status)") == 200


# --- no fault reads as a sign-out


def test_an_outage_is_told_and_signs_nobody_out(tabs: Tabs) -> None:
    tab = tabs.member(spacing=0.5)
    tabs.token_runs_out()
    tabs.tell(down={"/api/users/token": 1})
    assert tab.evaluate(TWENTY) == [503] * 20
    assert tabs.asked()[TOKEN] == 1  # nobody hammers a server that just said 503
    assert tab.evaluate("session.state") == "signed-in"
    assert tab.evaluate(GET) == 200
    assert heard(tab) == ["signedin", "refreshed"]


def test_offline_is_an_error_and_online_all_is_well(tabs: Tabs) -> None:
    tab = tabs.member()
    tabs.token_runs_out()
    tabs.context.set_offline(True)
    for script in (GET, "session.load()", "session.signOut()"):
        with pytest.raises(Error, match="Failed to fetch"):
            tab.evaluate(script)
    assert tab.evaluate("session.state") == "signed-in"
    tabs.context.set_offline(False)
    assert tab.evaluate(GET) == 200
    assert "signedout" not in heard(tab)


def test_a_sign_out_that_failed_is_none(tabs: Tabs) -> None:
    tab = tabs.member()
    tabs.tell(down={"/api/users/logout": 1})
    assert tab.evaluate("session.signOut().catch(e => [e.name, e.status, e.code])") == [
        "AuthKitError",
        503,
        "unavailable",
    ]
    assert tab.evaluate("session.state") == "signed-in"
    assert tabs.cookie("refreshToken") is not None


def test_a_wrong_password_says_what_is_wrong(tabs: Tabs) -> None:
    tab = tabs.open()
    script = "session.signIn('ada@example.test', 'no').catch(e => [e.status, e.code, e.message])"
    assert tab.evaluate(script) == [
        401,
        "bad_credentials",
        "E-mail address or password is wrong.",
    ]


# --- over tabs


def test_a_sign_out_and_a_sign_in_reach_the_other_tab(tabs: Tabs) -> None:
    first, second = tabs.member(), tabs.open()
    assert second.evaluate("session.load()")["username"] == "ada"
    for tab in (first, second):
        assert heard(tab) == ["signedin"]

    first.evaluate("session.signOut()")
    until(second, "heard.includes('signedout')")
    assert tabs.context.cookies() == []
    for tab in (first, second):
        assert heard(tab) == ["signedout"]
        assert tab.evaluate("[session.state, session.user, session.expiresAt]") == [
            "signed-out",
            None,
            None,
        ]

    third = tabs.member()
    until(first, "heard.includes('signedin')")
    until(second, "heard.includes('signedin')")
    assert second.evaluate("session.user.username") == "ada"
    assert third.evaluate("session.expiresAt - Date.now()") == pytest.approx(3_600_000, abs=10_000)


def test_a_session_that_was_ended_elsewhere_is_noticed_in_all_tabs(sit: Sit) -> None:
    here, phone = sit(), sit()
    first, second = here.member(), here.open()
    second.evaluate("session.load()")
    phone.member().evaluate("call('/api/users/sessions', {method: 'DELETE'})")
    first.wait_for_timeout(1100)  # the poll interval
    here.token_runs_out()
    here.tell()
    assert first.evaluate(GET) == 401
    until(second, "heard.includes('signedout')")
    assert "signedout" in heard(first)
    assert here.asked()[TOKEN] == 1


def test_a_refusal_by_one_service_alone_is_no_sign_out(tabs: Tabs) -> None:
    """It says that nobody is signed in; the API says otherwise, and is believed."""
    tab = tabs.member()
    access = tabs.cookie("token") or ""
    tabs.context.clear_cookies()
    tabs.context.add_cookies(
        [{"name": "token", "value": access, "domain": "localhost", "path": "/api"}]
    )
    assert tab.evaluate("call('/service').then(a => a.json())")["code"] == "not_signed_in"
    assert tab.evaluate("session.state") == "signed-in"
    assert heard(tab) == ["signedin"]


# --- only to its own


class Recorder(BaseHTTPRequestHandler):
    """A neighbour on another port: browsers send it the same cookies, for they know no ports."""

    cookies: list[str | None] = []  # noqa: RUF012 - one server, one list

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("Cookie"))
        body = b'{"success": false, "code": "token_expired"}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin") or "*")
        self.send_header("Access-Control-Allow-Credentials", "true")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def neighbour() -> Iterator[str]:
    Recorder.cookies.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://localhost:{running.server_port}"
        running.shutdown()
        thread.join()


def test_another_origin_gets_no_request_and_no_cookie(tabs: Tabs, neighbour: str) -> None:
    """SECURITY F-04."""
    tab = tabs.member()
    tabs.tell()
    for script in (
        f"call('{neighbour}/')",
        f"session.webSocket('{neighbour}/ws')",
        f"session.eventSource('{neighbour}/')",
        "call(new Request('/service'))",
    ):
        assert tab.evaluate(
            f"async () => {{ try {{ await {script} }} catch (e) {{ return e.name }} }}"
        ) == ("TypeError")
    assert Recorder.cookies == []
    led = f"call('/elsewhere?to={quote(neighbour, safe='')}').then(answer => answer.status)"
    assert tab.evaluate(led) == 401
    assert Recorder.cookies == [None]  # a redirect leads there, without cookies
    assert tabs.asked()[TOKEN] == 0  # and what it says starts nothing


# --- live connections

SOCKET = """(path) => {
  window.socket = session.webSocket(path);
  window.told = [];
  window.codes = [];
  for (const type of ["open", "message", "reconnecting", "close"])
    socket.addEventListener(type, (event) => {
      told.push(type);
      if (type === "reconnecting") codes.push(event.detail.code);
      if (type === "message") window.said = event.data;
      if (type === "close") window.ended = [event.code, event.reason];
    });
}"""


def opens(tab: Any, times: int) -> None:
    until(tab, f"told.filter(one => one === 'open').length === {times}")


def test_a_socket_closed_with_4401_comes_back_with_a_new_token(tabs: Tabs) -> None:
    tab = tabs.member(spacing=0.5)
    tab.evaluate(SOCKET, "/service/ws")
    opens(tab, 1)
    tabs.token_runs_out()
    tabs.tell()
    tab.evaluate("socket.send('end')")
    opens(tab, 2)
    assert tabs.asked()[TOKEN] == 1
    tab.evaluate("socket.send('back again')")
    until(tab, "window.said === 'back again'")
    assert tab.evaluate("codes") == [4401]


def test_a_socket_that_broke_off_comes_back_without_a_refresh(tabs: Tabs) -> None:
    tab = tabs.member()
    tab.evaluate(SOCKET, "/service/ws")
    opens(tab, 1)
    tabs.tell()
    tab.evaluate("socket.send('crash')")
    until(tab, "told.includes('reconnecting')")
    assert tab.evaluate("async () => { try { socket.send('x') } catch (e) { return e.name } }") == (
        "InvalidStateError"
    )
    opens(tab, 2)
    assert tabs.asked()[TOKEN] == 0
    tab.evaluate("socket.close(4002, 'enough')")
    until(tab, "told.includes('close')")
    assert tab.evaluate("ended") == [4002, "enough"]


def test_a_socket_waits_out_an_outage_of_the_refresh(tabs: Tabs) -> None:
    tab = tabs.member(spacing=0.1)
    tab.evaluate(SOCKET, "/service/ws")
    opens(tab, 1)
    tabs.token_runs_out()
    tabs.tell(down={"/api/users/token": 1})
    tab.evaluate("socket.send('end')")
    opens(tab, 2)
    assert tabs.asked()[TOKEN] == 2


@pytest.mark.parametrize("path", ["/ws", "/service/ws"])
def test_a_socket_gives_up_when_signed_out_elsewhere(sit: Sit, path: str) -> None:
    """The guard closes it with 4401 (the first path), and there is nothing to come back with."""
    here, phone = sit(), sit()
    tab = here.member(spacing=0.5)
    tab.evaluate(SOCKET, path)
    opens(tab, 1)
    phone.member().evaluate("call('/api/users/sessions', {method: 'DELETE'})")
    if path == "/service/ws":
        here.token_runs_out()
        tab.evaluate("socket.send('end')")
    until(tab, "told.includes('close')")
    assert tab.evaluate("ended") == [4401, "signed out"]
    assert heard(tab)[-1] == "signedout"
    assert tab.evaluate("socket.readyState") == 3


def test_a_socket_ends_with_the_sign_out_in_another_tab(tabs: Tabs) -> None:
    first, second = tabs.member(), tabs.open()
    second.evaluate("session.load()")
    second.evaluate(SOCKET, "/ws")
    opens(second, 1)
    first.evaluate("session.signOut()")
    until(second, "told.includes('close')")
    assert second.evaluate("ended") == [4401, "signed out"]


def test_a_refused_handshake_ends_where_nobody_is_signed_in(tabs: Tabs) -> None:
    tab = tabs.open()
    tab.evaluate(SOCKET, "/ws")
    until(tab, "told.includes('close')")
    assert tab.evaluate("ended") == [4401, "signed out"]
    assert tab.evaluate("told") == ["reconnecting", "close"]


EVENTS = """() => {
  window.ticks = [];
  window.ends = [];
  window.stream = session.eventSource((id) => "/service/events?after=" + id);
  stream.addEventListener("tick", ({ data, lastEventId }) => ticks.push(data + lastEventId));
  stream.addEventListener("close", ({ code }) => ends.push(code));
}"""


def test_an_event_stream_goes_on_after_it_broke_off_and_after_a_refusal(tabs: Tabs) -> None:
    tab = tabs.member()
    tab.evaluate(EVENTS)
    until(tab, "ticks.length >= 4")  # two connections: the browser's own doing
    tabs.token_runs_out()
    tabs.tell()
    tab.evaluate("ticks.length = 0")
    until(tab, "ticks.length >= 4")  # refused in between
    assert tab.evaluate("ends") == []
    tab.evaluate("session.signOut()")
    until(tab, "ends.length")
    assert tab.evaluate("ends") == [4401]


def test_an_event_stream_ends_when_the_session_has(sit: Sit) -> None:
    here, phone = sit(), sit()
    tab = here.member()
    tab.evaluate(EVENTS)
    until(tab, "ticks.length")
    phone.member().evaluate("call('/api/users/sessions', {method: 'DELETE'})")
    tab.wait_for_timeout(1100)  # the poll interval
    here.token_runs_out()
    until(tab, "ends.length")
    assert tab.evaluate("ends") == [4401]
    assert heard(tab)[-1] == "signedout"


def test_the_example_of_the_documentation_runs(tabs: Tabs) -> None:
    page = (ROOT / "docs/client_js.md").read_text()
    example = page.split("```js\n")[1].split("```")[0]
    other, tab = tabs.member(), tabs.open()
    tab.add_script_tag(content=example, type="module")
    until(tab, "document.title === 'Hello, Ada'")
    other.evaluate("session.signOut()")
    tab.wait_for_url(tabs.server.url + "/user/login")
