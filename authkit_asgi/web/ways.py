"""Where to send somebody, and the way back: paths of this site, never another one."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from authkit_asgi.core.paths import safe_next
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.requests import header


def on_site(scope: Scope, path: str) -> str:
    """`path` below the app's root, as a browser asks for it. Never another site (SECURITY R-03)."""
    return _below(scope.get("root_path", ""), path)


@lru_cache(maxsize=64)
def _below(root: str, path: str) -> str:
    return safe_next(_quoted(root) + path) or path


def asked(scope: Scope) -> str:
    """The path that the browser asked for: some servers leave the app's root in, some cut it
    off."""
    root, path = scope.get("root_path", ""), scope["path"]
    inside = path == root or path.startswith(f"{root}/")
    return _quoted(path if inside else root + path)


def _quoted(path: str) -> str:
    return quote(path, errors="replace")


def way_back(scope: Scope) -> str:
    """`?next=` with the way back to what was asked for, when it can be gone back to by GET."""
    if scope["method"] not in ("GET", "HEAD"):
        return ""
    query = scope.get("query_string", b"").decode("latin-1")
    return _back_to(asked(scope) + (f"?{query}" if query else ""))


def way_back_of_htmx(scope: Scope, origin: str) -> str:
    """HTMX asks for a part of a page: the way back leads to the page that it is a part of."""
    page = (header(scope, b"hx-current-url") or b"").decode("latin-1")
    return _back_to(page.removeprefix(origin)) if page.startswith(f"{origin}/") else ""


# Strangers knock at the same few doors; where they come from is bounded all the same.
@lru_cache(maxsize=256)
def _back_to(target: str) -> str:
    return "?next=" + quote(target, safe="/") if safe_next(target) else ""
