"""Fixtures for pytest, there as soon as authkit-asgi is installed.

pytest imports this module in every project that has the package, so it brings nothing along: what a
fixture needs is loaded by the first test that asks for it. All names begin with `authkit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from authkit_asgi import testing

if TYPE_CHECKING:
    from authkit_asgi.accounts import User
    from authkit_asgi.events import Event
    from authkit_asgi.kit import AuthKit


@pytest.fixture
def authkit_settings() -> dict[str, Any]:
    """Settings in which `authkit` differs from `quick_settings`, by name. Override it."""
    return {}


@pytest.fixture
def authkit_options() -> dict[str, Any]:
    """What else `AuthKit` is given: `features`, `store`. Override it."""
    return {}


@pytest.fixture
def authkit_clock() -> testing.Clock:
    """The clock of `authkit`. It stands still until you move it."""
    return testing.Clock()


@pytest.fixture
def authkit_mailbox() -> testing.Mailbox:
    """Where the mails of `authkit` arrive."""
    return testing.Mailbox()


@pytest.fixture
def authkit(
    authkit_settings: dict[str, Any],
    authkit_options: dict[str, Any],
    authkit_clock: testing.Clock,
    authkit_mailbox: testing.Mailbox,
) -> Iterator[AuthKit]:
    """A kit of this test's own. Give it to the function that makes your app."""
    settings = testing.quick_settings(**authkit_settings)
    kit = testing.quick_kit(
        clock=authkit_clock, mailbox=authkit_mailbox, settings=settings, **authkit_options
    )
    yield kit
    testing.run_sync(kit.close)


@pytest.fixture
def authkit_events(authkit: AuthKit) -> list[Event]:
    """What happened, the oldest first."""
    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    authkit.events.listen(hear)
    return events


@pytest.fixture
def authkit_login(authkit: AuthKit) -> Callable[..., Any]:
    """`login_as` for `authkit`: `authkit_login(client, "ada@example.test")`.

    Whoever has no account yet gets one.
    """
    return partial(testing.login_as, kit=authkit, create=True)


@pytest.fixture
def authkit_user(authkit: AuthKit) -> Callable[..., User]:
    """`make_user` for `authkit`, without await: `authkit_user("ada@example.test")`."""

    def make(email: str, **account: Any) -> User:
        return testing.run_sync(partial(testing.make_user, authkit, email, **account))

    return make
