"""Mail as this library needs it: say what to tell, render it, hand it to a mailer. The contract.

A feature makes a `Letter`: plain data, no markup. `compose` renders it as text and as HTML, so
every mail has the same look and no user's text can ever be markup. A `Mailer` delivers one `Mail`
or raises. The outbox calls mailers away from any request: nobody waits for a mail server, and
nobody can tell from an answer's time or status whether a mail went out (SECURITY E-04).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class MailError(Exception):
    """A mail could not be delivered. `retryable` is False when trying again cannot help."""

    def __init__(self, message: str, *, retryable: bool = True, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after  # seconds that the server asked us to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """The one thing to do: a label and an absolute address that we made."""

    label: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a mail says. Every string may hold user's text: rendering escapes it."""

    subject: str
    name: str = ""  # who is greeted; capped and stripped of control characters by compose
    paragraphs: tuple[str, ...]
    button: Button | None = None
    footnotes: tuple[str, ...] = ()  # small print below the button


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A rendered mail to exactly one recipient.

    `key` makes sending idempotent: a mailer that can passes it on, so a retry is never a second
    mail (SECURITY V-18). It says nothing about the mail's content and holds no token.
    """

    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    key: str


class Mailer(Protocol):
    """Delivers mails. Runs on the outbox's own asyncio loop, whatever loop the application runs
    on."""

    async def send(self, mail: Mail) -> None:
        """Deliver, or raise `MailError`. Returns when the other side has accepted the mail."""

    async def close(self) -> None:
        """Let go of connections."""
