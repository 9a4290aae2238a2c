"""Which databases a fault test runs on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

MONGO = "MongoDB by PyMongo"
MOTOR = "MongoDB by Motor"


@dataclass(frozen=True)
class Database:
    """One under test. `driver` is what the workers are told of it."""

    name: str
    url: str

    @property
    def driver(self) -> dict[str, str]:
        return {"FAULTS_DRIVER": "motor"} if self.name == MOTOR else {}


def on(*kinds: str) -> list[object]:
    """Parameters for `kind`, each with its line in the table of promises."""
    return [pytest.param(one, marks=pytest.mark.promise(store=one), id=one) for one in kinds]
