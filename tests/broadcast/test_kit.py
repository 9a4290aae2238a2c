"""Two workers and a Redis between them, as the kit wires it, and what the command line says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from authkit_asgi import AuthKit
from authkit_asgi.broadcast.urls import broadcast_from_settings
from authkit_asgi.core.identity import Identity, identity_of
from authkit_asgi.core.rotation import Session
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.doctor import problems
from authkit_asgi.events import NOBODY
from authkit_asgi.settings import SettingsError
from authkit_asgi.store.memory import MemoryStore
from tests.broadcast.valkey import publish, redis_url, running
from tests.servers.serving import ROOT, environment
from tests.world import Clock, Mailbox, settings

ORIGIN = "http://localhost:8000"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_url() as url:
        yield url


@asynccontextmanager
async def two_workers(url: str, **more: Any) -> AsyncIterator[tuple[AuthKit, AuthKit]]:
    rows, clock, both = MemoryStore(), Clock(), settings(redis_url=url, **more)
    one, two = (AuthKit(both, store=rows, mailer=Mailbox(), clock=clock) for _ in range(2))
    await one.start()
    await two.start()
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(15):
        while not condition():  # noqa: ASYNC110 - threads are waited for, too
            await anyio.sleep(0.005)


async def signed_in(kit: AuthKit) -> tuple[Session, Identity]:
    services = kit.services
    user = await services.accounts.create(
        firstname="Ada",
        lastname="Lovelace",
        username="ada",
        email="ada@example.test",
        password_hash=None,
        now=kit.clock(),
        is_verified=True,
    )
    session, pair = await services.sessions.open(
        user, methods=("pwd",), remember=False, visitor=NOBODY, now=kit.clock()
    )
    read = kit.guard.tokens.read(ACCESS, pair.access.encode(), now=kit.clock())
    assert read is not None
    return session, identity_of(read)


async def test_another_worker_hears_at_once_on_asyncio_and_trio(url: str) -> None:
    """SECURITY S-10: no request was made there, and nothing read."""
    async with two_workers(url) as (one, two):
        await until(lambda: one.health().broadcast and two.health().broadcast)
        session, who = await signed_in(one)
        assert await one.services.sessions.close(session.id, reason="signed out", now=one.clock())
        await until(lambda: two.services.sessions.revocations.denies(who))
        assert two.health().revocations_age is None
    assert two.health().broadcast is False


async def test_a_neighbour_signs_nobody_out(url: str) -> None:
    async with two_workers(url) as (one, two):
        await until(lambda: two.health().broadcast)
        session, who = await signed_in(one)
        known = two.services.sessions.revocations
        for forged in (b"", b"x" * 64, bytes(32) + f'["session", "{session.id}"]'.encode()):
            assert publish(url, f"authkit:{ORIGIN}", forged) >= 1
        other = AuthKit(settings(redis_url=url), store=MemoryStore(), mailer=Mailbox())
        await other.start()  # an installation with the same origin and secrets of its own
        other.services.sessions.revocations.note_session(session.id, now=one.clock())
        one.services.sessions.revocations.note_session("the last", now=one.clock())
        await until(lambda: "the last" in known._closed)
        await other.close()
        assert not known.denies(who)


async def test_without_a_redis_nothing_is_different() -> None:
    kit = AuthKit(settings(), store=MemoryStore(), mailer=Mailbox())
    await kit.start()
    assert kit.health().broadcast is None
    session, who = await signed_in(kit)
    assert await kit.services.sessions.close(session.id, reason="signed out", now=kit.clock())
    assert kit.services.sessions.revocations.denies(who)
    await kit.close()


def test_the_command_line_tells_before_it_ends(url: str, tmp_path: Path) -> None:
    """`authkit-asgi revoke` lives for less than a second."""
    heard: list[bytes] = []
    variables = environment(8000, tmp_path / "authkit.db", AUTHKIT_REDIS_URL=url)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "authkit_asgi", *words]
        done = subprocess.run(
            command, input=b"correct horse battery", cwd=ROOT, env=variables, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    run(
        *("create-user", "--email", "ada@example.test", "--username", "ada", "--password-stdin"),
        *("--firstname", "Ada", "--lastname", "Lovelace", "--verified"),
    )
    listener = broadcast_from_settings(settings(redis_url=url, base_url="http://localhost:8000"))
    assert listener is not None
    listener.open(heard.append, lambda: None)
    anyio.run(until, lambda: listener.is_connected)
    run("revoke", "--user", "ada@example.test")
    run("make-admin", "ada@example.test")
    anyio.run(until, lambda: len(heard) == 2)
    listener.close()
    assert b'["user", ' in heard[0]


def test_check_tells_when_redis_does_not_answer(url: str) -> None:
    def found(redis_url: str) -> list[str]:
        return anyio.run(problems, settings(redis_url=redis_url), None)

    assert found(url) == []
    with running() as gone:
        dead = gone.url
    assert found(dead) == ["AUTHKIT_REDIS_URL: Redis does not answer, or does not let us listen"]


async def test_a_wrong_password_is_an_outage_and_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running("--requirepass", "right") as server:
        wrong = server.url.replace("redis://", "redis://:hunter2@")
        kit = AuthKit(settings(redis_url=wrong), store=MemoryStore(), mailer=Mailbox())
        await kit.start()
        await until(lambda: "does not answer" in caplog.text)
        assert kit.health().broadcast is False
        assert "hunter2" not in caplog.text + repr(kit.settings)
        await kit.close()
        right = settings(redis_url=server.url.replace("redis://", "redis://:right@"))
        kit = AuthKit(right, store=MemoryStore(), mailer=Mailbox())
        await kit.start()
        await until(lambda: kit.health().broadcast)
        await kit.close()


def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(SettingsError, match="AUTHKIT_REDIS_URL: must look like") as refused:
        settings(redis_url="http://:hunter2@host")
    assert "hunter2" not in str(refused.value)
