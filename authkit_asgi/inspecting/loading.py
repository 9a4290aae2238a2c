"""The app that a server would be given: `module:app`, or `module:make_app()` for a factory."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from authkit_asgi.inspecting import UnknownApp

TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<name>\w+(?:\.\w+)*)(?P<called>\(\))?")


def loaded(target: str) -> Any:
    """Import it, from the current directory too, as servers do. Raises `UnknownApp`."""
    named = TARGET.fullmatch(target)
    if named is None:
        raise UnknownApp(
            f"{target!r} names no app: write module:app, as in sample_app.main:app, "
            "or module:make_app() for a function that makes one"
        )
    module, name, called = named.groups()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        app: Any = import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise UnknownApp(f"{module} cannot be imported: {_told(error)}") from error
    for part in name.split("."):
        if not hasattr(app, part):
            raise UnknownApp(f"{module} has no {name}")
        app = getattr(app, part)
    if called:
        try:
            app = app()
        except (Exception, SystemExit) as error:
            raise UnknownApp(f"{module}:{name}() makes no app: {_told(error)}") from error
    elif inspect.isfunction(app) and _is_factory(app):
        raise UnknownApp(f"{target} is a function that makes an app: write {target}()")
    if not callable(app):
        raise UnknownApp(f"{target} is no ASGI app: it is of type {type(app).__name__}")
    return app


def _is_factory(function: Any) -> bool:
    """An app takes `scope`, `receive` and `send`; what takes nothing can only make one."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    return True


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
