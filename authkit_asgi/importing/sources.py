"""From the name of another system to a source. A module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from authkit_asgi.importing import Source

SOURCES = {
    "next-auth-kit": "authkit_asgi.importing.mongo:NextAuthKit",
    "fastapi-users": "authkit_asgi.importing.sql:FastapiUsers",
    "django": "authkit_asgi.importing.sql:Django",
    "jsonl": "authkit_asgi.importing.jsonl:JsonLines",
}


def source_from(system: str, place: str, *, table: str | None = None) -> Source:
    """The source, not yet opened. Raises `SourceProblem`, and `ImportError` with what to
    install."""
    module, _, name = SOURCES[system].partition(":")
    source: Source = getattr(import_module(module), name)(place, table=table)
    return source
