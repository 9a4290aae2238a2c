"""Ways back: whatever passes leads to a page of this site, in every browser and proxy."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from authkit_asgi.core.paths import MAX_NEXT, safe_next
from tests.fuzz.mutating import mutations, without_growth

WORDS = (
    b"/",
    b"//",
    b"\\",
    b"/\\",
    b"/..",
    b"/.",
    b"evil.example",
    b"//evil.example",
    b"https:",
    b"javascript:alert(1)",
    b"@",
    b"%2f",
    b"%5c",
    b"%252f",
    b"%09",
    b"?next=",
    b"#",
    b":80",
)
FOUND = [
    b"//evil.example",
    b"/\\evil.example",
    b"/\t/evil.example",
    b"/..//evil.example",
    b"/%2fevil.example",
    b"/a/..//evil.example",
    b"/%2e%2e//evil.example",
    b"///evil.example",
    b"/;//evil.example",
]
CORPUS = [*FOUND, b"/", b"/dashboard", b"/a/b?c=d&e=f#g", b"/user/dashboard/settings"]
SITE = "https://app.example.com"


def as_browsers_do(target: str) -> str:
    """The host that a browser goes to (WHATWG URL, "basic URL parser", as far as it matters)."""
    target = re.sub(r"[\t\n\r]", "", target.strip("".join(map(chr, range(33)))))
    path = re.split("[?#]", target, maxsplit=1)[0]
    return str(urlsplit(urljoin(SITE, path.replace("\\", "/") + target[len(path) :])).netloc)


def readings(target: str) -> list[str]:
    """As it is, and as proxies may make it that decode or tidy up what they pass on."""
    path = target.partition("?")[0].partition("#")[0]
    decoded = unquote_to_bytes(path).decode("latin-1")
    # POSIX leaves two slashes at the start as they are: exactly what must not be.
    return [target, decoded, posixpath.normpath(path), posixpath.normpath(decoded)]


def test_what_passes_stays_on_this_site() -> None:
    """R-01, R-07, and B-09."""
    passed = 0
    with without_growth():
        for raw in mutations("next", CORPUS, WORDS):
            target = raw.decode("latin-1")
            way = safe_next(target)
            if way is None:
                continue
            passed += 1
            assert way == target
            assert len(way) <= MAX_NEXT
            assert way.isascii()
            assert not set(way) & set(" \\\t\r\n\0\x7f"), way
            for reading in readings(way):
                assert as_browsers_do(reading) == "app.example.com", (way, reading)
    assert passed
