"""Cookie headers: none but the exact cookie is ever read, and none but the exact token lets in."""

from __future__ import annotations

import logging

import anyio
import pytest

from authkit_asgi.web.cookies import (
    MAX_HEADER_BYTES,
    MAX_PAIRS,
    read_cookies,
    rewrite_cookie_header,
    values_in,
)
from tests.fuzz.mutating import EXAMPLES, mutations, without_growth
from tests.middleware.knocking import App, ask, visitor
from tests.world import world

NAMES = (b"token", b"refreshToken")
WORDS = (b"token", b"refreshToken", b"token=", b"; token=a", b"=", b";", b"; ", b" ", b"\t", b"a=1")
FOUND = [  # what earlier readers, ours and others', took for a cookie of ours
    b"token=token=a",
    b"a=token=b; token=c",
    b";token=a;;token=a",
    b"token;token=a",
    b"a token=b",
    b"=token=x; refreshToken=y",
    b"\xe2\x80\x80token=x",
    b'a="; token=x"; refreshToken=y',
    b'token="\\141"',
    b"$Version=1; token=x; $Path=/",
    b"token=x, token=y",
]
CORPUS = [*FOUND, b"token=aaa; refreshToken=bbb", b"theme=dark; token=aaa; lang=en; _ga=GA1.2"]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "authkit_asgi")


def split_reading(header: bytes, names: tuple[bytes, ...]) -> tuple[bytes | None, ...]:
    """The slow and obvious way to read a Cookie header (RFC 6265bis section 5.7)."""
    nothing = (None,) * len(names)
    if len(header) > MAX_HEADER_BYTES or header.count(b";") >= MAX_PAIRS:
        return nothing
    found: dict[bytes, set[bytes]] = {}
    for part in header.split(b";"):
        name, equals, value = part.strip(b" \t").partition(b"=")
        if equals:
            found.setdefault(name.rstrip(b" \t"), set()).add(value.lstrip(b" \t"))
    if any(len(found.get(name, ())) > 1 for name in names):
        return nothing
    return tuple(next(iter(found.get(name, (None,)))) for name in names)


def test_a_header_is_read_as_by_the_slow_and_obvious_way() -> None:
    """C-06, C-07, C-08, C-09, and B-09."""
    with without_growth():
        for header in mutations("cookies", CORPUS, WORDS):
            expected = split_reading(header, NAMES)
            assert values_in(header, NAMES) == expected, header
            # HTTP/2 may cut it at any pair.
            cut = [(b"cookie", part) for part in header.split(b"; ")]
            assert read_cookies(cut, NAMES) == expected, header


def test_what_the_app_is_told_is_read_by_the_next_guard() -> None:
    """C-08: whatever stood there, after a refresh the new tokens stand there, and only they."""
    new = {NAMES[0]: b"new-access", NAMES[1]: b"new-refresh"}
    for header in mutations("rewriting", CORPUS, WORDS):
        if len(header) > MAX_HEADER_BYTES - 100 or header.count(b";") >= MAX_PAIRS - 3:
            continue
        rewritten = rewrite_cookie_header([(b"cookie", header)], new)
        assert read_cookies(rewritten, NAMES) == tuple(new.values()), header


async def _knock() -> int:
    admitted = 0
    async with world() as here:
        tokens = await visitor(here)
        good = tokens["token"].encode()
        app = App()
        guard = here.kit.wrap(app)
        corpus = [*CORPUS, b"token=" + good, b"a=1; token=" + good + b"; token=" + good]
        seen = 0
        with without_growth():
            for header in mutations("knocking", corpus, WORDS, EXAMPLES):
                app.seen.clear()
                answer = await ask(guard, "/members", headers=[(b"cookie", header)])
                mine = split_reading(header, NAMES)[0] == good
                assert (answer.status == 200) is mine, header
                assert answer.status in (200, 401), header
                assert bool(app.seen) is mine, header
                admitted += mine
                seen += 1
        assert seen > EXAMPLES
    return admitted


def test_only_the_exact_token_in_the_exact_cookie_lets_in() -> None:
    """C-08, T-20, T-17, D-04: by the guard itself, with what it remembers in between."""
    assert anyio.run(_knock) > 0
