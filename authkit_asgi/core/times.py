"""Times as the outside sees them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the second; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
