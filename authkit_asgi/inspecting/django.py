"""Django: the tree of URL patterns. A view answers to every method.

A regular expression is read as far as its letters go; what follows may be anything.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from authkit_asgi.inspecting import ANY, REST, Found, Walk, segments_of

CONVERTER = re.compile(r"<(?:(?P<kind>\w+):)?\w+>")
LETTER = re.compile(r"([\w/@~ -]|\\[./-])|.", re.DOTALL)  # as it is, or with a backslash
AT_THE_END = ("", "$", r"\Z", r"\z")


def routes_of(app: Any, prefix: str, walk: Walk) -> Iterator[Found]:
    resolver = sys.modules["django.urls"].get_resolver()
    for path in _paths(resolver.url_patterns, f"{prefix}/"):
        yield Found(path=path, segments=segments_of(path, _segment))


def _paths(patterns: Any, before: str) -> Iterator[str]:
    for one in patterns:
        path = before + _written(one.pattern)
        below = getattr(one, "url_patterns", None)
        if below is None or path.endswith(REST):  # nothing is known of what comes after it
            yield path
        else:
            yield from _paths(below, path)


def _written(pattern: Any) -> str:
    expression = getattr(pattern, "_regex", None)
    if expression is None or hasattr(pattern, "_route"):
        return str(pattern)  # a plain route, or the prefix of a language
    text = str(expression).removeprefix("^")
    letters = "".join(takewhile(str, LETTER.findall(text)))
    if text.removeprefix(letters) in AT_THE_END:
        return letters.replace("\\", "")
    # Up to the last slash: the letter before a `?` or `*` may be missing.
    whole, slash, _ = letters.replace("\\", "").rpartition("/")
    return f"{whole}{slash}{REST}"


def _segment(part: str) -> str:
    if part == REST:
        return REST
    found = CONVERTER.search(part)
    if found is None:
        return part
    return REST if found["kind"] == "path" else ANY
