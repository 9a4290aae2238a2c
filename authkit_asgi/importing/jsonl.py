"""People as JSON lines: one object a line, as docs/importing.md describes it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from authkit_asgi.importing import Person, SourceProblem, Unreadable

MAX_LINE = 64 * 1024  # bytes; a file without line breaks is not read into memory

FIELDS = {
    "id": "id",
    "email": "email",
    "username": "username",
    "firstname": "firstname",
    "lastname": "lastname",
    "bio": "bio",
    "passwordHash": "password_hash",
    "isVerified": "is_verified",
    "isAdmin": "is_admin",
    "isActive": "is_active",
    "createdAt": "created_at",
    "lastLoginAt": "last_login_at",
}


class JsonLines:
    """A file, or standard input as `-`."""

    def __init__(self, place: str, *, table: str | None = None) -> None:
        if table is not None:
            raise SourceProblem("A file of JSON lines has no tables.")
        try:
            self._file: BinaryIO = _opened(place)
        except OSError as error:  # what was given is not repeated: it may be a URL by mistake
            raise SourceProblem(f"The file cannot be read: {error.strerror}.") from None

    async def people(self) -> AsyncIterator[Person | Unreadable]:
        number = 0
        while line := self._line():
            number += 1
            where = f"line {number}"
            if len(line) > MAX_LINE:
                yield Unreadable(where, f"This line has more than {MAX_LINE} bytes.")
            elif text := line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip():
                yield _person(where, text)

    async def close(self) -> None:
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def _line(self) -> bytes:
        """The next line, or its beginning where it is too long. Empty: there is none."""
        try:
            line = rest = self._file.readline(MAX_LINE + 1)
            while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
                rest = self._file.readline(MAX_LINE + 1)
        except OSError as error:
            raise SourceProblem(f"The file cannot be read: {error.strerror}.") from None
        return line


def _opened(place: str) -> BinaryIO:
    return sys.stdin.buffer if place == "-" else Path(place).open("rb")


def _person(where: str, line: bytes) -> Person | Unreadable:
    try:
        row = json.loads(line.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError:
        return Unreadable(where, "This is not text in UTF-8.")
    except json.JSONDecodeError as error:  # the line is not repeated: it holds a hash
        return Unreadable(where, f"This is not JSON: {error.msg} at column {error.colno}.")
    except (_Twice, RecursionError, ValueError):
        return Unreadable(where, "This is not one JSON object with each field once.")
    if not isinstance(row, dict):
        return Unreadable(where, "This is not a JSON object.")
    if strange := sorted(row.keys() - FIELDS.keys()):
        # A field that is misspelled would otherwise be one that is silently lost.
        return Unreadable(where, f"There is no field {strange[0][:40]!r}.")
    return Person(where=where, **{FIELDS[name]: value for name, value in row.items()})


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):  # readers differ in which of the two counts
        raise _Twice
    return row
