"""A file is not there, or read-only: nobody is signed out, and nothing is taken for theft."""

from __future__ import annotations

import tempfile
from pathlib import Path

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.testing import Mailbox
from tests.house import Breaking
from tests.outages.people import assert_told_to_try_again, town
from tests.outages.table import proves
from tests.store.test_sqlite import without_privileges
from tests.world import Browser, members_app


@proves("The store is down")
async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """SECURITY Q-06, S-05: as when a volume is not mounted."""
    database = tmp_path / "authkit.db"
    async with town(SqliteStore(database)) as one:
        gone = database.rename(tmp_path / "elsewhere.db")
        await one.lives_on_without_the_store()
        gone.rename(database)
        await one.is_as_if_nothing_had_been()


@proves("The store is down")
async def test_a_worker_that_starts_meanwhile(tmp_path: Path) -> None:
    """SECURITY Q-06: it serves whoever has a valid access token, and the rest when it can."""
    database = tmp_path / "authkit.db"
    async with town(SqliteStore(database)) as one:
        gone = database.rename(tmp_path / "elsewhere.db")
        (tmp_path / "authkit.db").mkdir()  # nothing can be made in its place
        kit = AuthKit(
            one.w.kit.settings,
            store=SqliteStore(database),
            mailer=Mailbox(),
            clock=one.w.clock,
        )
        new_worker = kit.wrap(members_app(), PathRules(public=["/"]))
        async with Browser(new_worker) as ada, Browser(new_worker) as bob:
            ada.take_tokens(one.ada.tokens())
            bob.take_tokens(one.bob.tokens())
            assert (await ada.get("/members")).status_code == 200
            assert_told_to_try_again([await bob.get("/members")])
            (tmp_path / "authkit.db").rmdir()
            gone.rename(database)
            one.w.clock.pass_(seconds=2)
            assert (await bob.get("/members")).status_code == 200
            one.bob.take_tokens(bob.tokens())
        await kit.close()
        await one.is_as_if_nothing_had_been()


@proves("The store is slow")
async def test_a_write_whose_answer_never_came() -> None:
    """SECURITY S-05: it was done, and the same token is not taken for a copy."""
    store = Breaking(MemoryStore())
    async with town(store) as one:
        store.after.add("swap")
        lost = await one.bob.get("/members")
        assert_told_to_try_again([lost])
        assert "set-cookie" not in lost.headers
        store.after.clear()
        one.w.clock.pass_(hours=1)
        await one.ada.get("/members")
        await one.is_as_if_nothing_had_been()


@proves("The store is read-only")
async def test_a_file_that_may_not_be_written() -> None:
    """SECURITY Q-05, Q-06: SQLite keeps its log beside the file, so even reading has to write."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = SqliteStore(directory / "authkit.db")
        async with town(store) as one:
            await one.w.kit.close()  # a restart: an open file stays what it was
            set_modes(directory, 0o444, 0o555)
            with without_privileges():
                await one.lives_on_without_the_store()
            set_modes(directory, 0o644, 0o755)
            await one.is_as_if_nothing_had_been()


def set_modes(directory: Path, file: int, folder: int) -> None:
    (directory / "authkit.db").chmod(file)
    directory.chmod(folder)
