"""`uvicorn sample_app.main:app`, or any other ASGI server. Configured by `AUTHKIT_*` alone."""

from __future__ import annotations

import sys

from authkit_asgi import AuthKit, Settings, SettingsError
from sample_app.site import guarded


def _settings() -> Settings:
    try:
        return Settings()
    except SettingsError as wrong:
        sys.exit(str(wrong))  # the list of problems says it all: no traceback around it


app = guarded(AuthKit(_settings()))
