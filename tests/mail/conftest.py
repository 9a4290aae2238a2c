"""What the tests of mail share: a mail with a secret link."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import pytest

from authkit_asgi.mail import Button, Letter, Mail
from authkit_asgi.mail.compose import Brand, compose

LINK = "https://app.example/user/verify-token?token=cAnArY-3f81&type=email"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs, down to the last detail."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def a_mail() -> Callable[..., Mail]:
    """Makes mails to Zoë, each with the same secret link."""

    def make(key: str = "verify/1", to: str = "zoe.secret@mail.example", name: str = "Zoë") -> Mail:
        letter = Letter(
            subject="Bestätige deine Adresse",
            name=name,
            paragraphs=("Welcome – nice to have you.",),
            button=Button(label="Confirm", url=LINK),
        )
        return compose(letter, to=to, key=key, brand=Brand("Acmé", "https://app.example"))

    return make


@pytest.fixture
def link() -> str:
    return LINK


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
