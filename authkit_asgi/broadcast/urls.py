"""Which broadcast the settings ask for. What is not asked for is not imported."""

from __future__ import annotations

from importlib import import_module

from authkit_asgi.broadcast import Broadcast
from authkit_asgi.settings import Settings


def broadcast_from_settings(settings: Settings) -> Broadcast | None:
    """None without an `AUTHKIT_REDIS_URL`: then workers hear of each other by reading the store."""
    if not settings.redis_url:
        return None
    module = import_module("authkit_asgi.broadcast.redis")
    # The origin keeps apart what shares one Redis; where it does not, the seals do.
    broadcast: Broadcast = module.RedisBroadcast(
        settings.redis_url, channel=f"authkit:{settings.origin}"
    )
    return broadcast
