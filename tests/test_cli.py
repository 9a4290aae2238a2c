from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from authkit_asgi import __version__
from authkit_asgi.accounts import User
from authkit_asgi.cli import main
from authkit_asgi.core.rotation import Session, Verdict
from authkit_asgi.errors import BadCredentials
from authkit_asgi.events import NOBODY
from authkit_asgi.kit import AuthKit
from authkit_asgi.links import LINKS
from authkit_asgi.sessions import SESSIONS, TokenPair
from authkit_asgi.settings import DAY, Settings
from authkit_asgi.store import mounts

T = TypeVar("T")

PASSWORD = "four Zebras, 1 piano"
SECRETS = {
    "AUTHKIT_TOKEN_SECRET": "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2,
    "AUTHKIT_REFRESH_TOKEN_SECRET": "9a8b7c6d5e4f30211203f4e5d6c7b8a9" * 2,
}
ADA = ["--email", "ada@example.com", "--username", "ada", "--firstname", "Ada", "--lastname", "L."]


class Shell:
    """Runs commands in this process, as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._patch = patch
        self.out = self.err = ""

    @property
    def path(self) -> Path:
        return Path(os.environ["AUTHKIT_DATABASE_URL"].removeprefix("sqlite:///"))

    def run(self, *words: str, typed: str | bytes = "") -> int:
        raw = typed.encode() if isinstance(typed, str) else typed
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))
        status = main(words)
        self.out, self.err = self._capsys.readouterr()
        return status

    def data(self, *words: str, typed: str = "") -> Any:
        """What a command that succeeds prints with --json."""
        assert self.run("--json", *words, typed=typed) == 0, self.err
        return json.loads(self.out)

    def refusal(self, *words: str, typed: str | bytes = "") -> Any:
        """What a command that is refused says with --json."""
        assert self.run("--json", *words, typed=typed) == 1
        assert self.out == ""
        return json.loads(self.err)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a small world, and nothing else of the surrounding ones. Put back in the end."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("AUTHKIT_") or name in ("FORWARDED_ALLOW_IPS", "RESEND_API_KEY"):
            del os.environ[name]
    os.environ.update(
        SECRETS,
        AUTHKIT_BASE_URL="http://localhost:8000",
        AUTHKIT_DATABASE_URL=f"sqlite:///{tmp_path / 'authkit.db'}",
        AUTHKIT_MAIL_URL=f"file://{tmp_path / 'mails'}",
        AUTHKIT_BCRYPT_ROUNDS="4",
    )
    yield dict(os.environ)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def shell(
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    return Shell(capsys, monkeypatch)


def in_app(work: Callable[[AuthKit], Awaitable[T]]) -> T:
    """What another process, the application, does on the same store."""

    async def run() -> T:
        kit = AuthKit(Settings())
        async with kit.lifespan():
            return await work(kit)

    return anyio.run(run)


async def signed_in(kit: AuthKit) -> tuple[Session, TokenPair]:
    opened = await kit.services.signin.with_password(
        "ada@example.com", PASSWORD, remember=False, visitor=NOBODY, now=kit.clock()
    )
    return opened.session, opened.pair


def make_ada(shell: Shell, *more: str) -> str:
    made = shell.data("create-user", *ADA, "--password-stdin", *more, typed=PASSWORD)
    user_id: str = made["user"]["id"]
    return user_id


# ---- The real command


def started(*words: str, typed: str = "", env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "authkit_asgi", *words]
    return subprocess.run(
        command, input=typed, env=env, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_command_makes_an_account_that_signs_in(environment: dict[str, str]) -> None:
    """A password by standard input, the line's end not being part of it."""
    words = ("create-user", *ADA, "--password-stdin", "--verified", "--json")
    done = started(*words, typed=PASSWORD + "\n", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    user = json.loads(done.stdout)["user"]
    assert (user["username"], user["isVerified"], user["isAdmin"]) == ("ada", True, False)

    async def signs_in(kit: AuthKit) -> User:
        return await kit.services.accounts.authenticate("ada@example.com", PASSWORD)

    assert in_app(signs_in).id == user["id"]


def test_the_command_refuses_with_a_status_of_one(environment: dict[str, str]) -> None:
    done = started("revoke", "--user", "nobody@example.com", "--json", env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr) == {"error": "There is no such account.", "code": "not_found"}


def test_the_installed_script_is_the_command(environment: dict[str, str]) -> None:
    script = Path(sys.executable).with_name("authkit-asgi")
    done = subprocess.run(
        [script, "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"authkit-asgi {__version__}\n"


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("again", "status", "said"),
    [
        pytest.param(PASSWORD, 0, "ada has an account", id="twice the same"),
        pytest.param("another", 1, "The two passwords differ.", id="a slip of the finger"),
    ],
)
def test_a_password_is_asked_for_twice_and_not_shown(
    environment: dict[str, str], again: str, status: int, said: str
) -> None:
    """SECURITY W-16."""
    command = [sys.executable, "-m", "authkit_asgi", "create-user", *ADA, "--verified"]
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = b""
        for prompt, answer in ((b"Password: ", PASSWORD), (b"Again: ", again)):
            while not seen.endswith(prompt):
                read = os.read(process.stdout.fileno(), 1024)
                assert read, seen
                seen += read
            os.write(process.stdin.fileno(), answer.encode() + b"\n")
        seen += process.stdout.read()
    assert process.returncode == status
    assert said in seen.decode()
    assert PASSWORD.encode() not in seen


# ---- Using it well and wrongly


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="no command"),
        pytest.param(["frobnicate"], id="an unknown command"),
        pytest.param(["make-admin"], id="nobody named"),
        pytest.param(["revoke"], id="nothing to revoke"),
        pytest.param(["revoke", "--user", "a@b.example", "--session", "x"], id="both at once"),
        pytest.param(["create-user", "--email", "a@b.example"], id="half an account"),
        pytest.param(["create-user", *ADA], id="no terminal to ask in"),
        pytest.param(["check", "--mail-to", "not an address"], id="a mail to nowhere"),
        pytest.param(["check", "--js"], id="half an option"),
        pytest.param(["hashers", "calibrate", "--target", "250"], id="a time without a unit"),
        pytest.param(["hashers", "calibrate", "--target", "0ms"], id="no time at all"),
    ],
)
def test_misuse_has_the_status_two(shell: Shell, words: list[str]) -> None:
    assert shell.run(*words) == 2
    assert shell.err.startswith("authkit-asgi: ")
    assert shell.run(*words, "--json") == 2
    assert shell.out == ""
    assert json.loads(shell.err)["code"] == "usage"


@pytest.mark.parametrize("json_too", [[], ["--json"]], ids=["in words", "in JSON"])
@pytest.mark.parametrize(
    "mistaken",
    [
        pytest.param(["--password", PASSWORD], id="as an option's value"),
        pytest.param([f"--password={PASSWORD}"], id="as an option with a sign"),
        pytest.param([f"-p{PASSWORD}"], id="as a short option"),
        pytest.param([PASSWORD], id="alone"),
    ],
)
def test_a_password_given_as_an_argument_is_refused_and_not_repeated(
    shell: Shell, mistaken: list[str], json_too: list[str]
) -> None:
    """SECURITY W-16."""
    assert shell.run("create-user", *ADA, *mistaken, *json_too) == 2
    assert PASSWORD not in shell.out + shell.err


COMMANDS = [
    "secret",
    "hashers",
    "migrate",
    "create-user",
    "make-admin",
    "revoke",
    "cleanup",
    "check",
    "routes",
    "explain",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_how_and_the_docs_explain(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert command in told
    assert "authkit-asgi" in told
    assert told.isascii()  # the terminal of a bare server may know no other characters
    docs = Path(__file__).parents[1].joinpath("docs/cli.md").read_text("utf-8")
    assert f"\n## {command}" in docs
    options = set(re.findall(r"--[a-z-]+", told)) - {"--help"}
    assert {one for one in options if one not in docs} == set()


# ---- hashers


def test_hashers_are_calibrated_for_a_time(shell: Shell) -> None:
    """A second core or a quicker one changes the figures, never that more rounds take longer."""
    told = shell.data("hashers", "calibrate", "--target", "150ms")
    times = {one["rounds"]: one["ms"] for one in told["times"]}
    assert min(times) == 10
    assert list(times) == sorted(times, key=lambda rounds: times[rounds])
    fitting = [rounds for rounds, ms in times.items() if ms <= told["targetMs"]]
    assert told["rounds"] == (max(fitting) if fitting else 10)
    assert told["fits"] is bool(fitting)


def test_no_target_proposes_fewer_rounds_than_a_site_may_have(shell: Shell) -> None:
    assert shell.run("hashers", "calibrate", "--target", "1ms") == 0
    assert shell.out.splitlines()[-1] == "AUTHKIT_BCRYPT_ROUNDS=10"
    assert "None is that quick" in shell.out


# ---- secret


def test_secrets_are_good_and_new_each_time(shell: Shell) -> None:
    first, second = shell.data("secret"), shell.data("secret")
    assert len({*first.values(), *second.values()}) == 4
    os.environ.update(first)
    assert Settings().token_secret == (first["AUTHKIT_TOKEN_SECRET"],)


def test_secrets_are_lines_for_an_env_file(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("secret") == 0
    file = tmp_path / ".env"
    file.write_text(shell.out)
    for name in SECRETS:
        del os.environ[name]
    assert shell.run("migrate") == 1
    assert shell.run("migrate", "--env-file", str(file)) == 0
    assert not any(
        secret in shell.out + shell.err for secret in re.findall(r"\w{64}", file.read_text())
    )


def test_check_says_what_the_store_warns_of(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"31 22 0:27 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    [warning] = [one for one in shell.data("check")["warnings"] if "nfs4" in one]
    assert warning.startswith("AUTHKIT_DATABASE_URL: The SQLite file lies on a nfs4 file system")


# ---- migrate


def test_migrate_says_what_it_would_do_and_does_it_once(shell: Shell) -> None:
    told = shell.data("migrate", "--dry-run")
    assert {"table": "users", "version": 1, "change": "make the table"} in told["changes"]
    assert told["dryRun"] is True
    assert not shell.path.exists()
    assert shell.run("migrate", "--dry-run") == 0
    assert "sessions: make the table\n" in shell.out
    assert shell.data("migrate")["changes"] == told["changes"]
    assert shell.data("migrate")["changes"] == []
    assert shell.run("migrate", "--dry-run") == 0
    assert shell.out == "Nothing would be done.\n"


def test_a_database_newer_than_the_program_is_refused_by_every_command(shell: Shell) -> None:
    shell.run("migrate")
    with closing(sqlite3.connect(shell.path)) as connection, connection:
        connection.execute("INSERT INTO authkit_migrations VALUES ('999', 'users', 2, '', 0.0)")
    for command in (["migrate"], ["migrate", "--dry-run"], ["cleanup"]):
        told = shell.refusal(*command)
        assert told["code"] == "database_too_new"
        assert "its table users has version 2, and this program knows version 1." in told["error"]
    assert shell.run("check") == 1
    assert "newer than this program" in shell.out


# ---- The environment


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("AUTHKIT_APP_NAME=Acme", "Acme", id="plain"),
        pytest.param("  export AUTHKIT_APP_NAME = Acme  ", "Acme", id="as in a shell"),
        pytest.param("AUTHKIT_APP_NAME='Acme # 1'", "Acme # 1", id="single quotes"),
        pytest.param('AUTHKIT_APP_NAME="Acme"  # ours', "Acme", id="double quotes and a remark"),
        pytest.param("AUTHKIT_APP_NAME=Acme # ours", "Acme", id="a remark"),
        pytest.param("AUTHKIT_APP_NAME=a#b=c", "a#b=c", id="signs within a value"),
        pytest.param("AUTHKIT_APP_NAME= # nothing", "", id="a remark and no value"),
        pytest.param("AUTHKIT_APP_NAME=''", "", id="empty quotes"),
        pytest.param("\ufeffAUTHKIT_APP_NAME=Acme", "Acme", id="a byte order mark"),
        pytest.param(
            "# A remark\n\nAUTHKIT_APP_NAME=A\nAUTHKIT_APP_NAME=B", "B", id="the last wins"
        ),
    ],
)
def test_an_env_file_is_read(shell: Shell, tmp_path: Path, line: str, value: str) -> None:
    file = tmp_path / "settings.env"
    file.write_text(line + "\n", encoding="utf-8")
    assert shell.run("secret", "--env-file", str(file)) == 0
    assert os.environ["AUTHKIT_APP_NAME"] == value


def test_what_the_environment_says_already_wins(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("AUTHKIT_BASE_URL=not even an address\nAUTHKIT_APP_NAME=Acme\n")
    assert shell.run("--env-file", str(file), "check") == 0
    assert os.environ["AUTHKIT_APP_NAME"] == "Acme"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"A=1\nhunter2hunter2\n", "line 2: expected KEY=VALUE", id="no sign"),
        pytest.param(b'A="hunter2hunter2\n', "line 1: expected KEY=VALUE", id="an open quote"),
        pytest.param(b"A='hunter2' hunter2\n", "line 1", id="something after the quote"),
        pytest.param(b"A=\xffhunter2", "This is not text in UTF-8", id="not UTF-8"),
        pytest.param(None, "No such file or directory", id="not there"),
    ],
)
def test_a_broken_env_file_is_refused_and_not_repeated(
    shell: Shell, tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "settings.env"
    if content is not None:
        file.write_bytes(content)
    told = shell.refusal("check", "--env-file", str(file))
    assert told["code"] == "env_file_invalid"
    assert why in told["error"]
    assert "hunter2" not in shell.err


def test_every_wrong_setting_is_told_by_every_command(shell: Shell) -> None:
    os.environ |= {"AUTHKIT_BASE_URL": "nowhere", "AUTHKIT_TOKEN_SECRET": "too-short-a-word"}
    told = shell.refusal("migrate")
    assert told["code"] == "settings_invalid"
    names = [problem.partition(":")[0] for problem in told["problems"]]
    assert names == ["AUTHKIT_BASE_URL", "AUTHKIT_TOKEN_SECRET"]
    assert shell.run("migrate") == 1
    assert all(problem in shell.err for problem in told["problems"])
    assert "too-short-a-word" not in shell.err


def test_a_kit_that_cannot_be_built_says_why(shell: Shell) -> None:
    os.environ["AUTHKIT_MAIL_URL"] = "pigeon://me:hunter2@loft"
    told = shell.refusal("migrate")
    assert told["code"] == "settings_invalid"
    assert told["problems"] == [told["error"]]
    assert "hunter2" not in shell.err


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("postgresql://localhost/app", "sqlalchemy", "postgres"),
        ("mongodb://localhost/app", "pymongo", "mongo"),
    ],
    ids=["postgres", "mongo"],
)
@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_missing_library_is_told_with_the_line_to_type(
    environment: dict[str, str], command: str, url: str, library: str, extra: str
) -> None:
    without = f"import sys; sys.modules[{library!r}] = None; from authkit_asgi.cli import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{without}sys.exit(main([{command!r}]))"],
        env={**environment, "AUTHKIT_DATABASE_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"pip install 'authkit-asgi[{extra}]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_done_in_a_store_that_ends_with_the_command(shell: Shell) -> None:
    os.environ["AUTHKIT_DATABASE_URL"] = "memory:"
    assert shell.refusal("make-admin", "ada@example.com")["code"] == "store_in_memory"


def test_a_database_that_does_not_answer_is_told(shell: Shell, tmp_path: Path) -> None:
    os.environ["AUTHKIT_DATABASE_URL"] = f"sqlite:///{tmp_path / 'missing' / 'authkit.db'}"
    assert shell.refusal("cleanup")["code"] == "unavailable"


# ---- Accounts


def test_migrate_makes_the_tables_and_may_be_run_twice(shell: Shell) -> None:
    tables = shell.data("migrate")["tables"]
    assert {"users", "sessions", "links", "tickets"} <= set(tables)
    assert shell.data("migrate")["tables"] == tables


@pytest.mark.parametrize(
    ("change", "password", "field"),
    [
        pytest.param([], "short", "password", id="W-01 too short"),
        pytest.param([], "password1234", "password", id="W-11 a common one"),
        pytest.param([], "Ada@example.com", "password", id="W-11 the address"),
        pytest.param([], "", "password", id="none"),
        pytest.param(["--email", "ada"], PASSWORD, "email", id="no address"),
        pytest.param(["--username", "admin"], PASSWORD, "username", id="a reserved name"),
        pytest.param(["--firstname", "A\u202eda"], PASSWORD, "firstname", id="a hidden sign"),
    ],
)
def test_an_account_is_judged_as_if_it_registered(
    shell: Shell, change: list[str], password: str, field: str
) -> None:
    """SECURITY W-18: one policy, whichever way a password is set."""
    words = ["create-user", *ADA, *change, "--password-stdin"]
    told = shell.refusal(*words, typed=password)
    assert told["code"] == "invalid_input"
    assert list(told["fields"]) == [field]
    assert shell.run(*words, typed=password) == 1
    assert f"  - {field}: {told['fields'][field]}" in shell.err
    assert not password or password not in shell.err


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param(f"{PASSWORD}\n{PASSWORD}\n", id="two lines"),
        pytest.param(b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe", id="not UTF-8"),
    ],
)
def test_standard_input_is_one_line_of_text(shell: Shell, typed: str | bytes) -> None:
    told = shell.refusal("create-user", *ADA, "--password-stdin", typed=typed)
    assert told["code"] == "invalid_input"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(["--username", "lovelace"], "email_taken", id="the address"),
        pytest.param(["--email", "a@example.com"], "username_taken", id="the username"),
        pytest.param(
            ["--email", "a@example.com", "--username", "ADA"], "username_taken", id="case"
        ),
    ],
)
def test_what_is_taken_is_told(shell: Shell, change: list[str], code: str) -> None:
    make_ada(shell)
    words = ["create-user", *ADA, *change, "--password-stdin"]
    assert shell.refusal(*words, typed=PASSWORD)["code"] == code


def test_an_account_that_is_not_verified_is_mailed_a_link(shell: Shell, tmp_path: Path) -> None:
    make_ada(shell)
    (mail,) = (tmp_path / "mails").iterdir()
    assert "To: ada@example.com" in mail.read_text()


def test_an_account_that_is_verified_is_mailed_nothing(shell: Shell, tmp_path: Path) -> None:
    make_ada(shell, "--verified")
    assert not (tmp_path / "mails").exists()


def test_no_account_is_an_admin_unless_somebody_says_so(shell: Shell) -> None:
    """SECURITY G-02."""
    user_id = make_ada(shell, "--verified")

    async def is_admin(kit: AuthKit) -> bool:
        user = await kit.services.accounts.by_id(user_id)
        return user is not None and user.is_admin

    assert not in_app(is_admin)
    assert shell.data("make-admin", "--", user_id)["user"]["isAdmin"] is True
    assert shell.data("make-admin", "ADA@example.com")["user"]["id"] == user_id  # and once more
    assert in_app(is_admin)


def test_an_admin_can_be_made_at_once(shell: Shell) -> None:
    words = ("create-user", *ADA, "--password-stdin", "--admin")
    assert shell.data(*words, typed=PASSWORD)["user"]["isAdmin"] is True


def test_an_account_that_anybody_may_have_made_becomes_no_admin(shell: Shell) -> None:
    """A stranger can register with the future admin's address, and wait for it."""
    make_ada(shell)
    assert shell.refusal("make-admin", "ada@example.com")["code"] == "email_not_verified"
    sure = shell.data("make-admin", "ada@example.com", "--even-unverified")
    assert sure["user"]["isAdmin"] is True


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["make-admin", "eve@example.com"], id="an admin by address"),
        pytest.param(["make-admin", "3yMZ0r6vqUqTnXo5cF2m1g"], id="an admin by id"),
        pytest.param(["make-admin", "--", "-yMZ0r6vqUqTnXo5cF2m1g"], id="one with a dash"),
        pytest.param(["revoke", "--user", "eve@example.com"], id="an account's sessions"),
        pytest.param(["revoke", "--session=-yMZ0r6vqUqTnXo5cF2m1g"], id="a session"),
    ],
)
def test_who_does_not_exist_is_told(shell: Shell, words: list[str]) -> None:
    assert shell.refusal(*words)["code"] == "not_found"


# ---- Sessions


def ends_in_a_running_app(shell: Shell, revoke: Callable[[Session], tuple[str, ...]]) -> None:
    """Sign in with one kit that stays open, revoke by the command, and use the session again."""
    make_ada(shell, "--verified")

    async def use(kit: AuthKit) -> None:
        sessions = kit.services.sessions
        session, pair = await signed_in(kit)
        _, other = await signed_in(kit)
        before = await sessions.refresh(pair.refresh.encode(), visitor=NOBODY, now=kit.clock())
        assert before.pair is not None
        identity = await sessions.peek(before.pair.refresh.encode(), now=kit.clock())
        assert identity is not None

        words = revoke(session)
        assert await anyio.to_thread.run_sync(shell.data, *words)

        after = kit.clock() + kit.settings.revocation_poll
        await sessions.revocations.refresh(after)
        assert sessions.revocations.denies(identity)
        again = await sessions.refresh(before.pair.refresh.encode(), visitor=NOBODY, now=after)
        assert (again.verdict, again.pair) == (Verdict.DEAD, None)
        others = await sessions.refresh(other.refresh.encode(), visitor=NOBODY, now=after)
        assert (others.pair is None) is ("--user" in words)

    in_app(use)


def test_revoking_a_session_ends_that_one_in_a_running_app(shell: Shell) -> None:
    ends_in_a_running_app(shell, lambda session: ("revoke", f"--session={session.id}"))


def test_revoking_an_account_ends_all_its_sessions_in_a_running_app(shell: Shell) -> None:
    ends_in_a_running_app(shell, lambda _: ("revoke", "--user", "ada@example.com"))


def test_revoking_ends_no_account(shell: Shell) -> None:
    make_ada(shell, "--verified")
    assert shell.data("revoke", "--user", "ada@example.com")["scope"] == "all"
    assert in_app(signed_in)


# ---- cleanup


def test_cleanup_removes_what_is_over_and_nothing_else(shell: Shell) -> None:
    make_ada(shell, "--verified")

    async def live_through_a_year(kit: AuthKit) -> str:
        sessions, user = (
            kit.services.sessions,
            await kit.services.accounts.by_email("ada@example.com"),
        )
        assert user is not None
        living, _ = await signed_in(kit)
        for age in range(1200):
            then = kit.clock() - 100 * DAY - age
            await sessions.open(user, methods=("pwd",), remember=False, visitor=NOBODY, now=then)
        await kit.services.links.issue("reset", user, lifetime=600, now=kit.clock() - DAY)
        return living.id

    living = in_app(live_through_a_year)
    assert shell.run("cleanup") == 0
    assert "sessions: 1000 ...\nsessions: 1200 ...\n" in shell.err
    assert "sessions: 1200 removed\n" in shell.out
    assert "1201 in all." in shell.out
    assert shell.data("cleanup")["total"] == 0

    async def what_is_left(kit: AuthKit) -> tuple[list[str], int]:
        rows = await kit.store.find(SESSIONS, {})
        return [row.id for row in rows], await kit.store.count(LINKS, {})

    assert in_app(what_is_left) == ([living], 0)
    assert in_app(signed_in)


# ---- check


def test_check_finds_a_good_place_good(shell: Shell, tmp_path: Path) -> None:
    shell.run("migrate")
    told = shell.data("check")
    assert (told["ok"], told["problems"]) == (True, [])


def test_check_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """A file made by root, say, would be one that the application cannot open."""
    assert shell.data("check")["ok"]
    assert list(tmp_path.iterdir()) == []


def test_check_tells_all_settings_that_are_wrong(shell: Shell) -> None:
    os.environ |= {"AUTHKIT_TOKEN_SECRET": "a-word", "AUTHKIT_API_PATH": "users"}
    assert shell.run("check", "--json") == 1
    told = json.loads(shell.out)
    assert not told["ok"]
    names = [problem.partition(":")[0] for problem in told["problems"]]
    assert names == ["AUTHKIT_TOKEN_SECRET", "AUTHKIT_API_PATH"]
    assert shell.run("check") == 1
    assert all(f"problem  {problem}" in shell.out for problem in told["problems"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("AUTHKIT_DATABASE_URL", "nosuch://me:hunter2@db", id="no such store"),
        pytest.param("AUTHKIT_DATABASE_URL", "sqlite:///{}/no/such.db", id="no such directory"),
        pytest.param("AUTHKIT_DATABASE_URL", "sqlite:///{}", id="a directory"),
        pytest.param("AUTHKIT_MAIL_URL", "pigeon://me:hunter2@loft", id="no such mailer"),
        pytest.param("AUTHKIT_MAIL_URL", "file://hunter2/mails", id="another host's files"),
    ],
)
def test_check_finds_what_would_not_work(
    shell: Shell, tmp_path: Path, name: str, value: str
) -> None:
    os.environ[name] = value.format(tmp_path)
    assert shell.run("check", "--json") == 1
    (problem,) = json.loads(shell.out)["problems"]
    assert problem.startswith(f"{name}: ")
    assert "hunter2" not in shell.out + shell.err


def test_check_tells_of_store_and_mailer_at_once(shell: Shell) -> None:
    os.environ |= {"AUTHKIT_DATABASE_URL": "x:", "AUTHKIT_MAIL_URL": "y:"}
    assert shell.run("check", "--json") == 1
    assert len(json.loads(shell.out)["problems"]) == 2


HTTPS = {"AUTHKIT_BASE_URL": "https://app.example.com", "AUTHKIT_BCRYPT_ROUNDS": "12"}
MAIL = {"AUTHKIT_MAIL_URL": "smtp://mail", "AUTHKIT_MAIL_FROM": "no-reply@example.com"}
FILE = {"AUTHKIT_DATABASE_URL": "sqlite:////no/such/place/authkit.db"}
GOOD = {**HTTPS, **MAIL, **FILE, "FORWARDED_ALLOW_IPS": "10.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        pytest.param(GOOD, [], id="all is well"),
        pytest.param(
            {**GOOD, "FORWARDED_ALLOW_IPS": "*"}, ["X-Forwarded-For"], id="I-08 anybody is believed"
        ),
        pytest.param(
            {**GOOD, "FORWARDED_ALLOW_IPS": "127.0.0.1"}, ["X-Forwarded-For"], id="I-08 the default"
        ),
        pytest.param({**GOOD, "AUTHKIT_MAIL_URL": "console:"}, ["console:"], id="console mail"),
        pytest.param({**GOOD, "AUTHKIT_MAIL_URL": "file:///mails"}, ["file:"], id="mail in files"),
        pytest.param({**GOOD, "AUTHKIT_DATABASE_URL": "memory:"}, ["in memory"], id="memory"),
        pytest.param(
            {**GOOD, "AUTHKIT_DATABASE_URL": "sqlite:////tmp/a.db"}, ["temporary"], id="/tmp"
        ),
        pytest.param(
            {**GOOD, "AUTHKIT_DATABASE_URL": "sqlite:///a.db"}, ["relative"], id="a relative path"
        ),
        pytest.param(
            {**GOOD, "AUTHKIT_ACCESS_TOKEN_LIFETIME": "70"},
            ["ACCESS_TOKEN_LIFETIME"],
            id="S-04 refreshes as close together as those of one race",
        ),
        pytest.param({**GOOD, "AUTHKIT_ACCESS_TOKEN_LIFETIME": "71"}, [], id="S-04 just apart"),
        pytest.param(
            {"AUTHKIT_DATABASE_URL": "sqlite:///a.db", "AUTHKIT_MAIL_URL": "console:"},
            [],
            id="on the developer's machine",
        ),
    ],
)
def test_check_warns(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], warnings: list[str]
) -> None:
    monkeypatch.chdir("/")
    os.environ.update(settings)
    shell.run("check", "--json")
    told = json.loads(shell.out)["warnings"]
    assert len(told) == len(warnings)
    assert all(word in one for word, one in zip(warnings, told, strict=True))


def test_uvicorn_as_it_comes_is_warned_of(shell: Shell) -> None:
    """SECURITY I-08."""
    os.environ.update(GOOD)
    del os.environ["FORWARDED_ALLOW_IPS"]
    shell.run("check")
    assert re.search(r"^warning  uvicorn.*--no-proxy-headers", shell.out, re.MULTILINE)


def test_check_can_send_a_mail(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("check", "--mail-to", "me@example.com") == 0
    (mail,) = (tmp_path / "mails").iterdir()
    assert "To: me@example.com" in mail.read_text()


def test_check_tells_when_a_mail_cannot_be_sent(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mails").write_text("A file where the directory should be.")
    assert shell.run("check", "--mail-to", "me@example.com") == 1
    assert "problem  AUTHKIT_MAIL_URL: " in shell.out


def test_a_wrong_password_signs_nobody_in(shell: Shell) -> None:
    make_ada(shell, "--verified")

    async def guess(kit: AuthKit) -> User:
        return await kit.services.accounts.authenticate("ada@example.com", PASSWORD + "\n")

    with pytest.raises(BadCredentials):
        in_app(guess)
