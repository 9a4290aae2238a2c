"""A mailer for Resend (resend.com). Needs its SDK: `pip install 'authkit-asgi[resend]'`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.mime import sender_of
from authkit_asgi.settings import is_loopback

try:
    import resend
    from resend.http_client_httpx import HTTPXClient
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "ResendMailer needs Resend's SDK: pip install 'authkit-asgi[resend]'"
    ) from missing

TIMEOUT = 10  # seconds for the whole exchange; the SDK alone waits 30 for each read


class ResendMailer:
    """Sends through Resend's API, with `mail.key` as idempotency key: a retry is no second mail.

    The SDK keeps key, address and HTTP client in its module's globals. Setting them would send the
    application's own mails with our key, and two kits in one process with each other's; so we use
    its HTTP client and name the key and the address in each call.
    """

    def __init__(self, api_key: str, sender: str, *, api_url: str = "") -> None:
        if not api_key:
            raise ValueError("RESEND_API_KEY is needed to send mail by Resend")
        self._sender = str(sender_of(sender))
        self._api_key = api_key
        self._api_url = _checked(api_url or resend.api_url)  # the SDK knows RESEND_API_URL
        self._client = HTTPXClient(timeout=TIMEOUT)

    async def send(self, mail: Mail) -> None:
        try:
            with anyio.fail_after(TIMEOUT):
                content, status, headers = await self._client.request(
                    "post", f"{self._api_url}/emails", self._headers(mail), self._body(mail)
                )
        except TimeoutError:
            raise MailError("Resend did not answer in time") from None
        except RuntimeError:  # what the SDK's client makes of every lost connection
            raise MailError("Resend could not be reached") from None
        if not 200 <= status < 300:
            raise _error_for(status, headers, content)

    async def close(self) -> None:
        pass

    def _headers(self, mail: Mail) -> dict[str, str]:
        return {
            "Accept": "application/json",
            "Authorization": f"Bearer {self._api_key}",
            "Idempotency-Key": mail.key,
            "User-Agent": f"resend-python:{resend.get_version()}",
        }

    def _body(self, mail: Mail) -> dict[str, object]:
        return {
            "from": self._sender,
            "to": [mail.to],
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "headers": {"Auto-Submitted": "auto-generated"},  # RFC 3834: no out-of-office answers
        }


def _checked(api_url: str) -> str:
    parts = urlsplit(api_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(
            "Resend's address must begin with https://: the key travels with each mail"
        )
    return api_url.rstrip("/")


def _error_for(status: int, headers: Mapping[str, str], content: bytes) -> MailError:
    """What an answer means.

    status     name                            again?
    ---------  ------------------------------  ---------------------------------------------
    429        any                             yes, after the seconds in Retry-After
    409        concurrent_idempotent_requests  yes: our first attempt is still on its way
    other 4xx  any                             no: it will not be accepted later either
    5xx        any                             yes
    """
    name = _name_of(content)
    again = status in (408, 429) or status >= 500 or name == "concurrent_idempotent_requests"
    said = f"Resend answered {status} {name}".rstrip()
    return MailError(said, retryable=again, retry_after=_seconds(headers.get("retry-after", "")))


def _name_of(content: bytes) -> str:
    """The machine-readable name of the error. Its sentence may hold the address: it is not kept."""
    try:
        name = json.loads(content)["name"]
    except (ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= 60 else ""


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
