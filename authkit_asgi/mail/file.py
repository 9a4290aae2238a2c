"""A mailer that writes files: one `.eml` a mail, which any mail program opens."""

from __future__ import annotations

import os
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.mime import message_of, sender_of


class FileMailer:
    """Writes each mail to `directory`, under a name that sorts by time and is never used twice.

    A reader sees whole files only, also with several processes writing. They hold live links, so
    nobody but their owner may read them.
    """

    def __init__(self, directory: str | Path, *, sender: str = "no-reply@localhost") -> None:
        self.directory = Path(directory)
        self._sender = sender_of(sender)

    async def send(self, mail: Mail) -> None:
        content = message_of(mail, sender=self._sender).as_bytes()
        try:
            await anyio.to_thread.run_sync(self._write, _new_name(), content)
        except OSError as trouble:
            raise MailError(f"the file could not be written: {trouble.strerror}") from None

    async def close(self) -> None:
        pass

    def _write(self, name: str, content: bytes) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=self.directory, suffix=".tmp")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(unfinished).rename(self.directory / name)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise


def _new_name() -> str:
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(8)}.eml"
