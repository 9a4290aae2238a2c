"""Litestar: its routes know their own parts. Static files are routes with the rest of a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from authkit_asgi.inspecting import ANY, REST, Found, Walk

KINDS = {"HTTPRoute": "http", "WebSocketRoute": "websocket", "ASGIRoute": "mount"}


def routes_of(app: Any, prefix: str, walk: Walk) -> Iterator[Found]:
    for route in app.routes:
        kind = KINDS[type(route).__name__]
        segments = tuple(_segment(part) for part in route.path_components) or ("",)
        if kind == "mount" and getattr(route.route_handler, "is_mount", False):
            segments = (*segments, REST)
        yield Found(
            path=prefix + route.path,
            segments=(*prefix.split("/")[1:], *segments),
            kind=kind,
            methods=tuple(sorted(map(str, getattr(route, "methods", ())))),
        )


def _segment(part: Any) -> str:
    if isinstance(part, str):
        return part
    return REST if part.type is Path else ANY
