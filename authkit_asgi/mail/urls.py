"""Which mailer a URL asks for (`AUTHKIT_MAIL_URL`). What is not asked for is not imported."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from authkit_asgi.mail import Mailer

_MAILERS = {
    "console": "authkit_asgi.mail.console:ConsoleMailer",
    "file": "authkit_asgi.mail.file:FileMailer",
    "smtp": "authkit_asgi.mail.smtp:SmtpMailer",
    "smtps": "authkit_asgi.mail.smtp:SmtpMailer",
    "resend": "authkit_asgi.mail.resend:ResendMailer",
}


def mailer_from_url(url: str, *, sender: str, resend_api_key: str = "") -> Mailer:
    """The mailer for `console:`, `file:///directory`, `smtp://…`, `smtps://…` or `resend:`.

    A ValueError says what is wrong and never repeats the URL: a password may stand anywhere in it.
    """
    scheme = url.partition(":")[0].lower()
    if scheme not in _MAILERS:
        known = ", ".join(f"{name}:" for name in _MAILERS)
        raise ValueError(f"The mail URL must begin with one of {known}")
    mailer = _load(_MAILERS[scheme])
    match scheme:
        case "console":
            return mailer()
        case "file":
            return mailer(_directory(url), sender=sender)
        case "resend":
            return mailer(resend_api_key, sender)
        case _:
            return mailer(url, sender)


def _load(name: str) -> Callable[..., Mailer]:
    module, _, member = name.partition(":")
    mailer: Callable[..., Mailer] = getattr(import_module(module), member)
    return mailer


def _directory(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError("mail_url: write file:///directory, with three slashes")
    return Path(url2pathname(parts.path))
