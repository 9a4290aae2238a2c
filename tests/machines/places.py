"""Where the machine plays: a store, opened in an event loop of its own, and how long it plays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from authkit_asgi.accounts import USERS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store import Store
from authkit_asgi.store.memory import MemoryStore
from tests.machines.street import Place, Street

RUN = 50  # steps, at most, before a street is left for a new one


async def memory() -> Store:
    return MemoryStore()


@contextmanager
def place(make: Callable[[], Awaitable[Store]], backend: str = "asyncio") -> Iterator[Place]:
    with start_blocking_portal(backend) as portal:
        store = portal.call(make)
        portal.call(store.open, [USERS, SESSIONS])
        try:
            yield Place(portal, store)
        finally:
            portal.call(store.close)


def play(place: Place, steps: int, **how: Any) -> None:
    """At least so many steps. Raises what a rule or an invariant of the machine raises."""

    class Here(Street):
        def __init__(self) -> None:
            super().__init__(place)

    # A run may end early, so one round is seldom enough.
    while place.steps < steps:
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=ceil((steps - place.steps) / RUN),
                stateful_step_count=RUN,
                deadline=None,
                database=None,  # nothing is kept between two test runs
                suppress_health_check=list(HealthCheck),
                **how,
            ),
        )
