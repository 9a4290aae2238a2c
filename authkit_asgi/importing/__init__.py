"""Coming from elsewhere: what a source of people offers. This page is the contract.

A source yields a `Person` for each row, just as the other system has it: nothing is believed yet.
`judging` decides what becomes of it, `taking` looks for it here and writes it.

order       always the same, as long as the source does not change: of two rows with one address
            the first is taken, in a dry run as in earnest.
damage      a row that cannot be read is yielded as `Unreadable`, and the next one follows.
outage      raises `SourceProblem`, with a sentence that repeats nothing of the URL.
memory      rows come in batches; a source of any size needs the memory of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

BATCH = 500  # rows that are held at once


class SourceProblem(Exception):
    """The source cannot be read (any further). What was taken before stays, and is found again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A row of another system. None: it says nothing of this. `where` names the row for people."""

    where: str
    id: object = None
    email: object = field(default=None, repr=False)
    username: object = None
    firstname: object = None
    lastname: object = None
    bio: object = None
    password_hash: object = field(default=None, repr=False)
    is_verified: object = None
    is_admin: object = None
    is_active: object = None
    created_at: object = None
    last_login_at: object = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is none, and why, as a sentence."""

    where: str
    tells: str


class Source(Protocol):
    def people(self) -> AsyncIterator[Person | Unreadable]:
        """Every row, in batches. Raises `SourceProblem`."""
        ...

    async def close(self) -> None: ...
