"""Quart: Werkzeug's map of rules, WebSockets and the static folder among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from authkit_asgi.inspecting import ANY, REST, Found, Walk, segments_of

CONVERTER = re.compile(r"<(?:(?P<kind>\w+)[^:>]*:)?\w+>")


def routes_of(app: Any, prefix: str, walk: Walk) -> Iterator[Found]:
    for rule in app.url_map.iter_rules():
        path = prefix + rule.rule
        yield Found(
            path=path,
            segments=segments_of(path, _segment),
            kind="websocket" if rule.websocket else "http",
            methods=() if rule.websocket else tuple(sorted(rule.methods or ())),
        )


def _segment(part: str) -> str:
    found = CONVERTER.search(part)
    if found is None:
        return part
    return REST if found["kind"] == "path" else ANY
