"""The Python client of an API that authkit-asgi guards: a transport that stays signed in.

`Refreshing` and `AsyncRefreshing` wrap a transport of httpx or httpx2, whichever the program has.
Neither is imported here. They hold the auth cookies of one origin and refresh when the API says
that a refresh would help. `AuthKitClient` and `AsyncAuthKitClient` are the few calls around them.
"""

from __future__ import annotations

from authkit_asgi.client.calls import AsyncAuthKitClient, AuthKitClient, AuthKitClientError
from authkit_asgi.client.transports import AsyncRefreshing, Refreshing

__all__ = [
    "AsyncAuthKitClient",
    "AsyncRefreshing",
    "AuthKitClient",
    "AuthKitClientError",
    "Refreshing",
]
