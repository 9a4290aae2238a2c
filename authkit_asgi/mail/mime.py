"""A mail as the bytes that mail servers speak: text and HTML side by side, UTF-8."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.compose import one_address

# RFC 5322 section 2.1.1 allows 998 bytes a line.
LONGEST_LINE = 990


def sender_of(text: str) -> Address:
    """`Acme, Inc. <no-reply@example.com>`, or the bare address. ValueError when it is neither."""
    name, _, address = text.rpartition("<")
    local = domain = ""
    with suppress(ValueError):
        local, _, domain = one_address(address.removesuffix(">")).rpartition("@")
    if not (domain and name.isprintable()):
        raise ValueError("mail_from must be one address: Acme <no-reply@example.com>")
    return Address(display_name=name.strip().strip('"'), username=local, domain=domain)


def message_of(mail: Mail, *, sender: Address) -> EmailMessage:
    """The MIME message. A line break in a header is refused, not written (SECURITY V-17)."""
    try:
        message = EmailMessage(policy=SMTP)
        message["From"] = sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
    except ValueError:
        raise MailError("a header of the mail is not one line", retryable=False) from None
    message["Date"] = datetime.now(UTC)
    # The same for each attempt, so that a mailbox can tell a repeated mail (SECURITY V-18).
    message["Message-ID"] = (
        f"<{hashlib.sha256(mail.key.encode()).hexdigest()[:32]}@{sender.domain}>"
    )
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message.set_content(mail.text, cte=_encoding(mail.text))
    message.add_alternative(mail.html, subtype="html", cte=_encoding(mail.html))
    return message


def _encoding(body: str) -> str:
    # Plain where it may be: a link stays in one piece for whoever reads the file.
    longest = max((len(line.encode()) for line in body.splitlines()), default=0)
    return "8bit" if longest <= LONGEST_LINE else "quoted-printable"
