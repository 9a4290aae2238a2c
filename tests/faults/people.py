"""Workers that die and come back, and people whose browsers bear it."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx2

from tests.faults.databases import Database
from tests.servers.serving import ROOT, environment

PATIENCE = 15.0  # seconds for a worker, a mail or a database to come (back): machines are shared
PASSWORD = "correct horse battery"
NEW_PASSWORD = "another good phrase"

_numbers = count(1)


class Workers:
    """A nursery of workers (see `nursery.py`) on one database."""

    def __init__(self, home: Path, database: Database, *, workers: int = 1) -> None:
        self.home = home
        self.events = home / "events"
        self.mails = home / "mails"
        home.mkdir(exist_ok=True)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        port = self._socket.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self.deaths = 0
        self.living: list[int] = []
        self._read_mails: dict[Path, tuple[str, str]] = {}
        variables = environment(
            port,
            home / "unused.db",
            AUTHKIT_DATABASE_URL=database.url,
            AUTHKIT_MAIL_URL=f"file://{self.mails}",
            AUTHKIT_TRUSTED_PROXIES="127.0.0.1",
            FAULTS_EVENTS=str(self.events),
            **database.driver,
        )
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.faults.nursery",
                str(self._socket.fileno()),
                str(workers),
            ],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
        )
        # Each request has a connection of its own: it may be the last of its worker.
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"host": self.url.removeprefix("http://")},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # each keeps their own
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=PATIENCE,
            trust_env=False,
            verify=False,
        )
        self._ear = threading.Thread(target=self._hear)
        self._ear.start()

    def kill_one(self) -> None:
        """kill -9, and a new one in its place."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"k")
        self._process.stdin.flush()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._ear.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._socket.close()

    async def has_died(self, *, since: int) -> None:
        """Until there were more deaths than that."""
        until = time.monotonic() + PATIENCE
        while self.deaths <= since:
            assert time.monotonic() < until, "nobody died"
            await anyio.sleep(0.005)

    def slanders(self) -> str:
        """What was recorded of theft or a rollback: nobody here did any such thing."""
        return self.events.read_text() if self.events.exists() else ""

    async def mailed_token(self, address: str, kind: str) -> str:
        """The token in the newest mail to this address with a link of this kind."""
        with anyio.fail_after(PATIENCE):
            while True:
                for text in reversed([text for to, text in self._mails() if to == address]):
                    found = re.search(rf"[?&]token=([\w-]+)&type={kind}", text)
                    if found:
                        return found[1]
                await anyio.sleep(0.01)

    def _mails(self) -> list[tuple[str, str]]:
        for path in sorted(self.mails.glob("*.eml")):
            if path not in self._read_mails:
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                body = mail.get_body(("plain",))
                text = body.get_content() if body is not None else ""
                self._read_mails[path] = (str(mail["to"]), text)
        return list(self._read_mails.values())

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            sign, worker = line.split()
            if sign == b"+":
                self.living.append(int(worker))
            else:
                self.living.remove(int(worker))
                self.deaths += 1


@contextmanager
def serving(home: Path, database: Database, *, workers: int = 1) -> Iterator[Workers]:
    running = Workers(home, database, workers=workers)
    try:
        yield running
    finally:
        running.end()


@dataclass
class Person:
    """Somebody with an account, and one browser: it sends what cookies it has, and keeps what it
    is given."""

    workers: Workers
    name: str
    password: str = PASSWORD
    cookies: dict[str, str] = field(default_factory=dict, repr=False)
    statuses: list[int] = field(default_factory=list)
    cleared: bool = False
    _address: str = ""

    @classmethod
    def new(cls, workers: Workers) -> Person:
        number = next(_numbers)
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return cls(workers, f"p{number}x{secrets.token_hex(3)}", _address=address)

    @property
    def email(self) -> str:
        return f"{self.name}@example.test"

    def another_browser(self) -> Person:
        return Person(self.workers, self.name, self.password, _address=self._address)

    async def send(
        self, method: str, path: str, body: Any = None, *, die: str = ""
    ) -> httpx2.Response | None:
        """The answer, or None when the connection broke before it was there."""
        headers = {"x-forwarded-for": self._address, "sec-fetch-site": "same-origin"}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={one}" for name, one in self.cookies.items())
        if die:
            headers["die"] = die
        try:
            answer = await self.workers.client.request(method, path, json=body, headers=headers)
        except httpx2.TransportError:
            return None
        self._keep(answer)
        return answer

    async def insist(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Again, with the cookies it has by then, until something answers."""
        with anyio.fail_after(PATIENCE):
            while True:
                answer = await self.send(method, path, body)
                if answer is not None and answer.status_code != 503:
                    return answer
                await anyio.sleep(0.02)

    def _keep(self, answer: httpx2.Response) -> None:
        self.statuses.append(answer.status_code)
        for line in answer.headers.get_list("set-cookie"):
            pair, _, rest = line.partition(";")
            name, _, value = pair.partition("=")
            if "max-age=0" in rest.lower() or not value:
                self.cleared = True
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def lose_access_token(self) -> None:
        """As when its time is over: the browser drops the cookie."""
        self.cookies.pop("token", None)

    # --- what people do -----------------------------------------------------------------------

    async def register(self, *, die: str = "") -> httpx2.Response | None:
        body = {
            "firstname": "Ada",
            "lastname": "Lovelace",
            "username": self.name,
            "email": self.email,
            "password": self.password,
        }
        return await self.send("POST", "/api/users/register", body, die=die)

    async def sign_in(self, password: str | None = None) -> httpx2.Response:
        body = {"email": self.email, "password": password or self.password}
        return await self.insist("POST", "/api/users/login", body)

    async def can_sign_in(self, password: str) -> bool:
        """In a browser of its own."""
        return (await self.another_browser().sign_in(password)).status_code == 200

    async def confirm_address(self) -> None:
        await self.follow_the_link("email", "/api/users/user-verify")

    async def follow_the_link(self, kind: str, path: str, **body: str) -> None:
        """The newest one that came by mail. One that is void had a successor asked for, and its
        mail is on the way."""
        with anyio.fail_after(PATIENCE):
            while True:
                token = await self.workers.mailed_token(self.email, kind)
                answer = await self.insist("POST", path, {"token": token, **body})
                if answer.status_code == 200:
                    return
                assert answer.json()["code"] == "link_invalid", answer.text
                await anyio.sleep(0.1)

    async def settle(self) -> Person:
        """An account, and signed in."""
        answer = await self.register()
        assert answer is not None
        assert answer.status_code == 201, answer.text
        await self.confirm_address()
        answer = await self.sign_in()
        assert answer.status_code == 200, answer.text
        return self

    async def is_signed_in(self) -> bool:
        return (await self.insist("GET", "/members")).status_code == 200

    async def refreshes(self) -> bool:
        """With nothing but the refresh token; and then uses what it was given."""
        self.lose_access_token()
        return await self.is_signed_in() and await self.is_signed_in()


def generation_of(token: str) -> tuple[str, int]:
    """The session and the generation that a token names."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["sid"], claims["gen"]


def seconds_since(began: float) -> float:
    return time.monotonic() - began
