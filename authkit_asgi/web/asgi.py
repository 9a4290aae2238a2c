"""The types of ASGI, as loose as the applications that we wrap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

# Not in terms of the above: Litestar's and Quart's own types would then not fit.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
