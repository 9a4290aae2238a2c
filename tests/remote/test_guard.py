"""The guard that only verifies, against an account service that says what a test wants it to."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from authkit_asgi.core.paths import PathRules
from authkit_asgi.core.tokens import ACCESS, Claims, Tokens
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.new_keys import write_pair
from authkit_asgi.remote import RemoteKit
from authkit_asgi.remote.published import EVERY, LEARN_EVERY
from tests.world import Browser, Clock, members_app, settings

ISSUER = "https://app.example"
JWKS = "/.well-known/jwks.json"


@dataclass
class Said:
    """What the account service answers, and how often and how it was asked."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    pause: float = 0.0  # seconds
    asked: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Stranger:
    """An account service of its own mind. It listens on a real port."""

    port: int
    says: dict[str, Said]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self) -> Said:
        return self.says[JWKS]

    @property
    def exchange(self) -> Said:
        return self.says["/token"]


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    says = {JWKS: Said(), "/token": Said()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = says[self.path]
            said.asked.append({name.lower(): value for name, value in self.headers.items()})
            time.sleep(said.pause)
            self.send_response(said.status)
            for name, value in said.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # whoever asked has hung up
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield Stranger(server.server_address[1], says)
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def signer(tmp_path: Path) -> Tokens:
    return new_signer(tmp_path, "first")


def new_signer(folder: Path, name: str) -> Tokens:
    private = folder / name
    write_pair(private, folder / f"{name}.pub", "ES256")
    return Tokens(ISSUER, {ACCESS: (private.read_text(),)})


def published(*signers: Tokens) -> bytes:
    keys = [key for one in signers for key in one.public_keys(ACCESS)]
    return json.dumps({"keys": keys}).encode()


class Service:
    """The guarded service, in this process, with a clock that is set."""

    def __init__(self, stranger: Stranger, **options: Any) -> None:
        self.clock = Clock()
        options.setdefault("jwks_url", stranger.url + JWKS)
        self.kit = RemoteKit(settings(), issuer=ISSUER, clock=self.clock, **options)
        self.app = AuthMiddleware(members_app(), kit=self.kit, rules=PathRules(public=["/open/*"]))

    def token(self, signer: Tokens, **changes: Any) -> str:
        said: dict[str, Any] = {
            "subject": "user-1",
            "session_id": "session-1",
            "generation": 1,
            "epoch": 0,
            "issued_at": int(self.clock()),
            "expires_at": int(self.clock()) + 3600,
            **changes,
        }
        return signer.mint(ACCESS, Claims(**said))

    async def ask(self, path: str = "/members", **cookies: str) -> Any:
        async with Browser(self.app) as browser:
            browser.take_tokens(cookies)
            return await browser.get(path)


@pytest.fixture
async def service(stranger: Stranger) -> AsyncIterator[Service]:
    one = Service(stranger, refresh_url=f"{stranger.url}/token")
    yield one
    await one.kit.close()


# --- keys ---------------------------------------------------------------------------------------


async def test_keys_are_read_once_for_many_requests(
    stranger: Stranger, service: Service, signer: Tokens
) -> None:
    """T-02: verifying asks nobody."""
    stranger.keys.body = published(signer)
    token = service.token(signer)
    for _ in range(50):
        assert (await service.ask(token=token)).status_code == 200
    for number in range(20):
        token = service.token(signer, subject=f"user-{number}")
        assert (await service.ask(token=token)).status_code == 200
    assert len(stranger.keys.asked) == 1


async def test_a_flood_of_made_up_tokens_asks_hardly_ever(
    stranger: Stranger, service: Service, signer: Tokens
) -> None:
    """T-04, D-04: whatever a token's header says, the address is ours and the pace is ours."""
    stranger.keys.body = published(signer)
    good = service.token(signer)
    assert (await service.ask(token=good)).status_code == 200
    _, payload, signature = good.split(".")
    for number in range(200):
        header = {"alg": "ES256", "kid": f"kid-{number}", "jku": f"{stranger.url}/token"}
        made_up = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
        answer = await service.ask(token=f"{made_up}.{payload}.{signature}")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert (await service.ask(token=good)).status_code == 200
        service.clock.pass_(seconds=LEARN_EVERY / 50)
    assert 1 <= len(stranger.keys.asked) <= 1 + 200 / 50
    assert stranger.exchange.asked == []


async def test_a_retired_key_is_forgotten_with_all_it_signed(
    stranger: Stranger, service: Service, signer: Tokens, tmp_path: Path
) -> None:
    """T-15: also what was verified before and is remembered, by header and by token."""
    other = new_signer(tmp_path, "second")
    stranger.keys.body = published(signer, other)
    old, new = service.token(signer), service.token(other)
    assert [(await service.ask(token=one)).status_code for one in (old, new)] == [200, 200]
    stranger.keys.body = published(other)
    service.clock.pass_(seconds=EVERY - 1)
    assert (await service.ask(token=old)).status_code == 200
    service.clock.pass_(seconds=1)
    assert (await service.ask(token=old)).status_code == 401  # the one whose request read them
    assert (await service.ask(token=old)).status_code == 401
    assert (await service.ask(token=new)).status_code == 200
    stranger.keys.body = published()
    service.clock.pass_(seconds=EVERY)
    assert (await service.ask(token=new)).status_code == 401


async def test_a_new_key_is_learned_when_it_is_first_seen(
    stranger: Stranger, service: Service, signer: Tokens, tmp_path: Path
) -> None:
    """T-15."""
    stranger.keys.body = published(signer)
    assert (await service.ask(token=service.token(signer))).status_code == 200
    other = new_signer(tmp_path, "second")
    stranger.keys.body = published(other, signer)
    service.clock.pass_(seconds=LEARN_EVERY)
    for one in (other, signer):
        assert (await service.ask(token=service.token(one))).status_code == 200
    assert len(stranger.keys.asked) == 2


BAD_ANSWERS = {
    "an error": Said(status=500, body=b"{}"),
    "a redirect": Said(status=302, headers=[("Location", "/elsewhere")]),
    "no JSON": Said(body=b"<html>"),
    "a list": Said(body=b"[]"),
    "no list of keys": Said(body=b'{"keys": {}}'),
    "deep nesting": Said(body=b"[" * 60_000),
    "endless": Said(body=b'{"keys": []' + b" " * 70_000 + b"}"),
    "silence": Said(body=b'{"keys": []}', pause=2.5),
}


@pytest.mark.parametrize("said", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_answer_that_is_none_changes_nothing(
    stranger: Stranger, service: Service, signer: Tokens, said: Said
) -> None:
    """Q-06: known keys stay; and before there is any, nobody is told that he is a stranger."""
    token = service.token(signer)
    stranger.says[JWKS] = Said(said.status, said.body, said.headers, said.pause)
    for _ in range(2):
        answer = await service.ask(token=token)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await service.ask("/open/x", token=token)).status_code != 503
    assert (await service.ask()).status_code == 401
    stranger.says[JWKS] = Said(body=published(signer))
    service.clock.pass_(seconds=LEARN_EVERY)
    assert (await service.ask(token=token)).status_code == 200
    stranger.says[JWKS] = Said(said.status, said.body, said.headers, said.pause)
    service.clock.pass_(seconds=EVERY)
    for _ in range(2):
        assert (await service.ask(token=token)).status_code == 200


async def test_of_what_is_published_only_public_keys_of_ours_are_used(
    stranger: Stranger, service: Service, signer: Tokens
) -> None:
    """T-01, T-02: no secret, no other algorithm, and no mistake in one hides the others."""
    (good,) = signer.public_keys(ACCESS)
    strange: list[object] = [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": good["x"], "y": good["x"]},  # not on the curve
        {"kty": "EC", "crv": "P-256", "x": good["x"]},
        {"kty": "EC", "crv": "P-256", "x": 7, "y": []},
        {"kty": "EC", "crv": "P-384", "x": good["x"], "y": good["y"]},
        {"kty": "OKP", "crv": "Ed25519", "x": ""},
        {"kty": "OKP", "crv": "X25519", "x": good["x"]},
        {"kty": ["EC"], "crv": None},
        {},
        "text",
        None,
    ]
    said = {**good, "kid": "../../etc", "alg": "HS256", "use": "enc", "x5u": "http://evil.example"}
    stranger.keys.body = json.dumps({"keys": [*strange, said]}).encode()
    assert (await service.ask(token=service.token(signer))).status_code == 200
    assert service.kit.guard.tokens.public_keys(ACCESS) == [good]


async def test_a_token_of_another_issuer_or_of_too_long_a_life_is_refused(
    stranger: Stranger, service: Service, signer: Tokens, tmp_path: Path
) -> None:
    """T-07, T-11."""
    stranger.keys.body = published(signer)
    long = service.token(signer, expires_at=int(service.clock()) + 7200)
    assert (await service.ask(token=long)).status_code == 401
    other = Tokens("https://other.example", {ACCESS: ((tmp_path / "first").read_text(),)})
    assert (await service.ask(token=service.token(other))).status_code == 401
    assert (await service.ask(token=service.token(signer))).status_code == 200


async def test_given_keys_need_no_network(stranger: Stranger, signer: Tokens) -> None:
    """T-02: an address that is not there is never asked."""
    keys = signer.public_keys(ACCESS)
    service = Service(stranger, jwks_url="", public_keys=keys)
    assert (await service.ask(token=service.token(signer))).status_code == 200
    service.clock.pass_(seconds=EVERY * 2)
    assert (await service.ask(token=service.token(signer))).status_code == 200
    assert (await service.ask(token="a.b.c")).status_code == 401
    assert stranger.keys.asked == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"issuer": "app.example"}, id="no origin"),
        pytest.param({"jwks_url": "http://app.example/keys"}, id="plain http"),
        pytest.param({"jwks_url": "file:///etc/passwd"}, id="a file"),
        pytest.param({"jwks_url": "https://ada:secret@app.example/keys"}, id="a password"),
        pytest.param({"refresh_url": "http://app.example/token"}, id="tokens by plain http"),
        pytest.param({"refresh_url": "https://app.example/a\r\nb"}, id="a line feed"),
        pytest.param({"public_keys": ["a" * 40], "jwks_url": ""}, id="a secret"),
        pytest.param({"public_keys": [{"kty": "EC"}], "jwks_url": "https://a.example/"}, id="both"),
    ],
)
def test_what_is_unsafe_is_refused_at_the_start(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        RemoteKit(settings(), **{"issuer": ISSUER, **options})
    assert "secret@" not in str(caught.value)


# --- exchanging ---------------------------------------------------------------------------------


def pair_of(service: Service, signer: Tokens) -> list[tuple[str, str]]:
    flags = "; Max-Age=600; Path=/; HttpOnly"
    return [
        ("Set-Cookie", f"token={service.token(signer)}{flags}"),
        ("Set-Cookie", f"refreshToken=new.refresh.token{flags}"),
    ]


async def test_an_exchange_is_asked_for_in_the_visitors_name(
    stranger: Stranger, service: Service, signer: Tokens
) -> None:
    stranger.keys.body = published(signer)
    stranger.exchange.headers = pair_of(service, signer)
    answer = await service.ask(refreshToken="old.refresh.token", theme="dark")
    assert answer.status_code == 200
    (asked,) = stranger.exchange.asked
    assert asked["cookie"] == "refreshToken=old.refresh.token"  # and no cookie of anybody else
    assert asked["user-agent"].startswith("Mozilla/5.0")
    assert asked["x-forwarded-for"] == "127.0.0.1"
    assert asked["content-type"] == "application/json"
    cookies = answer.headers.get_list("set-cookie")
    assert [one.partition("=")[0] for one in cookies] == ["token", "refreshToken"]
    assert all("Max-Age=" in one and "HttpOnly" in one for one in cookies)


OWN_401 = json.dumps({"success": False, "code": "not_signed_in"}).encode()
CLEARED = [("Set-Cookie", "refreshToken=; Max-Age=0; Path=/")]
OUTCOMES = {
    "dead": (Said(401, OWN_401, CLEARED), 401, 2),
    "not known": (Said(401, OWN_401), 401, 0),
    "a proxy's 401": (Said(401, b"<html>", CLEARED), 503, 0),
    "a limit": (Said(429, b"{}"), 503, 0),
    "refused": (Said(403, b"{}"), 503, 0),
    "not found": (Said(404, OWN_401, CLEARED), 503, 0),
    "an outage": (Said(503, b"{}", CLEARED), 503, 0),
    "no cookies": (Said(200, b"{}"), 503, 0),
    "a redirect": (Said(303, b"", [("Location", "/token"), *CLEARED]), 503, 0),
    "a token of nobody's": (Said(200, b"{}", [("Set-Cookie", "token=a.b.c; Max-Age=9")]), 503, 0),
}


@pytest.mark.parametrize(("said", "status", "cleared"), OUTCOMES.values(), ids=OUTCOMES)
async def test_cookies_go_only_when_the_account_service_says_so(
    stranger: Stranger, service: Service, signer: Tokens, said: Said, status: int, cleared: int
) -> None:
    """Q-06."""
    stranger.keys.body = published(signer)
    stranger.says["/token"] = Said(said.status, said.body, said.headers)
    answer = await service.ask(refreshToken="old.refresh.token")
    assert answer.status_code == status
    assert len(answer.headers.get_list("set-cookie")) == cleared
    assert len(stranger.exchange.asked) == 1


async def test_without_an_address_the_client_is_told_to_refresh(
    stranger: Stranger, signer: Tokens
) -> None:
    service = Service(stranger)
    stranger.keys.body = published(signer)
    answer = await service.ask(refreshToken="old.refresh.token")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert "set-cookie" not in answer.headers
    await service.kit.close()


async def test_it_begins_anew_after_its_end(
    stranger: Stranger, service: Service, signer: Tokens
) -> None:
    stranger.keys.body = published(signer)
    async with service.kit.lifespan():
        assert (await service.ask(token=service.token(signer))).status_code == 200
    service.clock.pass_(seconds=EVERY)
    assert (await service.ask(token=service.token(signer))).status_code == 200
    assert len(stranger.keys.asked) == 2


async def test_an_open_connection_ends_with_its_token(service: Service) -> None:
    """S-10: nobody here hears of a logout, so nothing may outlive the token that opened it."""
    assert await service.kit.guard.sessions.ends_at("session-1", now=service.clock()) is None
