"""Password hashes that other systems made: they verify, and cost no more than ours."""

from __future__ import annotations

import statistics
import time

import argon2
import bcrypt
import pytest
from django.conf import settings as django_settings
from django.contrib.auth import hashers

from authkit_asgi.core import foreign_hashes
from authkit_asgi.core.passwords import Passwords

GOOD = "motörhead für immer"
QUICK = Passwords(rounds=8, min_length=8)

if not django_settings.configured:
    django_settings.configure()


def argon(kind: argon2.Type = argon2.Type.ID, *, memory: int = 64, lanes: int = 1) -> str:
    return argon2.PasswordHasher(1, memory, lanes, type=kind).hash(GOOD)


def django(hasher: hashers.BasePasswordHasher, *, iterations: int | None = None) -> str:
    more = {"iterations": iterations} if iterations else {}
    return str(hasher.encode(GOOD, hasher.salt(), **more))


def quick(hasher: hashers.BasePasswordHasher, **costs: int) -> hashers.BasePasswordHasher:
    for name, cost in costs.items():
        setattr(hasher, name, cost)
    return hasher


BCRYPT_SHA256 = quick(hashers.BCryptSHA256PasswordHasher(), rounds=4)


FOREIGN = [
    pytest.param(
        "$2b$10$IX726GrmhsEf4Kxcb2rHROl/AQ7NB6dh9HcKXaTVwFh3zSYIHz7n6", id="bcryptjs 3, $2b$"
    ),
    pytest.param(bcrypt.hashpw(GOOD.encode(), b"$2a$04$" + b"a" * 21 + b"e").decode(), id="$2a$"),
    pytest.param(django(hashers.PBKDF2PasswordHasher(), iterations=1000), id="Django, SHA-256"),
    pytest.param(django(hashers.PBKDF2SHA1PasswordHasher(), iterations=1000), id="Django, SHA-1"),
    pytest.param(django(BCRYPT_SHA256), id="Django, bcrypt_sha256"),
    pytest.param(django(quick(hashers.BCryptPasswordHasher(), rounds=4)), id="Django, bcrypt"),
    pytest.param(
        django(quick(hashers.Argon2PasswordHasher(), memory_cost=256)), id="Django, Argon2"
    ),
    pytest.param(argon(), id="Argon2id"),
    pytest.param(argon(argon2.Type.I), id="Argon2i"),
    pytest.param(argon(argon2.Type.D, lanes=4), id="Argon2d, four lanes"),
]


@pytest.mark.parametrize("stored", FOREIGN)
def test_hashes_of_other_systems_verify_and_are_replaced(stored: str) -> None:
    """SECURITY W-09: made by the other systems' own code."""
    passwords = Passwords(rounds=10, min_length=8)
    assert passwords.unfit(stored) is None
    assert passwords.verify(GOOD, stored)
    assert not passwords.verify(GOOD + "!", stored)
    assert not passwords.verify("", stored)
    assert passwords.outdated(stored)


def test_a_long_password_of_django_counts_to_its_end() -> None:
    long = "x" * 80
    stored = BCRYPT_SHA256.encode(long, bcrypt.gensalt(4))
    assert QUICK.verify(long, stored)
    assert not QUICK.verify(long[:-1], stored)


PBKDF2 = django(hashers.PBKDF2PasswordHasher(), iterations=1000)
DAMAGED = [
    pytest.param("!" + "a" * 40, id="Django's mark for no password"),
    pytest.param("md5$salt$5f4dcc3b5aa765d61d8327deb882cf99", id="another kind"),
    pytest.param(PBKDF2[:-4] + "*" * 4, id="not base64"),
    pytest.param(PBKDF2[:-8], id="a shorter digest"),
    pytest.param(PBKDF2[:-1] + "AAAA=", id="a longer digest, and so more work"),
    pytest.param(PBKDF2.replace("$1000$", "$0$"), id="no iterations"),
    pytest.param(PBKDF2.replace("$1000$", "$-1$"), id="fewer than none"),
    pytest.param(PBKDF2 + "\n", id="a line break more"),
    pytest.param(argon().replace("m=64", "m=7"), id="too little memory to work with"),
    pytest.param(argon().replace("p=1", "p=99"), id="99 threads"),
    pytest.param(argon().replace("v=19", "v=20"), id="a version to come"),
]
HOSTILE = [
    pytest.param(PBKDF2.replace("$1000$", "$2147483647$"), id="iterations"),
    pytest.param(argon().replace("m=64", "m=4194304"), id="4 GiB of memory"),
    pytest.param(argon().replace("t=1", "t=4294967295"), id="passes"),
    pytest.param(argon().replace("m=64,t=1,p=1", "m=128,t=30,p=16"), id="threads, 1920 of them"),
    pytest.param("$2b$31$" + "a" * 21 + "e" + "a" * 31, id="rounds of bcrypt"),
    pytest.param("$bcrypt-sha256$v=2,t=2b,r=31$" + "a" * 22 + "$" + "a" * 31, id="rounds of ours"),
]


@pytest.mark.parametrize("stored", [*DAMAGED, *HOSTILE])
def test_a_hash_that_cannot_be_worked_on_is_refused_and_matches_nothing(stored: str) -> None:
    """SECURITY D-01, W-14: a file cannot say how long this server is busy, nor with how much
    memory. The work is that of no account at all."""
    assert QUICK.unfit(stored)
    began = time.perf_counter()
    assert not QUICK.verify(GOOD, stored)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("stored", "rounds"),
    [
        pytest.param(PBKDF2.replace("$1000$", "$1000000$"), 12, id="Django 5.2"),
        pytest.param(PBKDF2.replace("$1000$", "$1200000$"), 12, id="Django 6.0"),
        pytest.param(PBKDF2.replace("$1000$", "$1500000$"), 13, id="Django 6.1"),
        pytest.param(PBKDF2.replace("$1000$", "$260000$"), 10, id="Django 3.2"),
        pytest.param(argon().replace("m=64,t=1,p=1", "m=65536,t=3,p=4"), 12, id="fastapi-users"),
        pytest.param(argon().replace("m=64,t=1,p=1", "m=102400,t=2,p=8"), 12, id="Django's Argon2"),
        pytest.param("$2b$12$" + "a" * 21 + "e" + "a" * 31, 12, id="bcrypt"),
    ],
)
def test_each_costs_no_more_than_ours(stored: str, rounds: int) -> None:
    """SECURITY E-02. What is refused says which setting lets it in."""
    enough, few = (Passwords(rounds=some, min_length=8) for some in (rounds, rounds - 1))
    assert enough.unfit(stored) is None
    refusal = few.unfit(stored)
    assert refusal is not None
    assert f"Set it to {rounds}," in refusal


def test_a_wrong_password_takes_as_long_as_without_an_account() -> None:
    """SECURITY E-02, for cheap hashes, and for one that costs nearly as much as ours. Taken in
    turns, so that all see the machine alike."""
    raised = Passwords(rounds=9, min_length=8)
    many = django(hashers.PBKDF2PasswordHasher(), iterations=120_000)
    kinds = [None, PBKDF2, many, argon(), argon(memory=16384, lanes=4), django(BCRYPT_SHA256)]
    taken: dict[str | None, list[float]] = {kind: [] for kind in kinds}
    for _ in range(7):
        for kind, times in taken.items():
            began = time.perf_counter()
            assert not raised.verify("another phrase", kind)
            times.append(time.perf_counter() - began)
    usual = statistics.median(taken[None])
    for kind, times in taken.items():
        assert usual / 2 < statistics.median(times) < usual * 2, kind


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = argon()
    monkeypatch.setattr(foreign_hashes, "_library", lambda: None)
    unfit = QUICK.unfit(stored)
    assert unfit is not None
    assert "authkit-asgi[argon2]" in unfit
    assert not QUICK.verify(GOOD, stored)
    assert QUICK.unfit(PBKDF2) is None
