"""Links: what is mailed, what is kept, and what voids them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from authkit_asgi.accounts import USERS, Accounts, User
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.errors import LinkInvalid
from authkit_asgi.hashing import Hashing
from authkit_asgi.links import LINKS, Issued, Links
from authkit_asgi.store import Value
from authkit_asgi.store.memory import MemoryStore
from tests.features.stories import WatchedStore

NOW = 1_800_000_000.0


@dataclass
class Post:
    """Links of one user, Ada."""

    links: Links
    store: WatchedStore
    user: User

    async def issue(self, purpose: str = "verify", lifetime: float = 600) -> Issued:
        return await self.links.issue(purpose, self.user, lifetime=lifetime, now=NOW)

    async def works(self, text: object, purpose: str = "verify", now: float = NOW) -> bool:
        try:
            link, user = await self.links.read(purpose, text, now=now)
        except LinkInvalid:
            return False
        return link.user_id == user.id == self.user.id

    async def change(self, change: dict[str, Value]) -> None:
        await self.store.swap(USERS, self.user.id, expect={}, change=change)


@pytest.fixture
async def post() -> Post:
    memory = MemoryStore()
    await memory.open([USERS, LINKS])
    store = WatchedStore(memory)
    accounts = Accounts(store, Hashing(Passwords(rounds=4, min_length=8)))
    user = await accounts.create(
        firstname="Ada",
        lastname="Lovelace",
        username="ada",
        email="ada@example.test",
        password_hash=None,
        now=NOW,
    )
    return Post(Links(store, accounts), store, user)


async def test_a_link_has_256_random_bits_that_nobody_keeps(post: Post) -> None:
    """V-01, V-02, V-18."""
    texts = set()
    for _ in range(50):
        issued = await post.issue()
        [row] = await post.store.find(LINKS, {})
        assert issued.text not in repr(row)
        assert issued.text not in repr(issued)
        assert issued.text not in issued.key
        texts.add(issued.text)
    assert {len(text) for text in texts} == {43}
    assert len(texts) == 50


async def test_reading_uses_nothing_up(post: Post) -> None:
    """V-09."""
    text = (await post.issue()).text
    assert await post.works(text)
    assert await post.works(text)


async def test_a_new_link_voids_older_ones_of_its_purpose_alone(post: Post) -> None:
    """V-07."""
    reset, old = (await post.issue("reset")).text, (await post.issue()).text
    new = (await post.issue()).text
    assert not await post.works(old)
    assert await post.works(new)
    assert await post.works(reset, "reset")


async def test_a_link_is_for_its_purpose_and_for_its_time(post: Post) -> None:
    """V-05, V-06."""
    text = (await post.issue()).text
    assert not await post.works(text, "reset")
    assert await post.works(text, now=NOW + 599)
    assert not await post.works(text, now=NOW + 600)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"epoch": 1}, id="password changed, or all sessions ended"),
        pytest.param({"email_key": "new@example.test"}, id="address changed"),
        pytest.param({"email_key": None}, id="address freed"),
        pytest.param({"disabled_at": NOW}, id="disabled"),
        pytest.param({"deleted_at": NOW}, id="deleted"),
    ],
)
async def test_what_happens_to_the_account_voids_its_links(
    post: Post, change: dict[str, Value]
) -> None:
    """V-06, V-08."""
    text = (await post.issue()).text
    await post.change(change)
    assert not await post.works(text)


@pytest.mark.parametrize(
    "text", ["", " ", None, 0, 1.5, True, [], ["x"], {}, {"$gt": ""}, b"x", "a b", "x" * 201, "é"]
)
async def test_what_could_be_no_link_is_not_even_looked_for(post: Post, text: Any) -> None:
    """V-10, N-02."""
    await post.issue()
    post.store.asked.clear()
    assert not await post.works(text)
    assert post.store.verbs == []


async def test_the_digest_is_no_link(post: Post) -> None:
    """V-02: who stole the table opens nothing."""
    await post.issue()
    [row] = await post.store.find(LINKS, {})
    assert not await post.works(row.id)


async def test_pretending_is_as_much_work_as_issuing(post: Post) -> None:
    """E-03: and the decoy is nobody's."""
    post.store.asked.clear()
    await post.issue()
    real = list(post.store.verbs)
    post.store.asked.clear()
    await post.links.pretend("verify", now=NOW)
    assert post.store.verbs == real
    assert await post.store.count(LINKS, {"user_id": post.user.id}) == 1


async def test_an_outage_while_tidying_up_is_no_failure_of_the_use(post: Post) -> None:
    text = (await post.issue()).text
    link, _ = await post.links.read("verify", text, now=NOW)
    post.store.unplug_after(0)
    await post.links.discard(link)
    post.store.plug_in()
    await post.links.discard(link)
    assert not await post.works(text)
