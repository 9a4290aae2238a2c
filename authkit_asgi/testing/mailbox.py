"""Mails that stay here, to be waited for and read."""

from __future__ import annotations

import re
import threading
from functools import partial
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread

from authkit_asgi.mail import Mail

PATIENCE = 5.0  # seconds: mails leave on a thread of their own, within milliseconds of the answer
LINK = re.compile(r"https?://[^\s<>\"]+")


class Mailbox:
    """A mailer that keeps what it is given: `AuthKit(mailer=Mailbox())`.

    `mails` holds all of them, the oldest first. `wait` and `arrival` hand out each mail once, so
    the second wait for a link gets the second link, however slow it is.
    """

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self._unread: list[Mail] = []
        self._changed = threading.Condition()

    async def send(self, mail: Mail) -> None:
        with self._changed:
            self.mails.append(mail)
            self._unread.append(mail)
            self._changed.notify_all()

    async def close(self) -> None:
        pass

    def wait(self, *, to: str = "", leads_to: str = "", timeout: float = PATIENCE) -> Mail:
        """The oldest mail that was not handed out yet: to this address, with a link whose address
        holds `leads_to`.

        Blocks for `timeout` seconds at most, then raises `TimeoutError`, which tells what came
        instead. In an async test, await `arrival`.
        """

        def wanted(mail: Mail) -> bool:
            return (not to or mail.to == to) and (
                not leads_to or any(leads_to in link for link in _links(mail))
            )

        with self._changed:
            if not self._changed.wait_for(lambda: any(map(wanted, self._unread)), timeout):
                came = [f"{mail.subject!r} to {mail.to}" for mail in self.mails]
                raise TimeoutError(f"No such mail within {timeout:g} s; there came: {came}")
            mail = next(filter(wanted, self._unread))
            self._unread.remove(mail)
            return mail

    # Not a scope that cancels: like `wait`, it tells what came instead.
    async def arrival(
        self,
        *,
        to: str = "",
        leads_to: str = "",
        timeout: float = PATIENCE,  # noqa: ASYNC109
    ) -> Mail:
        """`wait`, without holding up the event loop."""
        waiting = partial(self.wait, to=to, leads_to=leads_to, timeout=timeout)
        return await anyio.to_thread.run_sync(waiting, abandon_on_cancel=True)


def link_in(mail: Mail, leads_to: str = "") -> str:
    """The first link in the mail whose address holds `leads_to`. Raises `LookupError`."""
    for link in _links(mail):
        if leads_to in link:
            return link
    raise LookupError(f"No link in {mail.subject!r} leads to {leads_to or 'anywhere'}")


def token_in(mail: Mail) -> str:
    """The token of the link in the mail, as the API's routes take it. Raises `LookupError`."""
    return parse_qs(urlsplit(link_in(mail, "token=")).query)["token"][0]


def _links(mail: Mail) -> list[str]:
    return [link.rstrip(".,;:!?)") for link in LINK.findall(mail.text)]
