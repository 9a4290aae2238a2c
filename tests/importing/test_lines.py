"""JSON lines: damage is named by its line, and a run that ends half-way is gone on with."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from authkit_asgi.core.passwords import Passwords
from authkit_asgi.importing.jsonl import JsonLines
from authkit_asgi.importing.judging import Terms
from authkit_asgi.importing.taking import Report, Taking
from authkit_asgi.kit import AuthKit
from tests.importing.moving import BCRYPTJS_2B, everybody, lines
from tests.test_cli import Shell, in_app

ADA = {"id": 1, "email": "ada@example.com", "username": "ada", "createdAt": "2024-05-01T12:00:00Z"}


def person(number: int) -> dict[str, object]:
    name = f"person{number}"
    return {"id": number, "email": f"{name}@example.com", "username": name, "isVerified": True}


def test_what_is_no_person_is_named_by_its_line(shell: Shell, tmp_path: Path) -> None:
    """SECURITY N-05, N-06, W-16."""
    file = lines(
        tmp_path / "people",
        ADA,
        "",
        '{"email": "bob@example.com", "password": "hunter22"}',
        '{"email": "bob@example.com", "email": "ada@example.com"}',
        '["bob@example.com"]',
        "hunter22",
        "[" * 60_000,
        '{"email": "' + "x" * 70_000 + '"}',
        '{"email": "eve@example.com"}',
    )
    with Path(file).open("ab") as more:
        more.write(b'\xff\xfe\n{"email": "last@example.com"}')
    told = shell.data("import", "--from", "jsonl", file, "--write")
    assert [note["where"] for note in told["notes"]] == [
        f"line {number}" for number in (3, 4, 5, 6, 7, 8, 10)
    ]
    assert (told["taken"], told["reasons"]) == (3, {"unreadable": 7})
    assert "hunter22" not in shell.out + shell.err
    assert everybody().keys() == {"ada@example.com", "eve@example.com", "last@example.com"}


def test_who_is_there_already_is_left_alone(shell: Shell, tmp_path: Path) -> None:
    """Also when the rows have no id, and when the person changed since."""
    file = lines(tmp_path / "people", ADA, {"email": "Bob@example.com"})
    assert shell.data("import", "--from", "jsonl", file, "--write")["taken"] == 2
    before = everybody()
    changed = lines(
        tmp_path / "changed",
        {**ADA, "isAdmin": True, "isVerified": True, "passwordHash": BCRYPTJS_2B},
        {"email": "bob@EXAMPLE.com", "firstname": "Robert"},
        {**ADA, "email": "other@example.com"},
        {**ADA, "id": 2},
    )
    os.environ["AUTHKIT_BCRYPT_ROUNDS"] = "10"
    told = shell.data("import", "--from", "jsonl", changed, "--write")
    assert (told["taken"], told["there"]) == (0, 2)
    assert told["reasons"] == {"email_taken": 1, "id_taken": 1}
    assert everybody() == before


def test_nobody_comes_back_by_an_address_they_left(shell: Shell, tmp_path: Path) -> None:
    """Rows without an id too: an old address would bring the old password and a second account."""
    file = lines(tmp_path / "people", *({"email": f"{n}@example.com"} for n in ("ada", "bob")))
    assert shell.data("import", "--from", "jsonl", file, "--write")["taken"] == 2

    async def change(kit: AuthKit) -> None:
        accounts, now = kit.services.accounts, kit.clock()
        ada, bob = [await accounts.by_email(f"{name}@example.com") for name in ("ada", "bob")]
        assert ada is not None
        assert bob is not None
        new = {"email": "new@example.com", "email_key": "new@example.com"}
        assert await accounts.change(ada, new) is not None
        assert await accounts.delete(bob, now=now) is not None

    in_app(change)
    before = everybody()
    again = shell.data("import", "--from", "jsonl", file, "--write")
    assert (again["taken"], again["there"], again["reasons"]) == (0, 1, {"id_taken": 1})
    assert everybody() == before


def test_a_dry_run_tells_what_writing_does(shell: Shell, tmp_path: Path) -> None:
    """Conflicts within the file, too; and it writes nothing."""
    rows = [{**person(number), "username": "Sam"} for number in range(5)]
    rows += [person(3), {**person(3), "email": "elsewhere@example.com"}, {**person(7), "id": 8}]
    rows += [person(7), {"email": "PERSON7@example.com"}]
    file = lines(tmp_path / "people", *rows)
    would = shell.data("import", "--from", "jsonl", file)
    assert everybody() == {}
    did = shell.data("import", "--from", "jsonl", file, "--write")
    assert did == {**would, "written": True}
    assert (did["taken"], did["there"]) == (6, 2)
    assert did["reasons"] == {"email_taken": 1, "id_taken": 1}
    names = sorted(user.username for user in everybody().values())
    assert names == ["Sam", "Sam2", "Sam3", "Sam4", "Sam5", "person7"]


def test_a_terminal_is_written_to_by_nobody_else(shell: Shell, tmp_path: Path) -> None:
    """SECURITY A-04: a row may hold what a terminal takes for commands."""
    file = lines(tmp_path / "people", {"email": "\x1b]0;owned\x07\u202e@x"}, ADA)
    assert shell.run("import", "--from", "jsonl", file) == 0
    assert "\x1b" not in shell.out
    assert "\u202e" not in shell.out
    assert "skipped  line 1  \ufffd]0;owned" in shell.out
    assert "1 would be taken" in shell.out
    assert "add --write" in shell.out


def test_people_come_by_standard_input(shell: Shell) -> None:
    told = shell.data("import", "--from", "jsonl", "-", "--write", typed=f"{ADA}".replace("'", '"'))
    assert told["taken"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("jsonl", "nowhere.jsonl"), "No such file", id="no file"),
        pytest.param(("jsonl", "."), "directory", id="a directory"),
        pytest.param(("jsonl", "env:NOWHERE"), "no NOWHERE", id="not in the environment"),
        pytest.param(("jsonl", "-", "--table", "users"), "no tables", id="a table"),
    ],
)
def test_a_file_that_cannot_be_read(shell: Shell, words: tuple[str, ...], says: str) -> None:
    refusal = shell.refusal("import", "--from", *words)
    assert refusal["code"] == "source_unreadable"
    assert says in refusal["error"]


def test_after_kill_it_goes_on(environment: dict[str, str], shell: Shell, tmp_path: Path) -> None:
    """SECURITY Q-03: killed in the middle of writing; each account is whole, and none is lost."""
    file = lines(tmp_path / "people", *(person(number) for number in range(600)))
    program = [sys.executable, "-m", "authkit_asgi", "import", "--from", "jsonl", "-", "--write"]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    text = Path(file).read_bytes()
    process.stdin.write(text[: text.index(b"person400")])  # it waits for the rest of a line
    process.stdin.flush()
    store = Path(environment["AUTHKIT_DATABASE_URL"].removeprefix("sqlite:///"))
    deadline = time.monotonic() + 60
    while not store.exists() or len(everybody()) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=20)
    halfway = everybody()
    assert 0 < len(halfway) < 600
    assert all(user.is_verified and user.firstname for user in halfway.values())
    told = shell.data("import", "--from", "jsonl", file, "--write")
    assert (told["there"], told["taken"]) == (len(halfway), 600 - len(halfway))
    people = everybody()
    assert len(people) == 600
    assert {email: people[email] for email in halfway} == halfway


def test_memory_does_not_grow_with_the_file(environment: dict[str, str], tmp_path: Path) -> None:
    """SECURITY D-04: of five times as many people, no more are held at once."""
    terms = Terms(
        system="jsonl", secret="s" * 32, unfit=Passwords(rounds=4, min_length=8).unfit, now=2e9
    )

    def tidy(report: Report) -> None:
        gc.collect()  # so that only what is held counts

    async def peak(kit: AuthKit, first: int, count: int) -> int:
        file = lines(tmp_path / "people", *(person(first + n) for n in range(count)))
        accounts = kit.services.accounts
        taking = Taking(accounts, terms, write=True, tell=print, progress=tidy)
        source = JsonLines(file)
        tracemalloc.start()
        try:
            report = await taking.all_of(source)
            assert report.taken == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await source.close()

    async def work(kit: AuthKit) -> None:
        await peak(kit, 0, 40)  # at first, things are imported
        few, many = await peak(kit, 100, 100), await peak(kit, 1000, 500)
        assert many < 1.3 * few + 50_000

    in_app(work)
