"""What the guard remembers makes it quick, and changes no answer.

Made-up requests, one after the other, are asked of a guard that remembers, and of one that reads
each of them anew and slowly. Both have to say the same, to whoever asks and to the app.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from authkit_asgi import PathRules
from authkit_asgi.live import LIVE
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.requests import PATIENCE
from tests.middleware.knocking import (
    App,
    RawHeaders,
    ask,
    claims_in,
    shake_hands,
    visitor,
)
from tests.world import World, world

RULES = PathRules(
    public=["/", "/open", "/open/*"], auth=["/signin"], exclude=["/static/*"], login="/signin"
)
ROOT_AND_PATH = st.tuples(
    st.sampled_from(["", "", "", "/open", "/app"]),
    st.sampled_from(["/members", "/members", "/open", "/open/x", "/signin", "/static/x", "/"]),
)
SPELLED = st.sampled_from(["", "", "", "", "/", "//", "/..", ";x", "%2f", "/app", "\\", "é", " "])
METHODS = ["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "get"]

# What stands in a cookie. `ended` is good until its session is closed; `refresh` is over from the
# beginning, because an exchange in one answer would change the next one.
VALUES = ["ada", "bob", "ended", "forged", "ada as bob", "cut", "refresh", "junk", ""]
PAIR = st.tuples(
    st.sampled_from(["token"] * 4 + ["refreshToken", "Token", "xtoken", "token ", "\ttoken", ""]),
    st.sampled_from(VALUES),
)
COOKIE = st.tuples(
    st.lists(PAIR, min_size=1, max_size=4), st.sampled_from(["; ", "; ", ";", " ;\t", ", "])
)
COOKIES = st.one_of(
    st.sampled_from([[([("token", "ada")], "; ")], [([("token", "bob")], "; ")], []]),
    st.lists(COOKIE, max_size=3),
)
HEADERS = st.lists(
    st.sampled_from(
        [
            (b"sec-fetch-mode", b"navigate"),
            (b"sec-fetch-mode", b"cors"),
            (b"sec-fetch-site", b"same-origin"),
            (b"sec-fetch-site", b"cross-site"),
            (b"origin", b"http://localhost:8000"),
            (b"origin", b"https://evil.example"),
            (b"accept", b"text/html"),
            (b"accept", b"text/event-stream"),
            (b"hx-request", b"true"),
            (b"hx-current-url", b"http://localhost:8000/members"),
        ]
    ),
    max_size=4,
)


@dataclass(frozen=True)
class Asked:
    """`waits`: seconds before it. `ends`: the session of `ended` is over by then."""

    kind: str
    method: str
    root: str
    path: str
    cookies: Sequence[tuple[Sequence[tuple[str, str]], str]]
    more: Sequence[tuple[bytes, bytes]]
    cookie_first: bool
    waits: float
    ends: bool

    def headers(self, values: Mapping[str, bytes]) -> RawHeaders:
        cookies = [
            (b"cookie", glue.encode().join(b"%s=%s" % (n.encode(), values[v]) for n, v in pairs))
            for pairs, glue in self.cookies
        ]
        return [*cookies, *self.more] if self.cookie_first else [*self.more, *cookies]


ASKED = st.builds(
    lambda kind, method, place, spelled, cookies, more, first, waits, ends: Asked(
        kind, method, place[0], place[1] + spelled, cookies, more, first, waits, ends
    ),
    st.sampled_from(["http"] * 5 + ["websocket"]),
    st.sampled_from(METHODS),
    ROOT_AND_PATH,
    SPELLED,
    COOKIES,
    HEADERS,
    st.booleans(),
    st.sampled_from([0, 0, 0, 0, 0.5, 2, 1800]),
    st.sampled_from([False] * 9 + [True]),
)


def members(*cookies: Sequence[tuple[str, str]]) -> Asked:
    return Asked("http", "GET", "", "/members", [(c, "; ") for c in cookies], [], False, 0, False)


def after(seconds: float, *cookies: Sequence[tuple[str, str]]) -> Asked:
    return replace(members(*cookies), waits=seconds)


X = ("xtoken", "junk")
ADA, BOB, EVE, FORGED = ([("token", value)] for value in ("ada", "bob", "ended", "forged"))


class Forgetful(AuthMiddleware):
    """Takes the closer look at each request, as if it was the first."""

    async def __call__(self, scope: Scope, *call: Any) -> None:
        self._recognition._by_header.clear()
        self._recognition._by_token.clear()
        self._doors.clear()
        self._recall = lambda *_: None
        await super().__call__(scope, *call)


async def close(here: World, token: str) -> None:
    session = claims_in(here, token).session_id
    await here.kit.services.sessions.close(session, reason="sign_out", now=here.clock())


async def values_of(here: World) -> dict[str, bytes]:
    ada, bob, ended, gone = [await visitor(here, name) for name in ("ada", "bob", "eve", "joe")]
    await close(here, gone["token"])
    tokens = {name: one["token"] for name, one in (("ada", ada), ("bob", bob), ("ended", ended))}
    head, _, signature = (part.encode() for part in ada["token"].rpartition("."))
    return {
        **{name: token.encode() for name, token in tokens.items()},
        "forged": head + b"." + signature[::-1],
        "ada as bob": bob["token"].rpartition(".")[0].encode() + b"." + signature,
        "cut": ada["token"][:-1].encode(),
        "refresh": gone["refreshToken"].encode(),
        "junk": b"x.y.z",
        "": b"",
    }


async def said_to(guard: AuthMiddleware, app: App, asked: Asked, headers: RawHeaders) -> Any:
    """The answer, and what the app was told of the request."""
    app.seen.clear()
    if asked.kind == "websocket":
        sent = await shake_hands(guard, asked.path, headers=headers, root_path=asked.root)
    else:
        more: dict[str, Any] = {"method": asked.method, "root_path": asked.root}
        sent = (await ask(guard, asked.path, headers=headers, **more)).messages
    told = [
        {name: value for name, value in scope.items() if name not in (LIVE, PATIENCE)}
        for scope in app.seen
    ]
    return sent, told


async def alike(story: Sequence[Asked]) -> int:
    """How often somebody was let in by name."""
    let_in = 0
    async with world() as here:
        apps = App(), App()
        quick = AuthMiddleware(apps[0], kit=here.kit, rules=RULES)
        slow = Forgetful(apps[1], kit=here.kit, rules=RULES)
        values = await values_of(here)
        for asked in story:
            here.clock.pass_(seconds=asked.waits)
            if asked.ends:
                await close(here, values["ended"].decode())
            headers = asked.headers(values)
            for _ in range(2):  # the second time at the latest it is remembered
                fast = await said_to(quick, apps[0], asked, headers)
                assert fast == await said_to(slow, apps[1], asked, headers), asked
            let_in += any(scope["user"].is_authenticated for scope in fast[1] if "user" in scope)
    return let_in


@seed(1)
@settings(max_examples=100, deadline=None, database=None, phases=[Phase.generate])
@given(st.lists(ASKED, min_size=5, max_size=30))
def test_what_is_remembered_changes_no_answer(story: list[Asked]) -> None:
    """SECURITY T-18, C-07, P-10."""
    anyio.run(alike, story)


@pytest.mark.parametrize(
    ("story", "let_in"),
    [
        pytest.param([members(ADA)], 1, id="a token"),
        pytest.param([members(ADA), members(ADA, BOB)], 1, id="then another's beside it"),
        pytest.param([members(ADA), members(BOB, ADA)], 1, id="then another's before it"),
        pytest.param([members(ADA), members(FORGED, ADA)], 1, id="then a forged one before it"),
        pytest.param([members(ADA, []), members([]), members([], [])], 1, id="then none"),
        pytest.param([after(3599.5, ADA), after(0.5, ADA)], 1, id="then it is over"),
        pytest.param(
            [after(3599.5, ADA), after(0.5, [*ADA, X])], 1, id="then it is over, beside x"
        ),
        pytest.param([members(EVE), replace(members(EVE), ends=True)], 1, id="then it is closed"),
    ],
)
def test_nobody_gets_in_by_what_another_request_left_behind(
    story: list[Asked], let_in: int
) -> None:
    """SECURITY T-17, T-18, C-07."""
    assert anyio.run(alike, story) == let_in
