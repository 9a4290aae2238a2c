"""A mailer for the developer's machine: mails appear in the terminal."""

from __future__ import annotations

import sys
from collections import deque

from authkit_asgi.mail import Mail

KEPT = 50


class ConsoleMailer:
    """Prints each mail, link included, and keeps the last fifty in `sent`, the newest at the end.

    Printed and not logged: logs are collected and kept, and a link is a secret (SECURITY A-03).
    """

    def __init__(self) -> None:
        self.sent: deque[Mail] = deque(maxlen=KEPT)

    async def send(self, mail: Mail) -> None:
        self.sent.append(mail)
        rule = "─" * 76
        head = f"To:      {mail.to}\nSubject: {mail.subject}"
        print(f"{rule}\n{head}\n\n{mail.text.rstrip()}\n{rule}", file=sys.stderr, flush=True)

    async def close(self) -> None:
        pass
