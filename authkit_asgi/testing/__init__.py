"""For the tests of your app: a clock to set, people who are signed in, their mail, and a thief.

Each name is loaded when it is first asked for: the pytest plugin costs nothing where it is not
used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authkit_asgi.testing.attacks import Stolen, replay, steal_refresh
    from authkit_asgi.testing.clients import run_sync
    from authkit_asgi.testing.clock import Clock
    from authkit_asgi.testing.mailbox import Mailbox, link_in, token_in
    from authkit_asgi.testing.people import login_as, make_user, storage_state
    from authkit_asgi.testing.quick import quick_kit, quick_settings

HOMES = {
    "Clock": "clock",
    "Mailbox": "mailbox",
    "Stolen": "attacks",
    "link_in": "mailbox",
    "login_as": "people",
    "make_user": "people",
    "quick_kit": "quick",
    "quick_settings": "quick",
    "replay": "attacks",
    "run_sync": "clients",
    "steal_refresh": "attacks",
    "storage_state": "people",
    "token_in": "mailbox",
}

__all__ = [
    "Clock",
    "Mailbox",
    "Stolen",
    "link_in",
    "login_as",
    "make_user",
    "quick_kit",
    "quick_settings",
    "replay",
    "run_sync",
    "steal_refresh",
    "storage_state",
    "token_in",
]


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"authkit_asgi.testing has no {name!r}")
    return getattr(import_module(f"authkit_asgi.testing.{HOMES[name]}"), name)
