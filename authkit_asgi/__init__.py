"""Authentication for any ASGI application. The few names that most people need."""

from __future__ import annotations

from authkit_asgi.about import __version__
from authkit_asgi.core.identity import Identity
from authkit_asgi.core.paths import PathRules
from authkit_asgi.kit import AuthKit
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.settings import Settings, SettingsError

__all__ = [
    "AuthKit",
    "AuthMiddleware",
    "Identity",
    "PathRules",
    "Settings",
    "SettingsError",
    "__version__",
]
