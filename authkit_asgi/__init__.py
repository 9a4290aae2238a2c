"""Authentication for any ASGI application. The few names that most people need.

Each is loaded when it is first asked for, so that `authkit_asgi.client` alone brings nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authkit_asgi.about import __version__
    from authkit_asgi.core.identity import Identity
    from authkit_asgi.core.paths import PathRules, Rule
    from authkit_asgi.guarding import guard
    from authkit_asgi.kit import AuthKit
    from authkit_asgi.middleware import AuthMiddleware
    from authkit_asgi.settings import Settings, SettingsError

HOMES = {
    "AuthKit": "kit",
    "AuthMiddleware": "middleware",
    "Identity": "core.identity",
    "PathRules": "core.paths",
    "Rule": "core.paths",
    "Settings": "settings",
    "SettingsError": "settings",
    "__version__": "about",
    "guard": "guarding",
}

__all__ = [
    "AuthKit",
    "AuthMiddleware",
    "Identity",
    "PathRules",
    "Rule",
    "Settings",
    "SettingsError",
    "__version__",
    "guard",
]


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"authkit_asgi has no {name!r}")
    return getattr(import_module(f"authkit_asgi.{HOMES[name]}"), name)
