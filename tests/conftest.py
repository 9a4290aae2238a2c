"""What the run of all tests tells at its end, besides which of them failed."""

from __future__ import annotations

from tests.promises import pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]
