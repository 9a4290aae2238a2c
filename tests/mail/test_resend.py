"""The Resend mailer against a server on the loopback interface that speaks Resend's API."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import resend

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.outbox import Outbox
from authkit_asgi.mail.resend import ResendMailer

KEY = "re_cAnArYkEy"
SENDER = "Acmé, Inc. <no-reply@app.example>"
MakeMail = Callable[..., Mail]


@dataclass
class Api:
    """Answers `POST /emails` by its script, then with 200; keeps what was asked."""

    url: str = ""
    script: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    mails: list[dict[str, object]] = field(default_factory=list)
    silent: threading.Event | None = None  # no answer before this is set

    def answer(self, status: int, name: str = "", **headers: str) -> None:
        body = json.dumps(
            {"statusCode": status, "name": name, "message": "zoe.secret@mail.example"}
        )
        self.script.append((status, {"Content-Type": "application/json", **headers}, body))


def handler_for(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/emails"
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            api.mails.append(json.loads(body))
            if api.silent is not None:
                api.silent.wait(5)
            done = (200, {"Content-Type": "application/json"}, '{"id": "49a3999c"}')
            status, headers, text = api.script.pop(0) if api.script else done
            with suppress(ConnectionError):  # who asked has stopped waiting
                self.reply(status, headers, text)

        def reply(self, status: int, headers: dict[str, str], text: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_for(api)) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield api
        server.shutdown()


def send(mail: Mail, url: str) -> None:
    asyncio.run(ResendMailer(KEY, SENDER, api_url=url).send(mail))


def refusal(mail: Mail, url: str) -> MailError:
    with pytest.raises(MailError) as caught:
        send(mail, url)
    return caught.value


def test_what_resend_is_asked(api: Api, a_mail: MakeMail) -> None:
    """V-18: the mail's key makes a second request with the same mail no second mail."""
    mail = a_mail(key="verify/17")
    send(mail, api.url)
    [headers], [asked] = api.headers, api.mails
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["idempotency-key"] == "verify/17"
    assert headers["content-type"] == "application/json"
    assert asked["from"] == '"Acmé, Inc." <no-reply@app.example>'
    assert asked["to"] == [mail.to]
    assert asked["subject"] == mail.subject
    assert asked["text"] == mail.text
    assert asked["html"] == mail.html


@pytest.mark.parametrize(
    ("status", "name", "retryable"),
    [
        pytest.param(400, "validation_error", False, id="400"),
        pytest.param(401, "missing_api_key", False, id="no key"),
        pytest.param(403, "invalid_api_key", False, id="wrong key"),
        pytest.param(409, "invalid_idempotent_request", False, id="the key of another mail"),
        pytest.param(409, "concurrent_idempotent_requests", True, id="still busy with the first"),
        pytest.param(422, "missing_required_field", False, id="422"),
        pytest.param(429, "rate_limit_exceeded", True, id="too many"),
        pytest.param(500, "application_error", True, id="500"),
        pytest.param(503, "service_unavailable", True, id="503"),
        pytest.param(302, "", False, id="a redirect is not followed"),
    ],
)
def test_what_an_answer_means(
    status: int, name: str, retryable: bool, api: Api, a_mail: MakeMail
) -> None:
    """A-03: its name is told, its sentence (here with the address) is not."""
    api.answer(status, name, Location="http://127.0.0.1:1/")
    error = refusal(a_mail(), api.url)
    assert error.retryable is retryable
    assert str(error) == f"Resend answered {status} {name}".rstrip()


@pytest.mark.parametrize(
    "text", ["<html>Bad gateway</html>", "", "[]", "null", '{"name": 7}', '{"name": "a b\\nc"}']
)
def test_an_answer_that_is_not_resends(text: str, api: Api, a_mail: MakeMail) -> None:
    api.script.append((502, {"Content-Type": "text/html"}, text))
    error = refusal(a_mail(), api.url)
    assert (str(error), error.retryable) == ("Resend answered 502", True)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("-1", 0.0)],
)
def test_how_long_to_wait(said: str, seconds: float, api: Api, a_mail: MakeMail) -> None:
    api.answer(429, "rate_limit_exceeded", Retry_After=said)
    assert refusal(a_mail(), api.url).retry_after == seconds


def test_nobody_answers(free_port: int, a_mail: MakeMail) -> None:
    error = refusal(a_mail(), f"http://127.0.0.1:{free_port}")
    assert (str(error), error.retryable) == ("Resend could not be reached", True)


def test_an_answer_that_never_comes(
    api: Api, a_mail: MakeMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-07."""
    monkeypatch.setattr("authkit_asgi.mail.resend.TIMEOUT", 0.1)
    api.silent = threading.Event()
    began = time.monotonic()
    error = refusal(a_mail(), api.url)
    api.silent.set()
    assert (str(error), error.retryable) == ("Resend did not answer in time", True)
    assert time.monotonic() - began < 2


async def test_the_outbox_tries_again_with_the_same_key(
    api: Api, a_mail: MakeMail, caplog: pytest.LogCaptureFixture
) -> None:
    """V-18, E-04 and A-03 in one walk: too many, then a fault, then accepted."""
    caplog.set_level("DEBUG")
    api.answer(429, "rate_limit_exceeded", Retry_After="0")
    api.answer(500, "application_error")
    outbox = Outbox(ResendMailer(KEY, SENDER, api_url=api.url), first_pause=0.005)
    outbox.post(a_mail(key="verify/17"))
    assert await outbox.flush(5)
    outbox.close()
    assert [headers["idempotency-key"] for headers in api.headers] == ["verify/17"] * 3
    assert "attempt 2 failed, will retry: Resend answered 500 application_error" in caplog.text
    for secret in (KEY, "cAnArY", "zoe.secret"):
        assert secret not in caplog.text


def test_the_sdks_own_settings_are_left_alone(
    api: Api, a_mail: MakeMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that sends its own mails by the SDK keeps its key and its address."""
    monkeypatch.setattr(resend, "api_key", "re_the_applications")
    before = resend.api_key, resend.api_url, resend.default_async_http_client
    send(a_mail(), api.url)
    assert (resend.api_key, resend.api_url, resend.default_async_http_client) == before
    assert api.headers[0]["authorization"] == f"Bearer {KEY}"


def test_the_address_is_the_sdks_unless_one_is_given(
    api: Api, a_mail: MakeMail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resend, "api_url", api.url)  # it reads RESEND_API_URL
    send(a_mail(), "")
    assert api.mails


def test_a_key_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ValueError, match="https://"):
        ResendMailer(KEY, SENDER, api_url="http://resend.example")


def test_a_mailer_without_key_is_not_made() -> None:
    with pytest.raises(ValueError, match="RESEND_API_KEY"):
        ResendMailer("", SENDER)
