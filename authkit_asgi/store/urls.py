"""From a database URL to a store. A store's module is imported when its scheme is asked for."""

from __future__ import annotations

from importlib import import_module

from authkit_asgi.store import Store

STORES = {
    "memory": "authkit_asgi.store.memory:MemoryStore",
    "sqlite": "authkit_asgi.store.sqlite:SqliteStore",
    "mongodb": "authkit_asgi.store.mongo:MongoStore",
    "mongodb+srv": "authkit_asgi.store.mongo:MongoStore",
    "postgresql": "authkit_asgi.store.sql:SqlStore",
    "postgres": "authkit_asgi.store.sql:SqlStore",
    "postgresql+asyncpg": "authkit_asgi.store.sql:SqlStore",
}


def store_from_url(url: str) -> Store:
    """The store, not yet opened: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`,
    `postgresql://user:password@host:5432/database`, `mongodb://user:password@host/database`."""
    scheme, colon, _ = url.partition(":")
    place = STORES.get(scheme.lower()) if colon else None
    if place is None:
        # Nothing of the URL is repeated: a password may stand anywhere in one that is mistyped.
        known = ", ".join(f"{name}:" for name in STORES)
        raise ValueError(f"The database URL must begin with one of {known}")
    module, _, name = place.partition(":")
    store: Store = getattr(import_module(module), name).from_url(url)
    return store
