"""Whether the server itself lets strangers choose their address (SECURITY I-08)."""

from __future__ import annotations

import inspect

STRANGER = "192.0.2.1"  # of the block for documentation (RFC 5737): nobody's proxy

UVICORN_BELIEVES_ANYBODY = (
    "uvicorn believes X-Forwarded-For of anybody who connects (FORWARDED_ALLOW_IPS or "
    "--forwarded-allow-ips is *): every visitor chooses the address that limits and notices go by. "
    "Start it with --no-proxy-headers and name your proxies in AUTHKIT_TRUSTED_PROXIES"
)


def uvicorn_believes_anybody() -> bool:
    """Of the uvicorn that is running us. No scope tells, but its middleware stands around every
    app, and so among those who are waiting for us."""
    frame = inspect.currentframe()
    while frame is not None:
        around = frame.f_locals.get("self")
        if type(around).__name__ == "ProxyHeadersMiddleware":
            return STRANGER in getattr(around, "trusted_hosts", ())
        frame = frame.f_back
    return False
