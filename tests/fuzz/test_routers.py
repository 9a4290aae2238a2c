"""Made-up requests against each framework's own router, with the guard around it, in one process.

The guard and the router each read the path. Whatever the one makes of it, no stranger may reach
what the other takes for a protected handler.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from authkit_asgi.core.identity import ANONYMOUS
from authkit_asgi.middleware import MAX_DOORS, AuthMiddleware
from authkit_asgi.testing import quick_kit
from tests.fuzz.mutating import EXAMPLES, SEED, without_growth
from tests.matrix.cells import FRAMEWORKS
from tests.matrix.marks import MEMBERS, REACHED, RULES
from tests.matrix.targets import ROOTED, SOCKET_TARGETS, TARGETS

# What the frameworks warn of is theirs: files they leave open, say.
pytestmark = pytest.mark.filterwarnings("ignore")

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
METHODS = ["GET"] * 12 + ["HEAD", "OPTIONS", "POST", "get", "FOO", "TRACE", "CONNECT", "PUT"]
ROOTS = [*[""] * 10, "/rooted", "/pub", "/open", "/open/", "pub", "/", "/any", "/admin", "/mounted"]

PROTECTED = [
    *("/admin", "/admin/panel", "/slash/", "/any/x", "/item/x", "/mounted/admin", "/ws"),
    *("/mounted/inner/x", "/files/secret.txt", "/mounted/ws"),
]
BEFORE = [""] * 16 + ["/open", "/open/..", "/pub", "/rooted", "/", "/open/x", "/.", "/static/.."]
BEHIND = [""] * 16 + ["/", ";x", "/.", "/..", "?", "/open/page", "%0a", "%20"]
CHANGES: list[Callable[[str], str]] = [
    lambda letter: "".join(f"%{byte:02x}" for byte in letter.encode()),
    lambda letter: "".join(f"%25{byte:02x}" for byte in letter.encode()),
    lambda letter: letter * 2,
    str.upper,
    lambda letter: "",
]


def made_up(dice: random.Random) -> Ask:
    """A scope's keys, as a server makes them of one target, or as none would."""
    target = free(dice) if dice.random() < 0.3 else disguised(dice)
    raw = target.encode(errors="surrogatepass")
    path = unquote_to_bytes(raw).decode(errors="replace")
    return ask(
        path,
        raw_path=dice.choice((raw, raw, None, b"/open/page")),
        root_path=dice.choice(ROOTS) if dice.random() < 0.9 else piece_of(path, dice),
        method=dice.choice(METHODS),
        type=dice.choice(("http", "http", "http", "http", "websocket")),
    )


def free(dice: random.Random) -> str:
    target = dice.choice(["/"] * 9 + ["", "//", "http://localhost/", "@", "*"])
    for _ in range(dice.randrange(6)):
        match dice.randrange(5):
            case 0:
                target += dice.choice(ODD)
            case 1:
                target += chr(dice.choice((dice.randrange(256), dice.randrange(0x110000))))
            case 2:
                target += dice.choice(WORDS).upper()
            case _:
                target += dice.choice(WORDS)
        target += dice.choice(GLUE)
    return target


def disguised(dice: random.Random) -> str:
    """A protected path, behind what may pass for something else, and with some letters changed."""
    target = dice.choice(BEFORE) + dice.choice(PROTECTED) + dice.choice(BEHIND)
    for _ in range(dice.randrange(3)):
        at = dice.randrange(len(target))
        target = target[:at] + dice.choice(CHANGES)(target[at]) + target[at + 1 :]
        if dice.random() < 0.5:
            at = dice.randrange(len(target) + 1)
            target = target[:at] + dice.choice(ODD) + target[at:]
    return target


def piece_of(path: str, dice: random.Random) -> str:
    begin = dice.randrange(len(path) + 1)
    return path[begin : dice.randrange(begin, len(path) + 1)]


def ask(path: str, **changes: Any) -> Ask:
    raw_path = path.encode(errors="surrogatepass")
    asked: Ask = {"type": "http", "method": "GET", "root_path": "", "raw_path": raw_path}
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


# Each of these once reached a protected handler.
FOUND = [
    ask("/open/x/pub/admin", root_path="/pub"),  # Litestar cuts at the first root
    ask("/pub/admin", root_path="pub"),
    ask("/pub/ws", root_path="pub", type="websocket"),
    ask("/open/ ../admin"),  # where blanks are dropped
    ask("/open/. ./admin"),
    ask("/open/.. /admin"),
    ask("/pub/ / /"),
]


def known() -> Iterator[Ask]:
    """What was found so far, and what is sent to real servers."""
    yield from FOUND
    for target in (*TARGETS, *SOCKET_TARGETS):
        yield ask(unquote_to_bytes(target).decode(errors="replace"), raw_path=target)
    for root, target in ROOTED:
        yield ask(target.decode(), root_path=root.decode())


def asks(examples: int) -> Iterator[Ask]:
    yield from known()
    dice = random.Random(f"{SEED}/routers")
    for _ in range(examples):
        yield made_up(dice)


def test_no_router_leads_a_stranger_to_a_protected_handler(
    guards: Mapping[str, AuthMiddleware], loop: asyncio.Runner
) -> None:
    """SECURITY P-05, P-10, P-21, D-04. No exception leaves the guard, and little is remembered."""

    async def ask_all(asks: Iterator[Ask]) -> None:
        for asked in asks:
            for name, guard in guards.items():
                assert await reached(guard, asked) == [], (name, asked)

    loop.run(ask_all(asks(3000)))  # what the frameworks themselves remember is there then
    with without_growth():
        loop.run(ask_all(asks(EXAMPLES)))
    assert all(len(guard._doors) <= MAX_DOORS for guard in guards.values())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_made_up_does_lead_there_without_a_guard(
    sites: Mapping[str, Any], loop: asyncio.Runner, framework: str
) -> None:
    async def count() -> int:
        dice = random.Random("framework")
        led = [await reached(sites[framework], made_up(dice)) for _ in range(500)]
        return sum(map(bool, led))

    assert loop.run(count()) > 10
