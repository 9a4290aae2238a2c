"""A shell to type commands into, and the database servers that people come from."""

from __future__ import annotations

from tests.store.conftest import database, mongodb_url, postgres_url
from tests.test_cli import environment, shell

__all__ = ["database", "environment", "mongodb_url", "postgres_url", "shell"]
