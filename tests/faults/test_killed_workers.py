"""kill -9 of a worker at every step of the flows that matter, and at moments nobody chose.

Around each verb that a flow asks of the store, before its answer goes out, and at random times:
what was answered holds, nothing is half done, nobody is signed out or looks like a thief.
"""

from __future__ import annotations

import os
import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.faults.databases import MONGO, Database, on
from tests.faults.people import (
    NEW_PASSWORD,
    PASSWORD,
    Person,
    Workers,
    generation_of,
    serving,
)

pytestmark = [pytest.mark.servers, pytest.mark.promise("faults")]

SEED = os.environ.get("AUTHKIT_TEST_SEED") or secrets.token_hex(4)
AT_RANDOM = 10  # kills per database at moments that nobody chose
AT_LEAST = 67  # kills per database, so that three make two hundred
MAX_VERBS = 40  # of one flow: far more than any has

Answer = httpx2.Response | None


class Story(ABC):
    """One flow of a new person: what goes before, the act, and what must be true afterwards."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.person = Person.new(workers)

    async def prepare(self) -> None:
        await self.person.settle()

    @abstractmethod
    async def act(self, die: str) -> Answer: ...

    @abstractmethod
    async def check(self, answer: Answer) -> None: ...


class Refresh(Story):
    """A page is asked for when the access token is over."""

    async def act(self, die: str) -> Answer:
        self.person.lose_access_token()
        self.presented = dict(self.person.cookies)
        return await self.person.send("GET", "/members", die=die)

    async def check(self, answer: Answer) -> None:
        person = self.person
        assert answer is None or answer.status_code == 200
        assert await person.is_signed_in()
        # One line of tokens: what the presented one still opens is what the browser has.
        twin = person.another_browser()
        twin.cookies = dict(self.presented)
        assert await twin.is_signed_in()
        theirs, ours = twin.cookies["refreshToken"], person.cookies["refreshToken"]
        assert generation_of(theirs) == generation_of(ours)
        assert await person.refreshes()
        assert generation_of(person.cookies["token"])[1] == generation_of(ours)[1] + 1


class Register(Story):
    async def prepare(self) -> None:
        pass

    async def act(self, die: str) -> Answer:
        return await self.person.register(die=die)

    async def check(self, answer: Answer) -> None:
        """Whole, or not there at all: then the address and the username are free."""
        person = self.person
        there = (await person.sign_in()).json()["code"]
        assert there in ("email_not_verified", "bad_credentials")
        if answer is not None:
            assert answer.status_code == 201
            assert there == "email_not_verified"
        if there == "bad_credentials":
            again = await person.register()
            assert again is not None
            assert again.status_code == 201, again.text
        else:  # the mail may have died with its worker: there is another one for the asking
            body = {"email": person.email}
            asked = await person.insist("POST", "/api/users/user-verify/sent", body)
            assert asked.status_code == 200
        await person.confirm_address()
        assert (await person.sign_in()).status_code == 200


class ChangePassword(Story):
    async def prepare(self) -> None:
        await super().prepare()
        self.elsewhere = self.person.another_browser()
        assert (await self.elsewhere.sign_in()).status_code == 200

    async def act(self, die: str) -> Answer:
        body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
        return await self.person.send("POST", "/api/users/change-password", body, die=die)

    async def check(self, answer: Answer) -> None:
        """The old password and all sessions, or the new one and this session."""
        person = self.person
        is_new = await only_the_new_one_opens(person)
        if answer is not None:
            assert answer.status_code == 200
            assert is_new
        assert await person.is_signed_in()
        assert await person.refreshes()
        assert await self.elsewhere.refreshes() is not is_new
        if not is_new:
            again = await self.act("")
            assert again is not None
            assert again.status_code == 200, again.text
            assert await person.refreshes()


class AskForReset(Story):
    async def act(self, die: str) -> Answer:
        body = {"email": self.person.email}
        return await self.person.send("POST", "/api/users/forgot-password/sent", body, die=die)

    async def check(self, answer: Answer) -> None:
        person = self.person
        assert answer is None or answer.status_code == 200
        assert await person.refreshes()
        await ask_for_reset(person)
        await person.follow_the_link("reset-password", RESET, password=NEW_PASSWORD)
        assert await only_the_new_one_opens(person)


class Reset(Story):
    async def prepare(self) -> None:
        await super().prepare()
        await ask_for_reset(self.person)
        token = await self.workers.mailed_token(self.person.email, "reset-password")
        self.body = {"token": token, "password": NEW_PASSWORD}

    async def act(self, die: str) -> Answer:
        return await self.person.send("POST", RESET, self.body, die=die)

    async def check(self, answer: Answer) -> None:
        """The old password, all sessions and a good link; or the new one, and nothing else."""
        person = self.person
        is_new = await only_the_new_one_opens(person)
        if answer is not None:
            assert answer.status_code == 200
            assert is_new
        if is_new:
            assert not await person.refreshes()
        else:
            assert await person.refreshes()
        again = await person.insist("POST", RESET, self.body)
        assert again.status_code == (400 if is_new else 200)
        assert await only_the_new_one_opens(person)


RESET = "/api/users/forgot-password/verify"
STORIES: tuple[type[Story], ...] = (Refresh, Register, ChangePassword, AskForReset, Reset)


async def ask_for_reset(person: Person) -> None:
    asked = await person.insist("POST", "/api/users/forgot-password/sent", {"email": person.email})
    assert asked.status_code == 200


async def only_the_new_one_opens(person: Person) -> bool:
    """Of two passwords exactly one opens the account: whether it is the new one."""
    old, new = await person.can_sign_in(PASSWORD), await person.can_sign_in(NEW_PASSWORD)
    assert old is not new, "both passwords open the account" if old else "neither password does"
    return new


class Hand:
    """Tells the stories, and ends workers in them."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers

    async def tell(self, story: Story, *, die: str = "", after: float | None = None) -> bool:
        """One story, with an end at that place, or so many seconds into the act. Whether anything
        died of it."""
        await story.prepare()
        deaths = self.workers.deaths
        async with anyio.create_task_group() as group:
            if after is not None:
                group.start_soon(self._kill_in, after)
            answer = await story.act(die)
        if after is not None or answer is None:
            await self.workers.has_died(since=deaths)
        await story.check(answer)
        slanders = self.workers.slanders()
        assert not slanders
        return self.workers.deaths > deaths

    async def _kill_in(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.workers.kill_one()


@pytest.fixture
async def hand(database: Database, tmp_path: Path) -> AsyncIterator[Hand]:
    with serving(tmp_path / "workers", database) as workers:
        yield Hand(workers)


@pytest.mark.parametrize("kind", on("SQLite", "PostgreSQL", MONGO), indirect=True)
async def test_a_worker_may_die_at_any_step(hand: Hand, database: Database) -> None:
    """SECURITY Q-03, S-05, S-06: at least two hundred kills over the three databases."""
    print(f"seed {SEED}: AUTHKIT_TEST_SEED={SEED} tells the same story")
    for story in STORIES:
        assert await hand.tell(story(hand.workers), die="0 answer")
        for verb in range(1, MAX_VERBS):
            died = [
                await hand.tell(story(hand.workers), die=f"{verb} {place}")
                for place in ("before", "after")
            ]
            if not any(died):
                break
        assert 3 < verb < MAX_VERBS - 1, f"{story.__name__} asks the store {verb - 1} times"
    chance = random.Random(f"{SEED} {database.name}")
    for _ in range(AT_RANDOM):
        story = chance.choice(STORIES)
        await hand.tell(story(hand.workers), after=chance.uniform(0, 0.03))
    print(f"{database.name}: {hand.workers.deaths} workers killed")
    assert hand.workers.deaths >= AT_LEAST
