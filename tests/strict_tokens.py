"""Tokens as the slow reader sees them: the measure of the quick one."""

from __future__ import annotations

from authkit_asgi.core.tokens import Claims, Kind, Tokens


class StrictTokens(Tokens):
    """Reads each token as JSON, also one that is spelled as we spell it."""

    def _as_spelled(self, kind: Kind, text: str) -> Claims | None:
        return None
