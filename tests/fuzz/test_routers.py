"""Made-up requests against each framework's own router, with the guard around it, in one process.

The guard and the router each read the path. Whatever the one makes of it, no stranger may reach
what the other takes for a protected handler. AUTHKIT_FUZZ_EXAMPLES says how many are made up.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from authkit_asgi.core.identity import ANONYMOUS
from authkit_asgi.core.paths import MAX_DECIDED
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.testing import quick_kit
from tests.matrix.cells import FRAMEWORKS
from tests.matrix.marks import MEMBERS, REACHED, RULES
from tests.matrix.targets import KNOCKS, ROOTED, SOCKET_TARGETS, TARGETS

# What the frameworks warn of is theirs: files they leave open, say.
pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLES = int(os.environ.get("AUTHKIT_FUZZ_EXAMPLES", "10000"))
Ask = dict[str, Any]

WORDS = [
    *("admin", "open", "page", "pub", "any", "mounted", "inner", "files", "secret.txt", "static"),
    *("closed", "item", "slash", "panel", "ws", "x", "rooted", "user", "login", "api", "users"),
]
ODD = [
    *("", ".", "..", "...", ";", ";x=1", "\\", "..\\", "%2e", "%2e%2e", "%2f", "%5c", "%00", "%0a"),
    *("%25", "%252e", "%61dmin", "%2561dmin", "%ff", "%c0%af", "%3b", "%3f", "%23", "@", "*", "#"),
    *("\n", "\r", "\x00", "\t", " ", "\x7f", "\x85", "é", "ı", "\u200b", "\u2028", "\ufffd", "／"),
]
GLUE = ["/"] * 12 + ["//", "", "/./", "/../", "\\", "%2f", ";/", "/%2e%2e/", "/..;/"]
METHODS = ["GET"] * 6 + ["HEAD", "OPTIONS", "POST", "get", "FOO", "TRACE", "CONNECT", "PUT"]
ROOTS = ["", "", "", "/rooted", "/pub", "/open", "/open/", "pub", "/", "/any", "/admin", "/mounted"]

PROTECTED = [
    *("/admin", "/admin/panel", "/slash/", "/any/x", "/item/x", "/mounted/admin", "/ws"),
    *("/mounted/inner/x", "/files/secret.txt", "/mounted/ws"),
]
BEFORE = [""] * 8 + ["/open", "/open/..", "/pub", "/rooted", "/", "/open/x", "/.", "/static/.."]
BEHIND = [""] * 6 + ["/", ";x", "/.", "/..", "?", "/open/page", "%0a", "%20"]
CHANGES: list[Callable[[str], str]] = [
    lambda letter: "".join(f"%{byte:02x}" for byte in letter.encode()),
    lambda letter: "".join(f"%25{byte:02x}" for byte in letter.encode()),
    lambda letter: letter * 2,
    str.upper,
    lambda letter: "",
]

word = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(str.upper),
    st.sampled_from(ODD),
    st.text(max_size=4),
)


@st.composite
def free(draw: st.DrawFn) -> str:
    target: str = draw(st.sampled_from(["/"] * 9 + ["", "//", "http://localhost/", "@", "*"]))
    for one in draw(st.lists(word, max_size=5)):
        target += one + draw(st.sampled_from(GLUE))
    return target


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """A protected path, behind what may pass for something else, and with some letters changed."""
    target: str = draw(st.sampled_from(BEFORE)) + draw(st.sampled_from(PROTECTED))
    target += draw(st.sampled_from(BEHIND))
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=2)):
        at = draw(st.integers(0, len(target) - 1))
        target = target[:at] + change(target[at]) + target[at + 1 :]
        if draw(st.booleans()):
            at = draw(st.integers(0, len(target)))
            target = target[:at] + draw(st.sampled_from(ODD)) + target[at:]
    return target


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """A scope's keys, as a server makes them of one target, or as none would."""
    target = draw(st.one_of(disguised(), disguised(), free()))
    raw = target.encode(errors="surrogatepass")
    path = unquote_to_bytes(raw).decode(errors="replace")
    root = draw(st.sampled_from([*ROOTS, None]))
    if root is None:  # a piece of the path itself
        begin = draw(st.integers(0, len(path)))
        root = path[begin : draw(st.integers(begin, len(path)))]
    return ask(
        path,
        raw_path=draw(st.sampled_from([raw, raw, None, b"/open/page"])),
        root_path=root,
        method=draw(st.sampled_from(METHODS)),
        type=draw(st.sampled_from(["http"] * 4 + ["websocket"])),
    )


def ask(path: str, **changes: Any) -> Ask:
    raw_path = path.encode(errors="surrogatepass")
    asked = {"type": "http", "method": "GET", "root_path": "", "raw_path": raw_path}
    return {**asked, "path": path, **changes}


@pytest.fixture(scope="module")
def sites() -> Iterator[Mapping[str, Any]]:
    """Each framework's router, without a guard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHKIT_BASE_URL", "http://localhost:8000")
        patch.setenv("AUTHKIT_DATABASE_URL", "memory:")
        for name in ("AUTHKIT_TOKEN_SECRET", "AUTHKIT_REFRESH_TOKEN_SECRET"):
            patch.setenv(name, secrets.token_urlsafe(40))
        yield {one: import_module(f"tests.matrix.sites.{one}").site for one in FRAMEWORKS}


@pytest.fixture(scope="module")
def guards(sites: Mapping[str, Any]) -> Mapping[str, AuthMiddleware]:
    return {name: quick_kit().wrap(site, RULES) for name, site in sites.items()}


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Nothing that they left open is found by a later test."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.collect()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def reached(app: Any, asked: Ask) -> list[str]:
    """What of the protected handlers was reached: by what they noted, and by what came back."""
    REACHED.clear()
    said: list[bytes] = []
    scope = {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http" if asked["type"] == "http" else "ws",
        "query_string": b"",
        "headers": [(b"host", b"localhost:8000")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
        "state": {},
        "user": ANONYMOUS,
        "auth": ANONYMOUS.credentials,
        **asked,
    }
    heard = ["websocket.connect"] if asked["type"] == "websocket" else ["http.request"]

    async def receive() -> dict[str, Any]:
        if heard:
            return {"type": heard.pop(), "body": b"", "more_body": False}
        if asked["type"] == "websocket":
            return {"type": "websocket.disconnect", "code": 1000}
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message.get("body") or str(message.get("text") or "").encode())

    try:
        async with asyncio.timeout(20):
            await app(scope, receive, send)
    except Exception as error:
        # A framework may stumble over what no server would send; the guard may not.
        if "/authkit_asgi/" in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
    told = [text.decode("latin-1") for text in said if MEMBERS.encode() in text]
    return [*REACHED, *told]


def each(function: Any) -> Any:
    """With all that was found so far, and all that is sent to real servers."""
    for target in (*TARGETS, *SOCKET_TARGETS):
        path = unquote_to_bytes(target).decode(errors="replace")
        function = example(ask(path, raw_path=target))(function)
    for root, target in ROOTED:
        function = example(ask(target.decode(), root_path=root.decode()))(function)
    for found in FOUND:
        function = example(found)(function)
    return function


# Each of these once reached a protected handler.
FOUND = [
    ask("/open/x/pub/admin", root_path="/pub"),  # Litestar cuts at the first root
    ask("/pub/admin", root_path="pub"),
    ask("/pub/ws", root_path="pub", type="websocket"),
    ask("/open/ ../admin"),  # where blanks are dropped
    ask("/open/. ./admin"),
    ask("/open/.. /admin"),
]


@each
@given(asked=asks())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
def test_no_router_leads_a_stranger_to_a_protected_handler(
    guards: Mapping[str, AuthMiddleware], loop: asyncio.Runner, asked: Ask
) -> None:
    """SECURITY P-05, P-10, P-21. No exception leaves the guard, and little is remembered."""

    async def ask_all() -> None:
        for name, guard in guards.items():
            assert await reached(guard, asked) == [], name
            assert len(guard.rules.decided) <= MAX_DECIDED

    loop.run(ask_all())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_made_up_does_lead_there_without_a_guard(
    sites: Mapping[str, Any], loop: asyncio.Runner, framework: str
) -> None:
    led = 0

    @given(asked=asks())
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def count(asked: Ask) -> None:
        nonlocal led
        led += bool(loop.run(reached(sites[framework], asked)))

    count()
    assert led >= 10


def test_the_corpus_holds_what_is_sent_to_servers() -> None:
    assert {knock.target for knock in KNOCKS} >= set(TARGETS)
