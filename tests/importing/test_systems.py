"""People come from the databases of other systems, and sign in with the password they have."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import django
import pytest
from bson import ObjectId
from pymongo import MongoClient

from tests.importing.moving import (
    BCRYPTJS_2A,
    BCRYPTJS_2A_PASSWORD,
    BCRYPTJS_2B,
    BCRYPTJS_LONG,
    BCRYPTJS_LONG_PASSWORD,
    OURS,
    PASSWORD,
    everybody,
    sign_ins,
)
from tests.store.services import run_sql
from tests.test_cli import Shell

HERE = Path(__file__).parent


# --- Next Auth Kit


def seeded(name: str, password: str, **more: Any) -> dict[str, Any]:
    """A document as the model of Next Auth Kit saves it."""
    return {
        "_id": ObjectId(),
        "firstname": name.capitalize(),
        "lastname": "Lovelace",
        "username": name,
        "email": f"{name}@example.com",
        "password": password,
        "isVerified": True,
        "isAdmin": False,
        "createdAt": datetime(2025, 5, 1, 12, 0, 0, 123000, tzinfo=UTC),
        "__v": 0,
        **more,
    }


@pytest.fixture
def old_site(mongodb_url: str, environment: dict[str, str]) -> Iterator[Any]:
    """The database of the old site, which is the one of the new site, too."""
    name = "old_next_auth_kit"
    os.environ["AUTHKIT_DATABASE_URL"] = os.environ["OLD"] = f"{mongodb_url}/{name}"
    os.environ["AUTHKIT_BCRYPT_ROUNDS"] = "10"
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)


def test_the_users_of_next_auth_kit_move_in(shell: Shell, old_site: Any) -> None:
    """Into the very database that they lived in."""
    ada = seeded("ada", BCRYPTJS_2B, bio="Notes", isAdmin=True, refreshToken="eyJ", forgetToken="t")
    bob = seeded("bob", BCRYPTJS_2A)
    cem = seeded("cem", BCRYPTJS_LONG, isVerified=False)
    old_site.users.insert_many(
        [
            ada,
            bob,
            cem,
            seeded("dan", BCRYPTJS_2A, createdAt=datetime(9000, 1, 1, tzinfo=UTC)),
            seeded("eve", BCRYPTJS_2A, email={"$gt": ""}),
        ]
    )
    before = list(old_site.users.find())
    would = shell.data("import", "--from", "next-auth-kit", "env:OLD")
    assert everybody() == {}
    did = shell.data("import", "--from", "next-auth-kit", "env:OLD", "--write")
    assert did == {**would, "written": True}
    assert (did["taken"], did["skipped"], did["takenAdmins"], did["takenUnverified"]) == (
        3,
        2,
        1,
        1,
    )
    assert did["reasons"] == {"invalid_email": 1, "invalid_time": 1}
    assert list(old_site.users.find()) == before
    people = everybody()
    moved = people["ada@example.com"]
    assert moved.id == str(ada["_id"])
    assert (moved.firstname, moved.lastname, moved.bio) == ("Ada", "Lovelace", "Notes")
    assert (moved.is_verified, moved.is_admin) == (True, True)
    assert moved.created_at == ada["createdAt"].timestamp()
    assert moved.password_hash == BCRYPTJS_2B
    assert sign_ins(
        ("ada@example.com", "another phrase"),
        ("ada@example.com", PASSWORD),
        ("ADA@example.com", PASSWORD),
        ("bob@example.com", BCRYPTJS_2A_PASSWORD),
        ("cem@example.com", BCRYPTJS_LONG_PASSWORD),  # has yet to confirm the address
    ) == [401, 200, 200, 200, 403]
    people = everybody()
    for name in ("ada", "bob", "cem"):
        assert str(people[f"{name}@example.com"].password_hash).startswith(OURS)
    again = shell.data("import", "--from", "next-auth-kit", "env:OLD", "--write")
    assert (again["taken"], again["there"], again["skipped"]) == (0, 3, 2)
    assert everybody() == people


@pytest.mark.parametrize("url", ["mongodb://ada:hunter22@:99999/x", "mysql://ada:hunter22@h/x"])
def test_what_is_no_mongodb_is_an_error_that_tells_no_password(shell: Shell, url: str) -> None:
    """SECURITY W-16"""
    refusal = shell.refusal("import", "--from", "next-auth-kit", url)
    assert refusal["code"] == "source_unreadable"
    assert "hunter22" not in shell.err


def test_a_mongodb_that_is_not_there_is_an_error_that_tells_no_password(
    environment: dict[str, str],
) -> None:
    """In a process of its own: PyMongo leaves a socket to the garbage collector."""
    url = "mongodb://ada:hunter22@127.0.0.1:1/old?serverSelectionTimeoutMS=100"
    words = ["--json", "import", "--from", "next-auth-kit", url]
    program = [sys.executable, "-m", "authkit_asgi", *words]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["code"] == "source_unreadable"
    assert "hunter22" not in done.stderr


# --- fastapi-users

FASTAPI_USERS = (HERE / "fastapi_users.sql").read_text()


def check_fastapi_users(shell: Shell, url: str, *more: str) -> None:
    os.environ["AUTHKIT_BCRYPT_ROUNDS"] = "12"
    words = ("import", "--from", "fastapi-users", url, *more)
    would = shell.data(*words)
    did = shell.data(*words, "--write")
    assert did == {**would, "written": True}
    assert (did["taken"], did["takenAdmins"], did["takenDisabled"]) == (4, 1, 1)
    people = everybody()
    ada = people["ada@example.com"]
    assert ada.id == "d6b05bda-0a87-41f6-82b6-8b683993b0ac"
    assert (ada.username, ada.firstname, ada.lastname) == ("ada", "ada", "")
    assert people["grace@example.com"].is_admin
    assert sign_ins(
        ("ada@example.com", PASSWORD),
        ("ada@example.com", PASSWORD + "!"),
        ("eve@example.com", PASSWORD),
        ("uwe@example.com", PASSWORD),
    ) == [200, 401, 401, 403]
    assert str(everybody()["ada@example.com"].password_hash).startswith(OURS)
    again = shell.data(*words, "--write")
    assert (again["taken"], again["there"]) == (0, 4)


def test_the_users_of_fastapi_users_move_in(shell: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(FASTAPI_USERS)
    check_fastapi_users(shell, f"sqlite:///{tmp_path / 'old.db'}")


def test_the_users_of_fastapi_users_move_in_from_postgresql(
    shell: Shell, postgres_url: str
) -> None:
    """Where ids are UUIDs, and flags booleans; beside a table of the same name elsewhere."""
    made = FASTAPI_USERS.replace("CHAR(36)", "UUID").replace('"user"', 'fu."user"')
    flags = re.sub(r"(?<=,)[01](?=[,)])", lambda bit: "ft"[int(bit[0])].join("''"), made)
    statements = flags.split(";\n")[:-1]
    anyio.run(run_sql, postgres_url, "DROP SCHEMA IF EXISTS fu CASCADE", "CREATE SCHEMA fu")
    anyio.run(run_sql, postgres_url, *statements)
    refused = shell.refusal("import", "--from", "fastapi-users", postgres_url)
    assert "There is no table 'user'" in refused["error"]
    check_fastapi_users(shell, postgres_url, "--table", "fu.user")


def test_a_damaged_row_does_not_hold_up_the_others(shell: Shell, tmp_path: Path) -> None:
    """Rows without an id came again and again, without an end; text that is no UTF-8 ended all."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript("""
            CREATE TABLE user (id TEXT, email TEXT, hashed_password TEXT, first_name TEXT);
            INSERT INTO user VALUES (NULL, 'nobody@example.com', '', ''), (NULL, '', '', ''),
                ('1', 'uwe@example.com', '', CAST(x'4dfc6c' AS TEXT)),
                ('2', CAST(x'fc40' AS TEXT) || 'example.com', '', ''),
                ('3', 'eve@example.com', '', 'Eve');
        """)
    source = f"sqlite:///{tmp_path / 'old.db'}"
    told = shell.data("import", "--from", "fastapi-users", source, "--write")
    assert (told["read"], told["taken"]) == (5, 2)
    assert told["reasons"] == {"invalid_email": 1, "unreadable": 2}
    assert {user.firstname for user in everybody().values()} == {"uwe", "Eve"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("sqlite:///nowhere.db", "There is no file", id="no file, and none is made"),
        pytest.param("hunter22", "must be a URL", id="no URL"),
        pytest.param("nosuch://ada:hunter22@h/x", "must be a URL", id="no such database"),
        pytest.param("mysql+mysqldb://ada:hunter22@h/x", "needs a driver", id="no driver"),
        pytest.param("postgresql://ada:hunter22@127.0.0.1:1/x", "cannot be read", id="no server"),
    ],
)
def test_a_source_that_cannot_be_read_is_an_error_that_tells_no_password(
    shell: Shell, url: str, says: str
) -> None:
    refusal = shell.refusal("import", "--from", "django", url)
    assert (refusal["code"], says in refusal["error"]) == ("source_unreadable", True)
    assert "hunter22" not in shell.err
    assert not Path("nowhere.db").exists()


# --- Django


def test_the_users_of_a_django_site_move_in(shell: Shell, tmp_path: Path) -> None:
    """Every hasher that Django recommends or has recommended, at its own cost."""
    program = [sys.executable, str(HERE / "django_site.py"), str(tmp_path / "old.db")]
    made = subprocess.run(program, check=True, capture_output=True, text=True, timeout=60)
    joined = json.loads(made.stdout)
    os.environ["AUTHKIT_BCRYPT_ROUNDS"] = "12" if django.VERSION < (6, 1) else "13"
    words = ("import", "--from", "django", f"sqlite:///{tmp_path / 'old.db'}")
    assert shell.data(*words)["takenUnverified"] == 10
    would = shell.data(*words, "--assume-verified")
    did = shell.data(*words, "--assume-verified", "--write")
    assert did == {**would, "written": True}
    assert (did["taken"], did["skipped"], did["reasons"]) == (
        10,
        2,
        {"email_taken": 1, "no_email": 1},
    )
    assert (did["takenAdmins"], did["takenDisabled"], did["takenWithoutPassword"]) == (1, 1, 5)
    people = everybody()
    pia = people["pia@example.com"]
    assert pia.created_at == joined["pia"]
    assert [people[f"{name}@example.com"].username for name in ("pia", "pia2")] == ["pia", "PIA2"]
    assert people["at@example.com"].username == "at-user"
    assert people["staff1@example.com"].lastname == "x" * 30
    assert not people["staff1@example.com"].is_admin
    names = ("pia", "per", "bea", "ben", "ann")
    assert sign_ins(*((f"{name}@example.com", PASSWORD) for name in names)) == [200] * 5
    assert sign_ins(("gone@example.com", PASSWORD), ("root@example.com", "!")) == [401, 401]
    after = everybody()
    for name in names:
        assert str(after[f"{name}@example.com"].password_hash).startswith(OURS)
    again = shell.data(*words, "--assume-verified", "--write")
    assert (again["taken"], again["there"], again["skipped"]) == (0, 10, 2)
    assert everybody() == after
