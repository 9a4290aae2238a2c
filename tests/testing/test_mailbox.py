"""Waiting for mails, and finding what they lead to."""

from __future__ import annotations

import threading

import anyio
import pytest
from starlette.testclient import TestClient

from authkit_asgi.mail import Mail
from authkit_asgi.testing import Clock, Mailbox, link_in, quick_kit, run_sync, token_in
from tests.testing.site import build
from tests.world import registration


def mail_to(to: str, text: str = "Hello", subject: str = "A letter") -> Mail:
    return Mail(to=to, subject=subject, text=text, html="", key=to)


LINK = "http://localhost:8000/user/verify-token?token=abc_-9&type=email"


def test_a_registration_is_confirmed_by_its_mail() -> None:
    mailbox = Mailbox()
    kit = quick_kit(mailbox=mailbox)
    client = TestClient(build(kit), base_url=kit.settings.base_url)
    assert client.post("/api/users/register", json=registration()).status_code == 201
    mail = mailbox.wait(to="ada@example.test", leads_to="/user/verify-token")
    assert client.get(link_in(mail, "/user/verify-token")).status_code == 200
    answer = client.post("/api/users/user-verify", json={"token": token_in(mail)})
    assert answer.status_code == 200
    run_sync(kit.close)


async def test_each_mail_is_handed_out_once() -> None:
    mailbox = Mailbox()
    for subject in ("one", "two"):
        await mailbox.send(mail_to("ada@example.test", subject=subject))
    assert mailbox.wait().subject == "one"
    assert (await mailbox.arrival(to="ada@example.test")).subject == "two"
    assert [mail.subject for mail in mailbox.mails] == ["one", "two"]


async def test_a_mail_that_comes_later_is_waited_for() -> None:
    mailbox = Mailbox()
    late = threading.Timer(0.1, lambda: anyio.run(mailbox.send, mail_to("bob@example.test")))
    late.start()
    await mailbox.send(mail_to("ada@example.test"))
    assert (await mailbox.arrival(to="bob@example.test")).to == "bob@example.test"
    late.join()


async def test_what_came_instead_is_told() -> None:
    mailbox = Mailbox()
    await mailbox.send(mail_to("ada@example.test", "nothing to follow"))
    with pytest.raises(TimeoutError, match=r"'A letter' to ada@example\.test"):
        mailbox.wait(leads_to="/verify", timeout=0.01)
    with pytest.raises(LookupError, match="leads to /verify"):
        link_in(mailbox.mails[0], "/verify")


def test_links_and_tokens() -> None:
    mail = mail_to("ada@example.test", f"Go to http://localhost:8000, or\n<{LINK}>, please.")
    assert link_in(mail) == "http://localhost:8000"
    assert link_in(mail, "verify") == LINK
    assert token_in(mail) == "abc_-9"


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock(100.0)
    clock.pass_(seconds=1, minutes=1, hours=1, days=1)
    assert clock() == 100 + 1 + 60 + 3600 + 86400
    clock.pass_(hours=-1)
    assert clock() == 100 + 1 + 60 + 86400
    clock.set(5.0)
    assert clock() == 5.0
