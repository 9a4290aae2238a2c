from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from authkit_asgi.mail.console import ConsoleMailer
from authkit_asgi.mail.file import FileMailer
from authkit_asgi.mail.resend import ResendMailer
from authkit_asgi.mail.smtp import SmtpMailer
from authkit_asgi.mail.urls import mailer_from_url

SENDER = "Acme <no-reply@app.example>"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("console:", ConsoleMailer),
        ("file:///tmp/outbox", FileMailer),
        ("smtp://localhost:25", SmtpMailer),
        ("smtps://me:pw@mail.example", SmtpMailer),
        ("SMTP://mail.example", SmtpMailer),
        ("resend:", ResendMailer),
    ],
)
def test_which_mailer_a_url_asks_for(url: str, kind: type) -> None:
    assert type(mailer_from_url(url, sender=SENDER, resend_api_key="re_key")) is kind


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:///var/spool/our%20mail", "/var/spool/our mail"),
        ("file://localhost/var/spool", "/var/spool"),
        ("file:outbox", "outbox"),
    ],
)
def test_where_files_go(url: str, directory: str) -> None:
    mailer = mailer_from_url(url, sender=SENDER)
    assert isinstance(mailer, FileMailer)
    assert mailer.directory == Path(directory)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("s3cret", "must begin with one of console:, file:, smtp:, smtps:, resend:"),
        ("me:s3cret@mail.example", "must begin with one of"),
        ("imap://me:s3cret@mail.example", "must begin with one of"),
        ("", "must begin with one of"),
        ("smtp://me:s3cret/@mail.example", "percent-encoded"),
        ("file://s3cret/outbox", "three slashes"),
        ("file://", "three slashes"),
        ("resend:", "RESEND_API_KEY is needed"),
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str, complaint: str) -> None:
    """A-03: whatever was mistyped, a password may be in it."""
    with pytest.raises(ValueError, match=complaint) as caught:
        mailer_from_url(url, sender=SENDER)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("library", "module", "extra"),
    [("aiosmtplib", "smtp", "smtp"), ("resend", "resend", "resend")],
)
def test_a_missing_extra_says_what_to_type(library: str, module: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from authkit_asgi.mail.urls import mailer_from_url\n"
        f"mailer_from_url('console:', sender={SENDER!r})\n"
        f"import authkit_asgi.mail.{module}"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ")
    assert f"pip install 'authkit-asgi[{extra}]'" in last
