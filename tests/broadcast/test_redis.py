"""The messenger: what is told is heard, a loss is known, and nobody ever waits for it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from authkit_asgi.broadcast.redis import LIMIT, LONGEST, RedisBroadcast
from tests.broadcast.valkey import Valkey, publish, redis_url, running

CHANNEL = "authkit:test"
AT_ONCE = 0.2  # seconds, on a machine that has other things to do


class Listener:
    """A worker's end of the line."""

    def __init__(self, url: str) -> None:
        self.broadcast = RedisBroadcast(url, channel=CHANNEL)
        self.heard: list[bytes] = []
        self.missed = 0

    def open(self) -> Listener:
        self.broadcast.open(self.heard.append, self._count)
        return self

    def _count(self) -> None:
        self.missed += 1

    def connected(self) -> bool:
        return self.broadcast.is_connected


def until(condition: Callable[[], bool], seconds: float = 15) -> float:
    """How long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it does not happen"
        time.sleep(0.002)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_url() as url:
        yield url


@pytest.fixture
def server() -> Iterator[Valkey]:
    with running() as server:
        yield server


@pytest.fixture
def listener(url: str) -> Iterator[Listener]:
    listener = Listener(url).open()
    until(listener.connected)
    yield listener
    listener.broadcast.close()


@pytest.fixture
def line(server: Valkey) -> Iterator[Listener]:
    """A worker whose Redis will be harmed."""
    listener = Listener(server.url).open()
    until(listener.connected)
    yield listener
    listener.broadcast.close()


def test_what_one_tells_all_hear(listener: Listener, url: str) -> None:
    other = Listener(url).open()
    until(other.connected)
    listener.broadcast.tell(b"news \x00\xff")
    until(lambda: listener.heard == other.heard == [b"news \x00\xff"])
    other.broadcast.close()
    assert other.missed == 1  # at the start: who knows what was told before


def test_opening_twice_is_hearing_once(listener: Listener) -> None:
    listener.open()
    listener.broadcast.tell(b"once")
    listener.broadcast.tell(b"more")
    until(lambda: b"more" in listener.heard)
    assert listener.heard == [b"once", b"more"]


def test_what_waits_goes_out_before_the_end(listener: Listener, url: str) -> None:
    """`authkit-asgi revoke` tells, and ends."""
    threads = threading.active_count()
    for number in range(20):
        quick = Listener(url).open()
        quick.broadcast.tell(str(number).encode())
        quick.broadcast.close()
        assert threading.active_count() == threads
    until(lambda: len(listener.heard) == 20)


def test_it_begins_anew_after_the_end(listener: Listener) -> None:
    listener.broadcast.close()
    assert not listener.broadcast.is_connected
    listener.broadcast.tell(b"into the void")
    listener.open()
    until(listener.connected)
    listener.broadcast.tell(b"back")
    until(lambda: listener.heard == [b"back"])


def test_an_endless_message_is_nobodys(listener: Listener, url: str) -> None:
    publish(url, CHANNEL, b"x" * (LONGEST + 1))
    publish(url, CHANNEL, b"short")
    until(lambda: listener.heard != [])
    assert listener.heard == [b"short"]


def test_a_listener_that_fails_is_not_deaf_afterwards(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []

    def hear(message: bytes) -> None:
        if message == b"bad":
            raise LookupError(message)
        heard.append(message)

    broadcast = RedisBroadcast(url, channel=CHANNEL)
    broadcast.open(hear, lambda: None)
    until(lambda: broadcast.is_connected)
    broadcast.tell(b"bad")
    until(lambda: "LookupError" in caplog.text)
    until(lambda: broadcast.is_connected)
    broadcast.tell(b"good")
    until(lambda: heard == [b"good"])
    broadcast.close()


def test_a_redis_that_is_killed_and_comes_back(
    server: Valkey, line: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """S-13: whoever was cut off is told so, and reads."""
    caplog.set_level(logging.INFO)
    server.kill()
    until(lambda: not line.connected())
    for _ in range(3):
        began = time.monotonic()
        line.broadcast.tell(b"lost")
        assert time.monotonic() - began < AT_ONCE
    time.sleep(0.5)
    assert line.missed == 1
    server.start()
    until(line.connected)
    assert line.missed == 2
    line.broadcast.tell(b"found")
    until(lambda: line.heard == [b"found"])
    warned = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warned) == 2  # once for each direction, however often it was tried
    assert server.url not in caplog.text


def test_a_redis_that_falls_silent_is_noticed(server: Valkey, line: Listener) -> None:
    """As when a firewall drops everything: no error ever comes."""
    server.freeze()
    for _ in range(LIMIT + 5):
        line.broadcast.tell(b"x" * 100)
    until(lambda: not line.connected())
    assert line.broadcast._worker is not None
    assert line.broadcast._worker._waiting.qsize() <= LIMIT
    began = time.monotonic()
    line.broadcast.close()
    assert time.monotonic() - began < 2.5
    server.thaw()


def test_silence_alone_is_no_trouble(listener: Listener) -> None:
    time.sleep(2.6)  # longer than after which it asks
    assert listener.connected()
    assert listener.missed == 1


def test_no_redis_at_the_start_keeps_nobody(server: Valkey) -> None:
    server.kill()
    began = time.monotonic()
    listener = Listener(server.url).open()
    listener.broadcast.tell(b"nobody")
    assert time.monotonic() - began < AT_ONCE
    assert not listener.connected()
    server.start()
    until(listener.connected)
    listener.broadcast.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_listens_for_itself(listener: Listener) -> None:
    """As under a server that loads the app before it forks: the thread stays with the parent."""
    assert listener.broadcast._worker is not None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            listener.open()
            until(listener.connected)
            listener.broadcast.tell(b"from the child")
            until(lambda: listener.heard == [b"from the child"])
            os.write(writing, b"heard")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.read() == b"heard"
    os.waitpid(child, 0)
    until(lambda: listener.heard == [b"from the child"])


@pytest.mark.parametrize("url", ["redis://:hunter2@host:port", "http://hunter2@host"])
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must look like") as refused:
        RedisBroadcast(url, channel=CHANNEL)
    assert "hunter2" not in str(refused.value)
