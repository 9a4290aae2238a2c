"""Asks the account service by HTTP, and never waits for it without end.

By the standard library, in threads: a few short questions need no pool of connections and no event
loop of their own, so that asyncio and trio are served alike and nothing is to be installed.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from urllib.parse import urlsplit

import anyio

from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.settings import is_loopback
from authkit_asgi.threads import Threads

logger = logging.getLogger("authkit_asgi.remote")

AT_ONCE = 8  # threads: whoever asks while all of them wait has a turn, or is told no in time
MAX_BYTES = 64 * 1024  # of an answer


class AccountsUnavailable(StoreUnavailable):
    """The account service does not answer, or not as we understand it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: HTTPMessage = field(repr=False)
    body: bytes = field(repr=False)


class Asking:
    """Asks on threads of its own. `close` lets go of them; the next question begins anew."""

    def __init__(self) -> None:
        self._threads: Threads | None = None

    async def ask(
        self,
        method: str,
        url: str,
        *,
        within: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """The answer, whatever its status; no redirect is followed. `within`: seconds for all of
        it. Raises `AccountsUnavailable`."""
        if self._threads is None:
            self._threads = Threads(AT_ONCE, "authkit-remote")
        connection = _connection(url, within)
        until = time.monotonic() + within
        try:
            with anyio.fail_after(within):
                return await self._threads.run(
                    _asked, connection, method, url, headers or {}, body, until
                )
        except (OSError, HTTPException, ValueError) as error:  # TimeoutError is an OSError
            # What was asked holds a token, so only the kind of trouble is told.
            logger.warning("%s does not answer: %s", _origin(url), type(error).__name__)
            raise AccountsUnavailable from None
        finally:
            _hang_up(connection)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.close()
            self._threads = None


def checked_url(url: str) -> str:
    """`url`, if keys and tokens may go its way. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError(f"{_origin(url)!r} is no address such as https://app.example.com/keys")
    if parts.username is not None or not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("the address of the account service: no user name, and plain ASCII")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        # Whoever sits on the way could put keys of his own there, and be anybody.
        raise ValueError(f"{_origin(url)} must be https; plain http is for loopback addresses only")
    return url


def _asked(
    connection: HTTPConnection,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    until: float,
) -> Answer:
    if time.monotonic() >= until:  # it waited for a thread, and nobody waits for it
        raise TimeoutError
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with closing(connection):
        connection.request(method, target, body=body, headers=dict(headers))
        with connection.getresponse() as response:
            read = b""
            while part := response.read1(MAX_BYTES):
                read += part
                if len(read) > MAX_BYTES or time.monotonic() >= until:
                    raise ValueError("the answer is too long")
            return Answer(response.status, response.headers, read)


def _connection(url: str, timeout: float) -> HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=timeout, context=_trusted())
    return HTTPConnection(host, parts.port, timeout=timeout)


def _hang_up(connection: HTTPConnection) -> None:
    # A thread that still reads sees the end of it, and closes it: two must not do that at once.
    with suppress(OSError):
        if (wire := connection.sock) is not None:
            wire.shutdown(socket.SHUT_RDWR)


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
