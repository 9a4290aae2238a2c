"""An account service and a service that only verifies, as two real servers on one host."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from authkit_asgi.new_keys import write_pair
from tests.servers.serving import ROOT, free_port, wait_for
from tests.world import PASSWORD


@dataclass
class Service:
    """One server, that can be ended and begun again at its port."""

    app: str
    variables: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def environment(self) -> dict[str, str]:
        clean = {name: v for name, v in os.environ.items() if not name.startswith("AUTHKIT_")}
        return {**clean, "AUTHKIT_BASE_URL": self.url, **self.variables}

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", self.app, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--log-level", "error", "--no-access-log"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment())
        wait_for(self.port, self.process)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def restart(self, **changes: str) -> None:
        self.stop()
        self.variables.update(changes)
        self.start()


@dataclass
class Town:
    accounts: Service
    reports: Service
    keys: Path

    def new_keys(self, name: str) -> str:
        private = self.keys / name
        write_pair(private, self.keys / f"{name}.pub", "EdDSA")
        return str(private)


@pytest.fixture(scope="session")
def whole_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    accounts = Service(
        "tests.remote.accounts:app",
        {
            "AUTHKIT_REFRESH_TOKEN_SECRET": secrets.token_hex(32),
            "AUTHKIT_DATABASE_URL": f"sqlite:///{folder / 'authkit.db'}",
            "AUTHKIT_BCRYPT_ROUNDS": "4",
            "AUTHKIT_ACCESS_KEYS": str(folder / "first"),
        },
    )
    town = Town(
        accounts,
        Service("tests.remote.reports:app", {"ACCOUNTS_URL": accounts.url}),
        folder,
    )
    town.new_keys("first")
    words = ["create-user", "--verified", "--password-stdin", "--email", "ada@example.test"]
    words += ["--username", "ada", "--firstname", "Ada", "--lastname", "Lovelace"]
    subprocess.run(
        [sys.executable, "-m", "authkit_asgi", *words],
        input=PASSWORD.encode(),
        env=accounts.environment(),
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    yield town
    accounts.stop(signal.SIGKILL)
    town.reports.stop(signal.SIGKILL)


@pytest.fixture
def town(whole_town: Town) -> Town:
    """Both are up, however the test before left them."""
    for service in (whole_town.accounts, whole_town.reports):
        if service.process is None:
            service.start()
    return whole_town


@pytest.fixture
async def browser(town: Town) -> AsyncIterator[httpx2.AsyncClient]:
    """Its cookies go to both: a port is no part of what a cookie belongs to (RFC 6265)."""
    async with httpx2.AsyncClient(headers={"sec-fetch-site": "same-origin"}, timeout=20) as one:
        yield one


async def sign_in(browser: httpx2.AsyncClient, town: Town) -> dict[str, str]:
    body = {"email": "ada@example.test", "password": PASSWORD}
    answer = await browser.post(f"{town.accounts.url}/api/users/login", json=body)
    assert answer.status_code == 200, answer.text
    return tokens_of(browser)


def tokens_of(browser: httpx2.AsyncClient) -> dict[str, str]:
    return {cookie.name: cookie.value or "" for cookie in browser.cookies.jar}


def hold(browser: httpx2.AsyncClient, **tokens: str) -> None:
    """These cookies and no others: without `token`, what a browser holds an hour later."""
    browser.cookies.clear()
    for name, value in tokens.items():
        browser.cookies.set(name, value, domain="localhost.local", path="/")
