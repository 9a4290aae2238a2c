"""Accounts: each change is one write of one row, and the store decides every race."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from authkit_asgi.accounts import USERS, Accounts, User, public_profile
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.errors import BadCredentials
from authkit_asgi.hashing import Hashing
from authkit_asgi.store import R, Table, Taken, Where
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import WatchedStore

NOW = 1_800_000_000.0
PASSWORD = "correct horse battery"


@pytest.fixture
async def store() -> WatchedStore:
    memory = MemoryStore()
    await memory.open([USERS])
    return WatchedStore(memory)


@pytest.fixture
async def accounts(store: WatchedStore) -> AsyncIterator[Accounts]:
    hashing = Hashing(Passwords(rounds=4, min_length=8))
    yield Accounts(store, hashing)
    hashing.close()


async def ada(accounts: Accounts, username: str = "Ada", email: str = "Ada@example.test") -> User:
    return await accounts.create(
        firstname="Ada",
        lastname="Lovelace",
        username=username,
        email=email,
        password_hash=Passwords(rounds=4, min_length=8).hash(PASSWORD),
        now=NOW,
        is_verified=True,
    )


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("ADA", "other@example.test", "username_key"),
        ("other", "ada@EXAMPLE.test", "email_key"),
        ("other", "ADA@example.test", "email_key"),
    ],
)
async def test_a_name_belongs_to_one_account(
    accounts: Accounts, username: str, email: str, field: str
) -> None:
    """N-08, N-10."""
    await ada(accounts)
    with pytest.raises(Taken) as taken:
        await ada(accounts, username, email)
    assert taken.value.field == field


async def test_nothing_secret_is_in_a_repr_or_a_profile(accounts: Accounts) -> None:
    """G-07, W-16."""
    user = await ada(accounts)
    for shown in (repr(user), repr(public_profile(user))):
        assert "bcrypt" not in shown
        assert "epoch_at" not in public_profile(user)
    assert "ada@example.test" not in repr(user).lower()


@pytest.mark.parametrize("end", ["disabled_at", "deleted_at"])
async def test_a_closed_account_is_nobody(
    accounts: Accounts, store: WatchedStore, end: str
) -> None:
    """S-12, S-15."""
    user = await ada(accounts)
    await store.swap(USERS, user.id, expect={}, change={end: NOW})
    assert await accounts.by_id(user.id) is None
    assert await accounts.by_email(user.email) is None
    with pytest.raises(BadCredentials):
        await accounts.authenticate(user.email, PASSWORD)


@pytest.mark.parametrize("stored", [None, "", "plain", "$2b$04$short", "$bcrypt-sha256$v=2"])
@pytest.mark.parametrize("password", ["", "plain", PASSWORD, "None"])
async def test_an_account_without_a_password_opens_to_none(
    accounts: Accounts, store: WatchedStore, stored: str | None, password: str
) -> None:
    """W-14."""
    user = await ada(accounts)
    await store.swap(USERS, user.id, expect={}, change={"password_hash": stored})
    with pytest.raises(BadCredentials):
        await accounts.authenticate(user.email, password)


async def test_of_many_changes_at_once_one_ends_the_sessions(accounts: Accounts) -> None:
    """S-11."""
    user = await ada(accounts)
    changed: list[User | None] = []

    async def one(bio: str) -> None:
        changed.append(await accounts.change_and_end_sessions(user, {"bio": bio}, now=NOW))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, str(number))
    [winner] = [one for one in changed if one]
    assert winner.epoch == 1
    assert await accounts.by_id(user.id) == winner


async def test_everybody_who_ends_all_sessions_ends_them(accounts: Accounts) -> None:
    """S-11: a lost race is run again."""
    user = await ada(accounts)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(lambda: accounts.end_sessions(user.id, now=NOW))
    after = await accounts.by_id(user.id)
    assert after is not None
    assert after.epoch == 10
    assert await accounts.end_sessions("nobody", now=NOW) is None


async def test_what_ends_sessions_is_one_write(accounts: Accounts, store: WatchedStore) -> None:
    """S-11: no crash fits between a new password and the end of old sessions."""
    user = await ada(accounts)
    store.asked.clear()
    changed = await accounts.change_and_end_sessions(
        user, {"password_hash": "new"}, now=NOW, spare="this one"
    )
    assert changed is not None
    assert store.verbs == ["swap"]
    assert (changed.epoch, changed.epoch_at, changed.spared) == (1, NOW, "this one")


async def test_a_password_changed_meanwhile_is_not_undone_by_a_new_hash(
    accounts: Accounts, store: WatchedStore
) -> None:
    """W-09: the rehash of a sign-in writes only over what it verified."""
    user = await ada(accounts)
    old = Passwords(rounds=5, min_length=8).hash(PASSWORD)
    stale = await store.swap(USERS, user.id, expect={}, change={"password_hash": old})
    await store.swap(USERS, user.id, expect={}, change={"password_hash": "newer"})
    assert (await accounts._rehash(stale, PASSWORD)).password_hash == old
    now = await accounts.by_id(user.id)
    assert now is not None
    assert now.password_hash == "newer"


async def test_a_deleted_account_is_an_empty_shell_and_frees_its_names(
    accounts: Accounts, store: WatchedStore
) -> None:
    user = await ada(accounts)
    store.asked.clear()
    shell = await accounts.delete(user, now=NOW)
    assert shell is not None
    assert store.verbs == ["swap"]
    kept = {shell.firstname, shell.lastname, shell.username, shell.email, shell.bio}
    assert kept == {""}
    assert (shell.email_key, shell.username_key, shell.password_hash) == (None, None, None)
    assert shell.epoch == user.epoch + 1
    assert shell.purge_at is not None
    assert await accounts.delete(user, now=NOW) is None
    assert await accounts.change(user, {"bio": "back"}) is None
    assert await accounts.change_and_end_sessions(shell, {"bio": "back"}, now=NOW) is None
    assert (await ada(accounts)).id != user.id


async def test_a_found_row_is_compared_once_more() -> None:
    """N-09: a database whose idea of equal is wider than ours finds nobody's account."""

    class Wide(MemoryStore):
        async def find(self, table: Table[R], where: Where, **options: Any) -> list[R]:
            return await super().find(table, {})

    wide_store = Wide()
    await wide_store.open([USERS])
    wide = Accounts(wide_store, Hashing(Passwords(rounds=4, min_length=8)))
    await ada(wide)
    assert await wide.by_email("\u0430da@example.test") is None
    assert await wide.by_email("ada@example.test") is not None
