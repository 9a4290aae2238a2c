"""Keys are changed while people are about, over workers that are restarted one by one."""

from __future__ import annotations

import random
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from authkit_asgi import AuthKit, Settings
from authkit_asgi.testing import login_as, run_sync
from tests.outages.table import PAGE, proves
from tests.servers.serving import ROOT, environment, free_port, wait_for

pytestmark = pytest.mark.servers

LIFETIME = 2  # seconds that an access token lives here: every browser refreshes all the time
BROWSERS = 6
COMMANDS = re.findall(r"^(sed .*(?:\n  .*)*)$", PAGE.read_text(), re.MULTILINE)
SECRETS = ("AUTHKIT_TOKEN_SECRET", "AUTHKIT_REFRESH_TOKEN_SECRET")


class Fleet:
    """Two workers with one database and one env file, each a process on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "authkit.db"
        self.env_file = directory / ".env"
        fresh = [f"{name}={secrets.token_hex(32)}" for name in SECRETS]
        self.env_file.write_text("\n".join([*fresh, ""]))
        self._environment = environment(
            free_port(), self.database, AUTHKIT_ACCESS_TOKEN_LIFETIME=str(LIFETIME)
        )
        for name in SECRETS:
            del self._environment[name]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def ports(self) -> list[int]:
        return list(self._running)

    def start(self) -> int:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "tests.servers.app:app", "--port", str(port)]
        command += ["--env-file", str(self.env_file), "--log-level", "warning"]
        process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
        try:
            wait_for(port, process)
        finally:
            self._running[port] = process
        return port

    def replace(self, port: int) -> int:
        """A new worker, with what the file says now, in the place of an old one."""
        new = self.start()
        self.stop(port)
        return new

    def stop(self, port: int) -> None:
        process = self._running.pop(port)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kit(self, monkeypatch: pytest.MonkeyPatch) -> AuthKit:
        """With the settings as they are now, in this process."""
        for line in self.env_file.read_text().splitlines():
            monkeypatch.setenv(*line.split("=", 1))
        for name, value in self._environment.items():
            if name.startswith("AUTHKIT_"):
                monkeypatch.setenv(name, value)
        return AuthKit(Settings())

    def change(self, command: str) -> None:
        subprocess.run(["bash", "-c", command], cwd=self.env_file.parent, check=True)

    def lists(self) -> list[list[str]]:
        lines = self.env_file.read_text().splitlines()
        return [line.partition("=")[2].split(",") for line in lines]


@dataclass
class Crowd:
    """Browsers that click around, each request at any of the workers."""

    fleet: Fleet
    clients: list[httpx2.Client]
    trouble: list[str] = field(default_factory=list)
    clicks: list[int] = field(default_factory=lambda: [0] * BROWSERS)
    refreshes: list[int] = field(default_factory=lambda: [0] * BROWSERS)
    _over: threading.Event = field(default_factory=threading.Event)

    def click_around(self, number: int) -> None:
        dice = random.Random(number)
        while not self._over.wait(dice.uniform(0.02, 0.2)):
            answer = ask(self.clients[number], dice.choice(self.fleet.ports))
            if answer is None:  # a worker on its way out: like a click that is lost in a tunnel
                continue
            self.clicks[number] += 1
            told = answer.headers.get_list("set-cookie")
            self.refreshes[number] += bool(told)
            if answer.status_code != 200 or any(map(clears, told)):
                self.trouble.append(f"browser {number}: {answer.status_code} {told}")

    def wait_for(self, counts: list[int], more: int) -> None:
        """Until each browser has clicked, or refreshed, so many times more."""
        wanted = [count + more for count in counts]
        until = time.monotonic() + 30
        while any(now < then for now, then in zip(counts, wanted, strict=True)):
            assert time.monotonic() < until, counts
            assert not self.trouble
            time.sleep(0.02)

    @contextmanager
    def about(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.click_around, args=(n,)) for n in range(BROWSERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)


def clears(cookie: str) -> bool:
    return "=;" in cookie


def ask(client: httpx2.Client, port: int) -> httpx2.Response | None:
    try:
        return client.get(f"http://localhost:{port}/members")
    except httpx2.TransportError:
        return None


def status_at(client: httpx2.Client, port: int) -> int:
    answer = ask(client, port)
    assert answer is not None
    assert not any(map(clears, answer.headers.get_list("set-cookie")))
    return answer.status_code


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        yield made
    finally:
        for port in made.ports:
            made.stop(port)


@pytest.fixture
def people() -> Iterator[list[httpx2.Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(httpx2.Client(timeout=30)) for _ in range(BROWSERS + 1)]


@proves("Keys are being rotated")
def test_nobody_is_signed_out_and_a_retired_key_opens_nothing(
    fleet: Fleet, people: list[httpx2.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECURITY T-15: by the three commands of the page, with old and new keys among the workers."""
    add, switch, retire = COMMANDS
    old = fleet.kit(monkeypatch)
    *clients, thief = people  # the last one knows the old key
    for number, client in enumerate(clients):
        login_as(client, f"user{number}@example.test", kit=old, create=True)
    first, second = fleet.start(), fleet.start()
    crowd = Crowd(fleet, clients)
    with crowd.about():
        crowd.wait_for(crowd.clicks, 3)
        keys = [fleet.lists()]
        for command in (add, switch):
            fleet.change(command)
            keys.append(fleet.lists())
            first = fleet.replace(first)
            crowd.wait_for(crowd.refreshes, 1)  # at a worker with the old list, or with the new
            second = fleet.replace(second)
        crowd.wait_for(crowd.refreshes, 1)
        fleet.change(retire)
        keys.append(fleet.lists())

        login_as(thief, "user0@example.test", kit=old)
        assert status_at(thief, first) == 200
        first = fleet.replace(first)
        login_as(thief, "user0@example.test", kit=old)
        assert status_at(thief, first) == 401  # at once, where it is retired
        assert status_at(thief, second) == 200
        second = fleet.replace(second)
        login_as(thief, "user0@example.test", kit=old)
        assert [status_at(thief, port) for port in (first, second)] == [401, 401]
        crowd.wait_for(crowd.refreshes, 1)
    run_sync(old.close)

    print(f"\n{sum(crowd.clicks)} clicks, {sum(crowd.refreshes)} refreshes, 0 sign-outs")
    assert crowd.trouble == []
    for alone, added, switched, retired in zip(*keys, strict=True):
        assert added[:1] == alone
        assert len(set(added)) == 2
        assert switched == added[::-1]
        assert retired == switched[:1]
    with closing(sqlite3.connect(fleet.database)) as rows:
        closed = rows.execute("SELECT count(*) FROM sessions WHERE closed_at IS NOT NULL")
        assert closed.fetchone() == (0,)
