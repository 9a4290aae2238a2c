"""Times as the outside sees them."""

from __future__ import annotations

from datetime import datetime

import pytest

from authkit_asgi.core.times import iso


@pytest.mark.parametrize(
    ("at", "text"),
    [
        pytest.param(0.0, "1970-01-01T00:00:00Z", id="the epoch"),
        pytest.param(1_800_000_000.0, "2027-01-15T08:00:00Z", id="a time"),
        pytest.param(1_800_000_000.999, "2027-01-15T08:00:00Z", id="to the second, never ahead"),
        pytest.param(4_102_444_800, "2100-01-01T00:00:00Z", id="an int, beyond 2038"),
        pytest.param(None, None, id="never"),
    ],
)
def test_a_time_is_iso_8601_in_utc(at: float | None, text: str | None) -> None:
    assert iso(at) == text


def test_a_parser_gets_the_second_back() -> None:
    text = iso(1_800_000_000.5)
    assert text is not None
    assert datetime.fromisoformat(text).timestamp() == 1_800_000_000
