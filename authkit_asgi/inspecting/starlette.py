"""Starlette and FastAPI: routes, mounts within mounts, included routers, static files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from authkit_asgi.inspecting import ANY, REST, Found, Walk, mounted, segments_of

PARAMETER = re.compile(r"\{(?P<name>\w+)(?::(?P<kind>\w+))?\}")


def routes_of(app: Any, prefix: str, walk: Walk) -> Iterator[Found]:
    router = getattr(app, "router", app)
    for route, kind in _flat(router.routes):
        path = prefix + str(getattr(route, "path", ""))
        if issubclass(kind, Mount):
            yield from _mount(route.app, path, walk)
        elif issubclass(kind, WebSocketRoute):
            yield Found(path=path, segments=segments_of(path, _segment), kind="websocket")
        elif issubclass(kind, Route):
            methods = tuple(sorted(route.methods or ()))
            yield Found(path=path, segments=segments_of(path, _segment), methods=methods)
        else:  # `Host`, or a kind of the app's own: it may answer to anything
            named = f"{prefix}/ ({kind.__module__}.{kind.__name__})"
            yield Found(path=named, segments=(*prefix.split("/")[1:], REST), kind="unreadable")
    # FastAPI's built front ends come after all routes.
    for group in getattr(router, "_low_priority_routes", ()):
        for one in getattr(group, "routes", (group,)):
            yield mounted(prefix + one.path.rstrip("/"))


def _flat(routes: Any) -> Iterator[tuple[Any, type]]:
    """Each route with its type. FastAPI keeps included routers in one piece, and takes them apart
    for whoever asks."""
    take_apart = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    if take_apart is None:
        yield from ((route, type(route)) for route in routes)
    else:
        for context in take_apart(routes):
            yield context, type(context.original_route)


def _mount(app: Any, path: str, walk: Walk) -> Iterator[Found]:
    app = getattr(app, "app", app) if type(app).__module__.startswith("fastapi.") else app
    if isinstance(app, StaticFiles):
        yield mounted(path)
    else:
        yield from walk(app, path)


def _segment(part: str) -> str:
    found = PARAMETER.search(part)
    if found is None:
        return part
    return REST if found["kind"] == "path" else ANY
