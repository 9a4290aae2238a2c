"""From an app as a server gets it to its guard, and to every route behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authkit_asgi.core.paths import PathRules
from authkit_asgi.inspecting import Found, Reader, UnknownApp, django, litestar, mounted, quart
from authkit_asgi.inspecting import starlette as starlette_
from authkit_asgi.middleware import AuthMiddleware

# By package and name of the type, or of one that it inherits from.
READERS: Mapping[str, Reader] = {
    "starlette.Starlette": starlette_.routes_of,
    "starlette.Router": starlette_.routes_of,
    "litestar.Litestar": litestar.routes_of,
    "quart.Quart": quart.routes_of,
    "django.ASGIHandler": django.routes_of,
}
KNOWN = "Starlette, FastAPI, Litestar, Quart and Django"
DEPTH = 20  # middleware around middleware
WRAPPED = ("app", "application", "asgi_app")  # where others keep the app that they wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`rules` are those that the guard goes by; `routes` are all that stand behind it, and `own`
    those among them that the kit brings."""

    rules: PathRules
    routes: tuple[Found, ...]
    own: frozenset[Found]


def site_of(app: Any) -> Site:
    """Raises `UnknownApp`, where there is no guard, or its routes cannot be read."""
    rules, inner, beside = _guarded(app)
    own = tuple(found for one, prefix in beside for found in walked(one, prefix))
    try:
        routes = tuple(walked(inner, ""))
    except Exception as error:  # a URLconf that cannot be imported, say
        why = f"{type(error).__name__}: {error}"
        raise UnknownApp(f"The routes of {_name(inner)} cannot be read: {why}") from error
    if not any(_reader(one) for one in _layers(inner)):
        raise UnknownApp(
            f"The routes of {_name(inner)} cannot be read: "
            f"only those of {KNOWN} can. `authkit-asgi explain` works for any app."
        )
    return Site(rules=rules, routes=(*routes, *own), own=frozenset(own))


def rules_of(app: Any) -> PathRules:
    """Raises `UnknownApp` where there is no guard."""
    return _guarded(app)[0]


def walked(app: Any, prefix: str) -> Iterator[Found]:
    """Every route of an app, or the one mount where it cannot be looked into."""
    for one in _layers(app):
        reader = _reader(one)
        if reader is not None:
            yield from reader(one, prefix, walked)
            return
    yield mounted(prefix)


def _guarded(app: Any) -> tuple[PathRules, Any, tuple[tuple[Any, str], ...]]:
    """The guard's rules, the app behind it, and what the kit has put beside that."""
    for one in _layers(app):
        if isinstance(one, AuthMiddleware):
            return one.rules, one.wrapped, one.beside
        # Starlette builds its middleware when it first runs: `add_middleware` left it a list.
        for entry in getattr(one, "user_middleware", ()):
            if entry.cls is AuthMiddleware:
                guard = AuthMiddleware(one, *entry.args, **entry.kwargs)
                return guard.rules, one, ()
    raise UnknownApp(
        f"There is no AuthMiddleware around {_name(app)}: nothing guards it. "
        "Name what the server is given, as in app = kit.wrap(my_app, rules)."
    )


def _name(app: Any) -> str:
    named = app if hasattr(app, "__qualname__") else type(app)
    return f"{named.__module__}.{named.__qualname__}"


def _layers(app: Any) -> Iterator[Any]:
    """The app, and what it wraps, and so on: the outermost first."""
    for _ in range(DEPTH):
        if app is None:
            return
        yield app
        if _reader(app) is not None:
            return
        wrapped = "wrapped" if isinstance(app, AuthMiddleware) else None
        names = (wrapped,) if wrapped else WRAPPED
        app = next((found for name in names if callable(found := getattr(app, name, None))), None)


def _reader(app: Any) -> Reader | None:
    names = (f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(app).__mro__)
    return next((READERS[name] for name in names if name in READERS), None)
