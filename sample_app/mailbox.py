"""The mails that were sent, as pages: for the developer's own machine, and nowhere else.

They hold live links, so there is no mailbox outside dev mode, which settings allow on a loopback
base URL only. And it answers to that name alone: a site that points a name of its own at 127.0.0.1
could read it otherwise (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from authkit_asgi import AuthKit
from authkit_asgi.mail import Mail, Mailer
from authkit_asgi.mail.console import ConsoleMailer
from authkit_asgi.mail.file import FileMailer
from authkit_asgi.settings import Settings
from sample_app.views import Views

SHOWN = 50

# A mail's HTML runs no script and has no origin; its links open as they do from a mail program.
FRAME_POLICY = "; ".join(
    (
        "sandbox allow-popups allow-popups-to-escape-sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A mail in the box. `sent_at` is empty when the mailer keeps no times."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    sent_at: str = ""


Source: TypeAlias = Callable[[], Sequence[Received]]
"""Gives the mails sent last, the newest first."""


def mailbox_of(kit: AuthKit) -> Mailbox | None:
    """The mailbox, or None where there must not be one, or where mail really leaves."""
    newest = _source_of(kit.mailer) if kit.settings.dev_mode else None
    return Mailbox(newest, kit.settings) if newest else None


class Mailbox:
    def __init__(self, newest: Source, settings: Settings) -> None:
        self._newest = newest
        self._host = urlsplit(settings.base_url).netloc
        self._link = re.compile(rf"{re.escape(settings.base_url)}/[^\s<>\"]*")

    def routes(self, views: Views) -> list[Route]:
        def index(request: Request) -> Response:
            self._demand_own_host(request)
            return views.show(request, "mailbox.html", mails=self._newest())

        def mail(request: Request) -> Response:
            found = self._asked_for(request)
            links = dict.fromkeys(self._link.findall(found.text))
            return views.show(request, "mail.html", mail=found, links=list(links))

        def html(request: Request) -> Response:
            headers = {"Content-Security-Policy": FRAME_POLICY, "Cache-Control": "no-store"}
            return HTMLResponse(self._asked_for(request).html, headers=headers)

        return [
            Route("/dev/mailbox", index),
            Route("/dev/mailbox/{id}", mail),
            Route("/dev/mailbox/{id}/html", html),
        ]

    def _asked_for(self, request: Request) -> Received:
        self._demand_own_host(request)
        wanted = request.path_params["id"]
        for mail in self._newest():
            if mail.id == wanted:
                return mail
        raise HTTPException(404)

    def _demand_own_host(self, request: Request) -> None:
        if request.headers.get("host", "").lower() != self._host:
            raise HTTPException(404)


def _source_of(mailer: Mailer) -> Source | None:
    match mailer:
        case ConsoleMailer():
            return lambda: [_received(mail) for mail in reversed(mailer.sent.copy())]
        case FileMailer():
            return lambda: _files(mailer.directory)
        case _:
            return None


def _files(directory: Path) -> Sequence[Received]:
    names = sorted(directory.glob("*.eml"), reverse=True)  # they sort by time
    return [_read(name) for name in names[:SHOWN]]


def _received(mail: Mail) -> Received:
    name = hashlib.sha256(mail.key.encode()).hexdigest()[:16]
    return Received(id=name, to=mail.to, subject=mail.subject, text=mail.text, html=mail.html)


def _read(file: Path) -> Received:
    message = message_from_bytes(file.read_bytes(), policy=default)
    return Received(
        id=file.stem,
        to=str(message["to"]),
        subject=str(message["subject"]),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        sent_at=f"{message['date'].datetime:%Y-%m-%d %H:%M:%S} UTC",
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return part.get_content() if part else ""
