"""The mailers that need no server: files and the console."""

from __future__ import annotations

import asyncio
import multiprocessing
import stat
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import anyio
import pytest

from authkit_asgi.mail import Mail, MailError
from authkit_asgi.mail.console import ConsoleMailer
from authkit_asgi.mail.file import FileMailer

MakeMail = Callable[..., Mail]


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def read(path: Path) -> EmailMessage:
    return message_from_bytes(path.read_bytes(), policy=policy.default)


async def test_a_mail_is_one_file_that_mail_programs_open(
    tmp_path: Path, a_mail: MakeMail, link: str
) -> None:
    mail = a_mail()
    await FileMailer(tmp_path / "new" / "outbox", sender="Acme <us@app.example>").send(mail)
    [path] = files_in(tmp_path / "new" / "outbox")
    message = read(path)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert path.suffix == ".eml"
    assert (message["To"], message["Subject"]) == (mail.to, mail.subject)
    assert message["From"] == "Acme <us@app.example>"
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == mail.text.splitlines()
    assert html.get_content().splitlines() == mail.html.splitlines()
    assert link in path.read_text("utf-8")  # in one piece, for whoever looks with `cat`


async def test_only_the_owner_reads_the_files(tmp_path: Path, a_mail: MakeMail) -> None:
    await FileMailer(tmp_path / "outbox").send(a_mail())
    [path] = files_in(tmp_path / "outbox")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


async def test_names_sort_by_time(tmp_path: Path, a_mail: MakeMail) -> None:
    mailer = FileMailer(tmp_path)
    for number in range(20):
        await mailer.send(a_mail(to=f"{number}@mail.example"))
    sent_to = [read(path)["To"] for path in files_in(tmp_path)]
    assert sent_to == [f"{number}@mail.example" for number in range(20)]


def write_fifty(directory: str, mail: Mail) -> None:
    async def write() -> None:
        mailer = FileMailer(directory)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(mailer.send, mail)

    asyncio.run(write())


def test_several_processes_overwrite_nothing(tmp_path: Path, a_mail: MakeMail) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_fifty, args=(str(tmp_path), a_mail())) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert len(list(tmp_path.glob("*.eml"))) == 100
    assert not list(tmp_path.glob("*.tmp"))


async def test_a_directory_that_is_none_is_a_mail_error(tmp_path: Path, a_mail: MakeMail) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(MailError, match="could not be written"):
        await FileMailer(tmp_path / "taken").send(a_mail())


async def test_a_letter_of_long_lines_keeps_to_what_mail_servers_allow(
    tmp_path: Path, a_mail: MakeMail
) -> None:
    """RFC 5322 section 2.1.1: 998 bytes a line."""
    mail = a_mail()
    long = Mail(to=mail.to, subject="Long", text="ä" * 3000, html=f"<p>{'ä' * 3000}</p>", key="k")
    await FileMailer(tmp_path).send(long)
    [path] = files_in(tmp_path)
    assert max(len(line) for line in path.read_bytes().splitlines()) <= 998
    text = read(path).get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == long.text


async def test_the_console_shows_the_mail_with_its_link(
    a_mail: MakeMail, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = a_mail()
    await ConsoleMailer().send(mail)
    shown = capsys.readouterr().err
    assert f"To:      {mail.to}\nSubject: {mail.subject}\n" in shown
    assert link in shown


async def test_the_console_is_not_the_log(
    a_mail: MakeMail, link: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A-03: what is logged is collected and kept."""
    caplog.set_level("DEBUG")
    await ConsoleMailer().send(a_mail())
    assert link not in caplog.text


async def test_the_console_keeps_the_last_fifty(a_mail: MakeMail) -> None:
    mailer = ConsoleMailer()
    for number in range(60):
        await mailer.send(a_mail(key=f"verify/{number}"))
    assert [mail.key for mail in mailer.sent] == [f"verify/{number}" for number in range(10, 60)]
