"""The SMTP mailer against a real server on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.outbox import Outbox
from authkit_asgi.mail.smtp import SmtpMailer

SENDER = "Acmé, Inc. <no-reply@app.example>"
MakeMail = Callable[..., Mail]


@dataclass
class Post:
    """What arrived, and how the server answers."""

    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    rcpt: str = "250 OK"
    data: str = "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt.format(address=address)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.messages.append(message_from_bytes(content, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        return self.data

    def log_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:w/rd", handled=False)


Serve = Callable[..., Post]
Send = Callable[[Mail, str], None]
Refusal = Callable[[Mail, str], MailError]


@pytest.fixture
def send() -> Iterator[Send]:
    """Sends on an event loop that outlives the server: a TLS connection takes a while to close."""
    with asyncio.Runner() as runner:

        def run(mail: Mail, url: str) -> None:
            runner.run(SmtpMailer(url, SENDER).send(mail))

        yield run


@pytest.fixture
def serve(free_port: int, send: Send) -> Iterator[Serve]:
    # `send` is asked for so that its loop is still there when the servers close.
    running: list[Controller] = []

    def start(**options: Any) -> Post:
        post = Post()
        options.setdefault("authenticator", post.log_in)
        running.append(Controller(post, hostname="127.0.0.1", port=free_port, **options))
        running[-1].start()
        return post

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody signed, as mail servers on the same machine have."""
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs the openssl command")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {path}"
    subprocess.run([*make.split(), "-out", f"{path}.crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(f"{path}.crt"), path)
    return context


@pytest.fixture
def refusal(send: Send) -> Refusal:
    def refused(mail: Mail, url: str) -> MailError:
        with pytest.raises(MailError) as caught:
            send(mail, url)
        return caught.value

    return refused


def test_a_mail_arrives_as_it_was_written(
    send: Send, serve: Serve, free_port: int, a_mail: MakeMail, link: str
) -> None:
    post = serve()
    mail = a_mail(name="Žofie 小野")
    send(mail, f"smtp://127.0.0.1:{free_port}")
    [message] = post.messages
    assert post.recipients == [mail.to]
    assert message["To"] == mail.to
    assert message["From"].addresses[0].display_name == "Acmé, Inc."
    assert message["Subject"] == "Bestätige deine Adresse"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content_type() == "multipart/alternative"
    text, html = (part.get_content() for part in message.iter_parts())
    assert text.splitlines() == mail.text.splitlines()
    assert html.splitlines() == mail.html.splitlines()
    assert link in text


def test_a_repeated_mail_has_the_same_message_id(
    send: Send, serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    """V-18: a mailbox that got it twice, because an answer was lost, can tell."""
    post = serve()
    for key in ("verify/1", "verify/1", "verify/2"):
        send(a_mail(key=key), f"smtp://127.0.0.1:{free_port}")
    first, again, other = (message["Message-ID"] for message in post.messages)
    assert first == again != other
    assert first.endswith("@app.example>")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"subject": "Hi\r\nBcc: eve@evil.test"}, id="subject"),
        pytest.param({"to": "zoe@mail.example\r\nBcc: eve@evil.test"}, id="recipient"),
        pytest.param({"subject": "Hi\nX-Evil: yes"}, id="bare line feed"),
    ],
)
def test_a_line_break_in_a_header_is_refused(
    refusal: Refusal, change: dict[str, str], serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    """V-17: also for a mail that did not come from `compose`."""
    post = serve()
    error = refusal(replace(a_mail(), **change), f"smtp://127.0.0.1:{free_port}")
    assert not error.retryable
    assert not post.messages


@pytest.mark.parametrize(
    ("answers", "retryable"),
    [
        pytest.param({"rcpt": "550 5.1.1 <{address}> unknown"}, False, id="no such mailbox"),
        pytest.param({"rcpt": "450 4.2.0 <{address}> greylisted"}, True, id="greylisted"),
        pytest.param({"data": "554 5.7.1 spam"}, False, id="content refused"),
        pytest.param({"data": "451 4.3.0 later"}, True, id="no room now"),
    ],
)
def test_what_the_servers_answer_means(
    refusal: Refusal,
    answers: dict[str, str],
    retryable: bool,
    serve: Serve,
    free_port: int,
    a_mail: MakeMail,
) -> None:
    """A-03: the server's words, which repeat the address, are not repeated."""
    post = serve()
    vars(post).update(answers)
    error = refusal(a_mail(), f"smtp://127.0.0.1:{free_port}")
    assert error.retryable is retryable
    assert str(error) == f"the mail server answered {next(iter(answers.values()))[:3]}"


def test_a_server_that_is_down_may_come_back(
    refusal: Refusal, free_port: int, a_mail: MakeMail
) -> None:
    assert refusal(a_mail(), f"smtp://127.0.0.1:{free_port}").retryable


@pytest.mark.parametrize(
    "greeting", [pytest.param(b"", id="D-07 not a word"), pytest.param(b"220-", id="D-07 half")]
)
def test_a_server_that_never_answers_is_given_up(
    greeting: bytes, a_mail: MakeMail, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_asgi.mail.smtp.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def greet() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(1)  # until the other side has had enough

        with ThreadPoolExecutor(1) as thread:
            greeted = thread.submit(greet)
            began = time.monotonic()
            error = refusal(a_mail(), f"smtp://127.0.0.1:{silent.getsockname()[1]}")
            took = time.monotonic() - began
            greeted.result(5)
    assert error.retryable
    assert 0.1 < took < 5


async def test_a_mail_waits_until_the_server_is_back(
    serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    """E-04: an outage of the mail server is nobody's lost link. Runs under asyncio and trio."""
    failed = threading.Event()

    class Watched(SmtpMailer):
        async def send(self, mail: Mail) -> None:
            try:
                await super().send(mail)
            except MailError:
                failed.set()
                raise

    outbox = Outbox(Watched(f"smtp://127.0.0.1:{free_port}", SENDER), first_pause=0.05)
    outbox.post(a_mail())
    assert failed.wait(5)
    post = serve()
    assert await outbox.flush(5)
    outbox.close()
    assert len(post.messages) == 1


def test_a_mailbox_with_a_name_beyond_ascii(
    send: Send, serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    post = serve(enable_SMTPUTF8=True)
    send(a_mail(to="zoë@bücher.example"), f"smtp://127.0.0.1:{free_port}")
    assert post.recipients == ["zoë@xn--bcher-kva.example"]


def test_starttls_is_used_where_it_is_offered(
    send: Send, serve: Serve, free_port: int, a_mail: MakeMail, certificate: ssl.SSLContext
) -> None:
    post = serve(tls_context=certificate, require_starttls=True)
    send(a_mail(), f"smtp://zoe:p%40ss%3Aw%2Frd@127.0.0.1:{free_port}")
    assert post.encrypted == [True]
    assert post.logins == [(b"zoe", b"p@ss:w/rd")]


def test_smtps_is_tls_from_the_start(
    send: Send, serve: Serve, free_port: int, a_mail: MakeMail, certificate: ssl.SSLContext
) -> None:
    post = serve(ssl_context=certificate)  # this server understands nothing else
    send(a_mail(), f"smtps://127.0.0.1:{free_port}")
    assert len(post.messages) == 1


def test_a_wrong_password_is_final(
    refusal: Refusal, serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    post = serve(auth_require_tls=False)
    error = refusal(a_mail(), f"smtp://zoe:wrong@127.0.0.1:{free_port}")
    assert (str(error), error.retryable) == ("the mail server answered 535", False)
    assert not post.messages


def test_a_password_never_leaves_the_machine_in_the_clear(
    send: Send, refusal: Refusal, serve: Serve, free_port: int, a_mail: MakeMail
) -> None:
    """`127.1` leads here, but is no name for it: to the mailer this is a server far away."""
    post = serve(auth_require_tls=False)
    error = refusal(a_mail(), f"smtp://zoe:secret@127.1:{free_port}")
    assert not error.retryable
    assert not post.logins
    send(a_mail(), f"smtp://127.1:{free_port}")  # without credentials there is nothing to steal
    assert len(post.messages) == 1


def test_a_server_far_away_needs_a_certificate_that_counts(
    refusal: Refusal, serve: Serve, free_port: int, a_mail: MakeMail, certificate: ssl.SSLContext
) -> None:
    post = serve(tls_context=certificate)
    refusal(a_mail(), f"smtp://zoe:secret@127.1:{free_port}")
    assert not post.logins


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("smtp://me:s3cret/pw@mail.example", id="slash in the password"),
        pytest.param("smtp://me:12/s3cret@mail.example", id="a port that is half a password"),
        pytest.param("smtp://me:s3cret#pw@mail.example", id="hash"),
        pytest.param("smtp://me:s3cret?pw@mail.example", id="question mark"),
        pytest.param("smtp://me:s3cret@mail.example:port", id="no port"),
        pytest.param("smtp://me:s3cret@[mail.example", id="half a bracket"),
        pytest.param("smtp:s3cret", id="no host"),
        pytest.param("http://me:s3cret@mail.example", id="another scheme"),
    ],
)
def test_a_malformed_url_is_refused_without_repeating_it(url: str) -> None:
    """A-03: the password may stand anywhere in it."""
    with pytest.raises(ValueError, match="percent-encoded") as caught:
        SmtpMailer(url, SENDER)
    assert "s3cret" not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("sender", ["", "Acme", "a@b.example\r\nBcc: c@d.example", "@b.example"])
def test_a_sender_is_one_address(sender: str) -> None:
    with pytest.raises(ValueError, match="mail_from must be one address"):
        SmtpMailer("smtp://localhost", sender)
