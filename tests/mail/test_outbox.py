from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest

from authkit_asgi.mail import Mail, Mailer, MailError
from authkit_asgi.mail.outbox import Outbox, masked

MakeMail = Callable[..., Mail]
MakeOutbox = Callable[..., Outbox]


class Postbox:
    """A mailer that keeps what it gets, after it has raised every one of `troubles`."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.attempts: list[float] = []
        self.got: list[Mail] = []
        self.closed = 0

    async def send(self, mail: Mail) -> None:
        self.attempts.append(time.monotonic())
        if self.troubles:
            raise self.troubles.pop(0)
        self.got.append(mail)

    async def close(self) -> None:
        self.closed += 1


class SlowPostbox(Postbox):
    """Holds each mail until the door opens, and knows how many were inside at once."""

    def __init__(self, crowd: int = 1) -> None:
        super().__init__()
        self.door = threading.Event()
        self.crowded = threading.Event()  # as many as `crowd` are inside
        self.crowd = crowd
        self.inside = self.most = 0

    async def send(self, mail: Mail) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.crowd:
            self.crowded.set()
        await anyio.to_thread.run_sync(self.door.wait, 5, abandon_on_cancel=True)
        self.inside -= 1
        await super().send(mail)


@pytest.fixture
def outbox_for() -> Iterator[MakeOutbox]:
    made: list[Outbox] = []

    def make(mailer: Mailer, limit: int = 1000, attempts: int = 5) -> Outbox:
        made.append(Outbox(mailer, limit=limit, attempts=attempts, first_pause=0.005))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close()


async def test_what_is_posted_is_delivered(outbox_for: MakeOutbox, a_mail: MakeMail) -> None:
    postbox = Postbox()
    outbox = outbox_for(postbox)
    outbox.post(a_mail())
    assert await outbox.flush(5)
    assert postbox.got == [a_mail()]


async def test_nobody_waits_for_a_mail_server(outbox_for: MakeOutbox, a_mail: MakeMail) -> None:
    """E-04: `post` returns while the mail server has yet to take the mail."""
    postbox = SlowPostbox()
    outbox = outbox_for(postbox)
    outbox.post(a_mail())
    await anyio.to_thread.run_sync(postbox.crowded.wait, 5)
    assert not postbox.got
    assert not await outbox.flush(0.01)
    postbox.door.set()
    assert await outbox.flush(5)
    assert postbox.got


@pytest.mark.parametrize(
    ("troubles", "attempts", "delivered"),
    [
        pytest.param([MailError("down")], 2, True, id="down for a moment"),
        pytest.param([MailError("down")] * 4, 5, True, id="down for long"),
        pytest.param([MailError("down")] * 9, 5, False, id="down for good"),
        pytest.param([MailError("refused", retryable=False)], 1, False, id="refused"),
        pytest.param([RuntimeError("a mailer's own fault")], 2, True, id="an unforeseen fault"),
    ],
)
async def test_what_is_tried_again(
    troubles: list[Exception],
    attempts: int,
    delivered: bool,
    a_mail: MakeMail,
) -> None:
    postbox = Postbox(*troubles)
    outbox = Outbox(postbox, first_pause=0.001)
    outbox.post(a_mail())
    assert await outbox.flush(5)
    await anyio.to_thread.run_sync(outbox.close)
    assert len(postbox.attempts) == attempts
    assert bool(postbox.got) is delivered


async def test_the_other_side_says_how_long_to_wait(
    outbox_for: MakeOutbox, a_mail: MakeMail
) -> None:
    postbox = Postbox(MailError("slow down", retry_after=0.2))
    outbox = outbox_for(postbox)
    outbox.post(a_mail())
    assert await outbox.flush(5)
    first, second = postbox.attempts
    assert second - first >= 0.2


def test_each_pause_is_longer_and_none_is_endless() -> None:
    """D-07: a server that is down is asked ever more seldom."""
    outbox = Outbox(Postbox())
    pauses = [outbox._pause(attempt, MailError("down")) for attempt in (1, 2, 3, 4)]
    assert pauses == sorted(pauses)
    assert 1 <= pauses[0] <= 2
    assert 64 <= pauses[3] <= 128
    assert outbox._pause(1, MailError("come tomorrow", retry_after=86_400)) == 300


async def test_a_mail_that_waits_for_its_next_attempt_holds_up_nobody(
    outbox_for: MakeOutbox, a_mail: MakeMail
) -> None:
    postbox = Postbox(*[MailError("wait", retry_after=0.3)] * 8)
    outbox = outbox_for(postbox)
    for number in range(9):
        outbox.post(a_mail(key=f"verify/{number}"))
    assert await outbox.flush(5)
    assert len(postbox.got) == 9
    assert postbox.got[0].key == "verify/8"


async def test_four_mails_go_out_at_once_and_no_more(
    outbox_for: MakeOutbox, a_mail: MakeMail
) -> None:
    """D-07: however many ask for one, and however long each takes."""
    postbox = SlowPostbox(crowd=4)
    outbox = outbox_for(postbox)
    for number in range(12):
        outbox.post(a_mail(key=f"verify/{number}"))
    await anyio.to_thread.run_sync(postbox.crowded.wait, 5)
    postbox.door.set()
    assert await outbox.flush(5)
    assert postbox.most == 4
    assert len(postbox.got) == 12


async def test_a_full_outbox_drops_the_mail_and_says_so(
    outbox_for: MakeOutbox, a_mail: MakeMail, log: pytest.LogCaptureFixture
) -> None:
    postbox = SlowPostbox()
    outbox = outbox_for(postbox, limit=2)
    for number in range(3):
        outbox.post(a_mail(key=f"verify/{number}"))
    assert "Mail verify/2 is dropped: 2 mails wait already" in log.text
    postbox.door.set()
    assert await outbox.flush(5)
    assert {mail.key for mail in postbox.got} == {"verify/0", "verify/1"}


async def test_a_cancelled_request_loses_no_mail(outbox_for: MakeOutbox, a_mail: MakeMail) -> None:
    postbox = SlowPostbox()
    outbox = outbox_for(postbox)
    with anyio.CancelScope() as request:
        outbox.post(a_mail())
        request.cancel()
        await anyio.sleep_forever()
    postbox.door.set()
    assert await outbox.flush(5)
    assert postbox.got


async def test_it_takes_mails_from_any_thread(outbox_for: MakeOutbox, a_mail: MakeMail) -> None:
    postbox = Postbox()
    outbox = outbox_for(postbox)
    with ThreadPoolExecutor(8) as threads:
        for number in range(200):
            threads.submit(outbox.post, a_mail(key=f"verify/{number}"))
    assert await outbox.flush(5)
    assert {mail.key for mail in postbox.got} == {f"verify/{number}" for number in range(200)}


async def test_a_delivery_keeps_nothing_of_the_request(
    outbox_for: MakeOutbox, a_mail: MakeMail
) -> None:
    seen: list[str] = []
    request = contextvars.ContextVar("request", default="none")

    class Nosy(Postbox):
        async def send(self, mail: Mail) -> None:
            seen.append(request.get())

    outbox = outbox_for(Nosy())
    request.set("a session that is long closed")
    outbox.post(a_mail())
    assert await outbox.flush(5)
    assert seen == ["none"]


async def test_closing_delivers_what_waits_and_a_new_mail_opens_it_again(
    outbox_for: MakeOutbox, a_mail: MakeMail
) -> None:
    others = set(threading.enumerate())
    postbox = Postbox(MailError("down"))
    outbox = outbox_for(postbox)
    outbox.post(a_mail(key="verify/1"))
    await anyio.to_thread.run_sync(outbox.close)
    assert [mail.key for mail in postbox.got] == ["verify/1"]
    assert postbox.closed == 1
    mine = set(threading.enumerate()) - others
    assert "authkit-outbox" not in {thread.name for thread in mine}
    outbox.post(a_mail(key="verify/2"))
    assert await outbox.flush(5)
    assert [mail.key for mail in postbox.got] == ["verify/1", "verify/2"]


def test_closing_what_never_opened_is_nothing() -> None:
    Outbox(Postbox()).close()


def test_closing_ends_a_mailer_that_never_returns(
    a_mail: MakeMail, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_asgi.mail.outbox.CLOSE_TIMEOUT", 0.05)
    others = set(threading.enumerate())
    outbox = Outbox(SlowPostbox())
    outbox.post(a_mail())
    outbox.close()
    assert "The outbox closes with 1 mails not delivered" in log.text
    mine = set(threading.enumerate()) - others
    assert "authkit-outbox" not in {thread.name for thread in mine}


async def test_the_log_tells_no_secret(
    outbox_for: MakeOutbox, a_mail: MakeMail, link: str, log: pytest.LogCaptureFixture
) -> None:
    """A-03: neither body, nor link, nor the whole address, whatever the mailer's exception says."""
    mail = a_mail()
    postbox = Postbox(
        RuntimeError(mail.text), RuntimeError(mail.to), MailError("no", retryable=False)
    )
    outbox = outbox_for(postbox)
    outbox.post(mail)
    assert await outbox.flush(5)
    assert "Mail verify/1 to z…@mail.example is given up: no" in log.text
    for secret in (link, "cAnArY", mail.to, "zoe.secret", "nice to have you"):
        assert secret not in log.text


@pytest.mark.parametrize(
    ("address", "shown"),
    [("ada@mail.example", "a…@mail.example"), ("@mail.example", "…@mail.example"), ("", "…@")],
)
def test_how_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


async def test_a_pretended_mail_is_delivered_to_nobody(outbox_for: MakeOutbox) -> None:
    """E-05: it only takes the time that a mail would."""
    postbox = Postbox()
    outbox = outbox_for(postbox)
    outbox.pretend()
    assert await outbox.flush(5)
    assert postbox.got == []
