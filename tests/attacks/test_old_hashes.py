"""Accounts whose password was hashed when hashing cost less."""

from __future__ import annotations

import time

import bcrypt
import pytest

from authkit_asgi.core.passwords import Passwords

GOOD = "correct horse battery"


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(Passwords(rounds=5, min_length=8).hash(GOOD), id="fewer rounds"),
        pytest.param(bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(6)).decode(), id="another system"),
    ],
)
def test_a_wrong_password_takes_as_long_as_without_an_account(stored: str) -> None:
    """SECURITY E-02: raising the rounds must not tell who had an account before."""
    raised = Passwords(rounds=9, min_length=8)

    def best(against: str | None) -> float:
        return min(_seconds(raised, against) for _ in range(3))

    assert best(None) / 2 < best(stored) < best(None) * 2
    assert raised.verify(GOOD, stored)


def _seconds(passwords: Passwords, stored: str | None) -> float:
    began = time.thread_time()
    assert not passwords.verify("another phrase", stored)
    return time.thread_time() - began
