"""The database server of the store's tests, for these as well."""

from __future__ import annotations

from tests.store.conftest import database, postgres_url

__all__ = ["database", "postgres_url"]
