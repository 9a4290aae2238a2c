"""A mailer that speaks SMTP. Needs aiosmtplib: `pip install 'authkit-asgi[smtp]'`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.mime import message_of, sender_of
from authkit_asgi.settings import is_loopback

try:
    import aiosmtplib
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "SmtpMailer needs aiosmtplib: pip install 'authkit-asgi[smtp]'"
    ) from missing

TIMEOUT = 10.0  # seconds for each step: connecting, the handshake, every answer


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int | None
    username: str | None
    password: str | None = field(repr=False)
    tls: bool

    @property
    def start_tls(self) -> bool | None:
        """True demands STARTTLS, None takes it where offered, False is for TLS from the start.

        Credentials never leave the machine unencrypted: whoever sits between us and the server can
        strip the offer from its greeting.
        """
        if self.tls:
            return False
        return True if self.username and not is_loopback(self.host) else None


class SmtpMailer:
    """Hands mails to the server at `smtp://user:password@host:587` or `smtps://…` (TLS at once).

    User and password are percent-encoded. A connection is opened for each mail: there are few of
    them, and a pooled connection that the server has dropped is a mail lost or sent twice.
    """

    def __init__(self, url: str, sender: str) -> None:
        self._server = _parse(url)
        self._sender = sender_of(sender)

    async def send(self, mail: Mail) -> None:
        server = self._server
        message = message_of(mail, sender=self._sender)
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.tls,
                start_tls=server.start_tls,
                # A mail server on this machine has a certificate that nobody signed.
                validate_certs=not is_loopback(server.host),
                timeout=TIMEOUT,
            )
        except (aiosmtplib.SMTPException, OSError, ValueError) as trouble:
            # Not the server's words: "550 <ada@example.com> unknown" is personal data in a log.
            raise _error_for(trouble) from None

    async def close(self) -> None:
        pass


def _parse(url: str) -> _Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its words may hold a piece of the password
        parts, port = urlsplit(""), None
    host = parts.hostname
    if not host or parts.scheme not in ("smtp", "smtps") or _rest(parts):
        raise ValueError(
            "a mail server is smtp://user:password@host:587 or smtps://user:password@host:465, "
            "with user and password percent-encoded"
        )
    return _Server(
        host=host,
        port=port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "smtps",
    )


def _rest(parts: SplitResult) -> bool:
    # `smtp://me:12/34@host` is host `me`, port 12: a password that was not percent-encoded.
    return bool(parts.path.strip("/") or parts.query or parts.fragment)


def _error_for(trouble: Exception) -> MailError:
    """What a failure means: 5xx is the server's last word; 4xx and a lost connection pass.

    Of several refused recipients the first speaks: there is only one.
    """
    if isinstance(trouble, aiosmtplib.SMTPRecipientsRefused):
        trouble = trouble.recipients[0]
    if isinstance(trouble, aiosmtplib.SMTPResponseException):
        return MailError(f"the mail server answered {trouble.code}", retryable=trouble.code < 500)
    passing = isinstance(trouble, OSError)  # a lost connection and a timeout are among these
    return MailError(f"no delivery by SMTP: {type(trouble).__name__}", retryable=passing)
