"""What happened is told to everyone who listens, and nobody can spoil it for the others."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, fields
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi import events
from authkit_asgi.events import (
    AccountDeleted,
    EmailChanged,
    Event,
    Events,
    Listener,
    SignedIn,
    Visitor,
)

SIGNED_IN = SignedIn(at=1.0, user_id="u", session_id="s", visitor=Visitor(ip="192.0.2.7"))
KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]


def writing(log: list[str], name: str) -> Listener:
    async def listener(event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        log.append(f"{name} {type(event).__name__}")

    return listener


async def failing(event: Event) -> None:
    raise RuntimeError("the mail server is down")


async def test_listeners_hear_in_the_order_in_which_they_came() -> None:
    log: list[str] = []
    told = Events([writing(log, "first")])
    told.listen(writing(log, "second"))
    await told.tell(SIGNED_IN)
    assert log == ["first SignedIn", "second SignedIn"]


async def test_a_listener_that_fails_spoils_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    with caplog.at_level(logging.ERROR, "authkit_asgi.events"):
        await Events([failing, writing(log, "second")]).tell(SIGNED_IN)
    assert log == ["second SignedIn"]
    assert [record.getMessage() for record in caplog.records] == ["A listener failed on SignedIn"]


async def test_a_cancelled_teller_stops_telling() -> None:
    log: list[str] = []

    async def slow(event: Event) -> None:
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await Events([slow, writing(log, "second")]).tell(SIGNED_IN)
    assert log == []


async def test_nobody_listens() -> None:
    await Events().tell(SIGNED_IN)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_frozen_and_holds_no_secret(kind: type[Event]) -> None:
    event: Any = kind(at=1.0)
    with pytest.raises(FrozenInstanceError):
        event.user_id = "somebody else"
    assert {field.name for field in fields(kind)} <= {
        "at", "user_id", "session_id", "visitor", "reason", "scope", "old_email", "new_email",
        "email",
    }  # fmt: skip


def test_addresses_of_people_are_not_shown() -> None:
    changed = EmailChanged(at=1.0, old_email="ada@old.test", new_email="ada@new.test")
    deleted = AccountDeleted(at=1.0, email="ada@old.test")
    assert "ada@" not in repr((changed, deleted))
