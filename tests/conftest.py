"""What the run of all tests tells at its end, besides which of them failed."""

from __future__ import annotations

import pytest

from tests import promises, telling
from tests.promises import pytest_runtest_makereport, pytest_runtest_setup
from tests.telling import tell

__all__ = ["pytest_runtest_makereport", "pytest_runtest_setup", "tell"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    telling.summarise(terminalreporter)
    promises.summarise(terminalreporter)
