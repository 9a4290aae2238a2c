"""Key pairs of access tokens: from files, published, and exchanged without signing anybody out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from authkit_asgi.cli import main
from authkit_asgi.core.tokens import ACCESS, Tokens
from authkit_asgi.doctor import problems, warnings
from authkit_asgi.keys import access_keys
from authkit_asgi.kit import AuthKit
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.new_keys import write_pair
from authkit_asgi.settings import Settings, SettingsError
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.testing import quick_kit
from tests.world import PASSWORD, Clock, Ear, Mailbox, World, settings

WELL_KNOWN = "/.well-known/jwks.json"
Algorithm = Literal["EdDSA", "ES256"]
ALGORITHMS: tuple[Algorithm, ...] = ("EdDSA", "ES256")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return new_pair(tmp_path, "access")


def new_pair(folder: Path, name: str, algorithm: Algorithm = "EdDSA") -> tuple[str, str]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    write_pair(private, public, algorithm)
    return str(private), str(public)


def with_keys(*paths: str, secret: bool = False, **more: Any) -> Settings:
    return settings(access_keys=paths, **({} if secret else {"token_secret": ()}), **more)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_file_stands_in_for_the_secret(tmp_path: Path, algorithm: Algorithm) -> None:
    private, _ = new_pair(tmp_path, "access", algorithm)
    (pem,) = access_keys(with_keys(private))
    (jwk,) = Tokens("https://app.example", {ACCESS: (pem,)}).public_keys(ACCESS)
    assert jwk["alg"] == algorithm


def test_without_a_key_file_a_secret_is_needed() -> None:
    """T-14."""
    with pytest.raises(SettingsError) as caught:
        settings(token_secret=())
    assert caught.value.problems == (
        "AUTHKIT_TOKEN_SECRET: is missing; `authkit-asgi secret` prints good ones",
    )


def test_every_file_that_will_not_do_is_named_and_none_is_quoted(tmp_path: Path) -> None:
    canary = "kan4rie-Zq7Xw2Lv9Tb3Nc8Rd5Hf6Jg1"
    contents = {
        "text.pem": canary,
        "broken.pem": f"-----BEGIN PRIVATE KEY-----\n{canary}\n-----END PRIVATE KEY-----\n",
        "large.pem": "-----BEGIN PRIVATE KEY-----\n" + canary * 1000,
        "binary.pem": "-----BEGIN \udcff",
    }
    for name, text in contents.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    names = [str(tmp_path / name) for name in (*contents, "missing.pem")] + [str(tmp_path)]
    with pytest.raises(SettingsError) as caught:
        AuthKit(with_keys(*names))
    assert [problem.split(": ")[1:] for problem in caught.value.problems] == [
        [names[0], "is not a PEM file"],
        [names[1], "not a key of Ed25519 or P-256, in PEM or as a JWK"],
        [names[2], "is not a PEM file"],
        [names[3], "is not a PEM file"],
        [names[4], "No such file or directory"],
        [names[5], "Is a directory"],
    ]
    assert canary not in str(caught.value)


def test_public_keys_alone_sign_nothing(pair: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match="none of them is private"):
        AuthKit(with_keys(pair[1]))
    assert AuthKit(with_keys(pair[1], secret=True))


def test_a_private_key_that_others_may_read_is_warned_of(
    pair: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    private, public = pair
    access_keys(with_keys(private, public))
    assert caplog.messages == []
    Path(private).chmod(0o640)
    with caplog.at_level(logging.WARNING):
        access_keys(with_keys(private, public))
    told = f"AUTHKIT_ACCESS_KEYS: {private}: others may read this private key: chmod 600"
    assert caplog.messages == [told]
    assert told in warnings(with_keys(private, public))


async def test_check_tells_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "missing.pem")
    found = await problems(with_keys(path), None)
    assert found == [f"AUTHKIT_ACCESS_KEYS: {path}: No such file or directory"]


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_command_writes_a_pair_for_ones_own_eyes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: Algorithm
) -> None:
    path = tmp_path / "access.pem"
    assert main(["--json", "keys", str(path), "--algorithm", algorithm]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"private": str(path), "public": f"{path}.pub"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in Path(told["public"]).read_text()
    keys = access_keys(with_keys(told["private"], told["public"]))
    (jwk,) = Tokens("https://app.example", {ACCESS: keys}).public_keys(ACCESS)  # one pair
    assert jwk["alg"] == algorithm


def test_the_command_says_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "access.pem"
    assert main(["keys", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"AUTHKIT_ACCESS_KEYS={path}",
        f"# to verify only: {path}.pub",
    ]


@pytest.mark.parametrize("there", ["access.pem", "access.pem.pub"])
def test_the_command_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (tmp_path / there).write_text("mine")
    assert main(["--json", "keys", str(tmp_path / "access.pem")]) == 1
    refusal = json.loads(capsys.readouterr().err)
    assert refusal["code"] == "key_not_written"
    assert refusal["error"] == f"{tmp_path / there}: File exists"
    assert [file.name for file in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


# --- what is published --------------------------------------------------------------------------


def test_public_keys_are_published_for_everybody(pair: tuple[str, str]) -> None:
    kit = quick_kit(settings=with_keys(pair[0]))
    client = TestClient(kit.wrap(Starlette()), base_url="http://localhost:8000")
    answer = client.get(WELL_KNOWN, headers={"cookie": "token=x; refreshToken=y"})
    assert answer.status_code == 200
    (jwk,) = answer.json()["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "use", "alg", "kid"}  # and no `d`
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers
    assert client.head(WELL_KNOWN).headers["content-length"] == str(len(answer.content))
    assert client.head(WELL_KNOWN).content == b""
    refused = client.post(WELL_KNOWN)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_secret_is_not_published() -> None:
    kit = quick_kit()
    client = TestClient(kit.wrap(Starlette()), base_url="http://localhost:8000")
    assert client.get(WELL_KNOWN).json() == {"keys": []}


@pytest.mark.parametrize("path", [f"{WELL_KNOWN}/", f"{WELL_KNOWN}/x", "/.well-known/other"])
def test_nothing_beside_it_is_opened(path: str) -> None:
    kit = quick_kit()
    client = TestClient(kit.wrap(Starlette()), base_url="http://localhost:8000")
    assert client.get(path).status_code == 401


def test_piece_by_piece_it_is_mounted_by_hand(pair: tuple[str, str]) -> None:
    kit = quick_kit(settings=with_keys(pair[0]))
    routes = [Route(WELL_KNOWN, kit.jwks), Mount("/api/users", kit.api)]
    client = TestClient(AuthMiddleware(Starlette(routes=routes), kit=kit))
    assert len(client.get(WELL_KNOWN).json()["keys"]) == 1


def test_below_a_root_path_it_is_found_too(pair: tuple[str, str]) -> None:
    kit = quick_kit(settings=with_keys(pair[0]))
    client = TestClient(kit.wrap(Starlette()), root_path="/site")
    assert len(client.get(f"/site{WELL_KNOWN}").json()["keys"]) == 1


# --- rotation -----------------------------------------------------------------------------------


async def test_from_a_secret_to_key_pairs_and_on_without_signing_anybody_out(
    tmp_path: Path,
) -> None:
    """T-15: at each step some workers run with the old settings and some with the new ones, and a
    browser goes back and forth between them with one access token."""
    first, first_public = new_pair(tmp_path, "first")
    second, second_public = new_pair(tmp_path, "second", "ES256")
    secret, refresh = settings().token_secret, settings().refresh_token_secret
    store, clock = MemoryStore(), Clock()
    steps: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((), secret),
        ((first_public,), secret),
        ((first,), secret),
        ((first,), ()),
        ((first, second_public), ()),
        ((second, first_public), ()),
        ((second,), ()),
    ]

    def worker(keys: Iterable[str], secrets: tuple[str, ...]) -> World:
        chosen = settings(access_keys=keys, token_secret=secrets, refresh_token_secret=refresh)
        mailbox = Mailbox()
        kit = AuthKit(chosen, store=store, mailer=mailbox, clock=clock)
        return World(kit, clock, mailbox, Ear())

    worlds = [worker(*step) for step in steps]
    await worlds[0].person()
    async with worlds[0].browser() as browser:
        assert (await browser.sign_in(password=PASSWORD)).status_code == 200
        held = browser.tokens()
    first_token = held["token"]
    for before, after in pairwise(worlds):
        for world in (before, after, before, after):
            async with world.browser() as browser:
                browser.take_tokens({"token": held["token"]})  # alone: nothing is exchanged
                assert (await browser.get("/members")).status_code == 200
        clock.pass_(seconds=3601)  # all that was signed before is over; the browser goes on
        async with after.browser() as browser:
            browser.take_tokens(held)
            assert (await browser.get("/members")).status_code == 200
            assert browser.tokens()["refreshToken"] != held["refreshToken"]
            held = browser.tokens()
    clock.pass_(seconds=-3601 * len(steps[1:]))
    async with worlds[-1].browser() as browser:
        browser.take_tokens({"token": first_token})
        assert (await browser.get("/members")).status_code == 401  # retired: refused at once
    async with worlds[0].browser() as browser:
        browser.take_tokens({"token": first_token})
        assert (await browser.get("/members")).status_code == 200
    for world in worlds:
        await world.kit.close()
