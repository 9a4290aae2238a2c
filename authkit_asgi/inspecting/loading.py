"""The app that a server would be given: `module:app`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from authkit_asgi.inspecting import UnknownApp


def loaded(target: str) -> Any:
    """Import it, from the current directory too, as servers do. Raises `UnknownApp`."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise UnknownApp(f"{target!r} names no app: write module:app, as in sample_app.main:app")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        app: Any = import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise UnknownApp(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(app, part):
            raise UnknownApp(f"{module} has no {name}")
        app = getattr(app, part)
    return app
