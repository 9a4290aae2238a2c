"""authkit.js as a file: where it is served, and what its types say of it. tests/browser runs it."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.world import world

SCRIPT, TYPES = (
    files("authkit_asgi").joinpath("client/js", name).read_text()
    for name in ("authkit.js", "authkit.d.ts")
)
CLASS = re.compile(
    r"^(?:export )?(?:class|interface) (\w+)[^{]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
MEMBER = re.compile(r"^  (?:async |get |readonly )*([a-zA-Z]\w*)(?=\(|<|:| =)", re.MULTILINE)


async def test_the_pages_serve_it_and_the_browser_asks_whether_it_changed() -> None:
    async with world() as w, w.browser() as browser:
        answer = await browser.get("/user/assets/authkit.js")
        assert (answer.status_code, answer.text) == (200, SCRIPT)
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        known = {"if-none-match": answer.headers["etag"]}
        again = await browser.get("/user/assets/authkit.js", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        for hidden in ("flow.py", "../flow.py", "%2e%2e/flow.py"):
            assert (await browser.get(f"/user/assets/{hidden}")).status_code in (401, 404)


def test_it_needs_nothing_else() -> None:
    """SECURITY F-03."""
    assert "import" not in SCRIPT
    assert "://" not in SCRIPT.replace('`${protocol.replace(/^ws/, "http")}://${host}`', "")


def test_it_keeps_nothing_but_the_lease() -> None:
    """SECURITY F-02: it cannot see a token, and stores nothing that it sees."""
    stored = re.findall(r"(\w+Storage)\.setItem\((.+)\)", SCRIPT)
    assert stored == [("localStorage", "name, `${mine} ${Date.now() + LEASE}`")]
    assert "document.cookie" not in SCRIPT


def exports(text: str) -> set[str]:
    return set(re.findall(r"^export (?:const|class|function) (\w+)", text, re.MULTILINE))


def members(text: str) -> dict[str, set[str]]:
    return {name: set(MEMBER.findall(body)) - {"constructor"} for name, body in CLASS.findall(text)}


def test_the_types_name_what_is_there() -> None:
    assert exports(TYPES) == exports(SCRIPT) == {"AuthKitError", "Session", "session", "apiCall"}


@pytest.mark.parametrize("name", ["Session", "LiveSocket", "Live"])
def test_the_types_know_every_member(name: str) -> None:
    inherited = {"addEventListener"}
    inner = {"keep", "closed"}  # between the classes of the script
    there = members(SCRIPT)[name] - inner
    assert members(TYPES)[name] - inherited == there - inherited
