"""Browsers, trains and a thief, in any order: what a machine finds when it plays with sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from authkit_asgi.accounts import User
from authkit_asgi.core.identity import identity_of
from authkit_asgi.core.rotation import Verdict
from authkit_asgi.sessions import Refreshed, Sessions, TokenPair
from authkit_asgi.settings import DAY, HOUR
from authkit_asgi.store.memory import MemoryStore
from tests.house import PHONE, Breaking, House
from tests.world import START

TRAVEL = 10.0  # seconds that a request, or an answer, is on its way; later it is lost
BROWSERS = st.integers(0, 1)
PICK = st.integers(0, 20)


@dataclass(frozen=True)
class Underway:
    """A request with the cookies it left with, or an answer with the cookies it brings."""

    pair: TokenPair
    since: float


@dataclass
class Browser:
    jar: TokenPair
    requests: list[Underway] = field(default_factory=list)
    answers: list[Underway] = field(default_factory=list)

    def forget(self, now: float) -> None:
        """What was on its way for too long never arrives."""
        self.requests = [one for one in self.requests if now - one.since <= TRAVEL]
        self.answers = [one for one in self.answers if now - one.since <= TRAVEL]


class Cutting(Breaking):
    """Cancels whoever calls the verb number `left`, before or after it is done."""

    def __init__(self, store: Any, scope: anyio.CancelScope, left: int, *, done: bool) -> None:
        super().__init__(store)
        self.scope, self.left, self.done = scope, left, done

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.store, name)

        async def cutting(*args: Any, **more: Any) -> Any:
            self.left -= 1
            cut = self.left == 0
            if cut and not self.done:
                self.scope.cancel()
            answer = await verb(*args, **more)
            if cut:
                self.scope.cancel()
                await anyio.lowlevel.checkpoint()
            return answer

        return cutting


class Rows(RuleBasedStateMachine):
    """A house with two workers, a user, and a clock that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.house = House(MemoryStore())
        self.run(self.house.open)
        self.user: User = self.run(self.house.user)
        self.workers: list[Sessions] = [self.house.worker() for _ in range(2)]

    def run(self, work: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        return anyio.run(partial(work, *args, **more))

    def sign_in(self) -> TokenPair:
        pair: TokenPair = self.run(self.house.opened, self.user, now=self.now)[1]
        return pair

    def exchange(self, pair: TokenPair, worker: int = 0) -> Refreshed:
        refreshed: Refreshed = self.run(
            self.house.refresh, pair, now=self.now, worker=self.workers[worker % 2]
        )
        return refreshed

    def use(self, pair: TokenPair) -> None:
        """An access token is seen, and the word of it is written."""
        self.run(self.workers[0].confirm, identity_of(self.house.access(pair)), now=self.now)


class Honest(Rows):
    """Nobody but two browsers of one person, each with tabs that share a jar, on bad lines."""

    def __init__(self) -> None:
        super().__init__()
        self.browsers = [Browser(self.sign_in()) for _ in range(2)]

    def accept(self, refreshed: Refreshed) -> TokenPair:
        assert refreshed.pair is not None, refreshed.verdict  # the promise
        return refreshed.pair

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        for number, browser in enumerate(self.browsers):
            browser.forget(self.now)
            if self.now >= browser.jar.refresh_expires_at:
                self.browsers[number] = Browser(self.sign_in())

    @rule(seconds=st.sampled_from((1, 4, 9)))
    def a_moment_passes(self, seconds: int) -> None:
        self.pass_(seconds)

    @rule(minutes=st.sampled_from((1, 20, 59, 61, 180)))
    def time_passes(self, minutes: int) -> None:
        self.pass_(60 * minutes)

    @rule(days=st.sampled_from((1, 3, 6)))
    def days_pass(self, days: int) -> None:
        self.pass_(days * DAY)

    @rule(which=BROWSERS)
    def a_tab_asks(self, which: int) -> None:
        browser = self.browsers[which]
        browser.requests.append(Underway(browser.jar, self.now))

    @precondition(lambda self: any(browser.requests for browser in self.browsers))
    @rule(which=BROWSERS, pick=PICK, worker=BROWSERS, seen=st.booleans())
    def a_request_arrives(self, which: int, pick: int, worker: int, seen: bool) -> None:
        browser = self.browsers[which]
        if not browser.requests:
            return
        request = browser.requests.pop(pick % len(browser.requests))
        if self.now < request.pair.access_expires_at:
            if seen:  # best effort: the word of it may get lost
                self.use(request.pair)
            return
        pair = self.accept(self.exchange(request.pair, worker))
        browser.answers.append(Underway(pair, self.now))

    @precondition(lambda self: any(browser.answers for browser in self.browsers))
    @rule(which=BROWSERS, pick=PICK)
    def an_answer_arrives(self, which: int, pick: int) -> None:
        answers = self.browsers[which].answers
        if answers:
            self.browsers[which].jar = answers.pop(pick % len(answers)).pair

    @precondition(lambda self: any(browser.answers for browser in self.browsers))
    @rule(which=BROWSERS)
    def answers_get_lost(self, which: int) -> None:
        self.browsers[which].answers.clear()

    @rule(which=BROWSERS, count=st.integers(2, 6))
    def a_page_fires_many_requests(self, which: int, count: int) -> None:
        browser = self.browsers[which]
        if self.now < browser.jar.access_expires_at:
            return

        async def all_at_once() -> list[TokenPair]:
            got: list[TokenPair] = []

            async def one(worker: int) -> None:
                refreshed = await self.house.refresh(
                    browser.jar, now=self.now, worker=self.workers[worker % 2]
                )
                got.append(self.accept(refreshed))

            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(one, number)
            return got

        pairs = self.run(all_at_once)
        assert len({pair.generation for pair in pairs}) == 1
        browser.answers.extend(Underway(pair, self.now) for pair in pairs)

    @rule(which=BROWSERS, worker=BROWSERS)
    def a_twin_is_late(self, which: int, worker: int) -> None:
        """One request's answer is here and in use when the other, sent with it, arrives."""
        browser, sent = self.browsers[which], self.browsers[which].jar
        if self.now >= sent.access_expires_at:
            browser.jar = self.accept(self.exchange(sent))
            self.use(browser.jar)
            self.pass_(TRAVEL)
            if browser is self.browsers[which]:  # else its session is over, in the regular way
                browser.answers.append(Underway(self.accept(self.exchange(sent, worker)), self.now))

    @rule(which=BROWSERS, verb=st.integers(1, 4), done=st.booleans())
    def a_request_is_cancelled(self, which: int, verb: int, done: bool) -> None:
        jar = self.browsers[which].jar
        if self.now < jar.access_expires_at:
            return

        async def cut() -> None:
            with anyio.CancelScope() as scope:
                cutting = Cutting(self.house.store, scope, verb, done=done)
                await self.house.refresh(jar, now=self.now, worker=self.house.worker(cutting))

        self.run(cut)

    @rule(which=BROWSERS)
    def a_password_is_changed_or_the_like(self, which: int) -> None:
        """What renews a session: with a living access token, or one exchanged for it."""
        browser = self.browsers[which]
        if self.now >= browser.jar.access_expires_at:
            self.accept(self.exchange(browser.jar))
        session_id = self.house.access(browser.jar).session_id
        pair = self.run(self.workers[0].renew, session_id, self.user, visitor=PHONE, now=self.now)
        assert pair is not None
        browser.answers.append(Underway(pair, self.now))

    @invariant()
    def nobody_was_taken_for_a_thief(self) -> None:
        assert "SessionReused" not in self.house.ear.names()


class Theft(Rows):
    """A browser and a copy of its cookies. Each step is longer than the grace after the last."""

    def __init__(self) -> None:
        super().__init__()
        self.jars = dict.fromkeys(("owner", "thief"), self.sign_in())
        self.exchanged = dict.fromkeys(self.jars, 0)
        self.session_id = self.house.access(self.jars["owner"]).session_id
        self.closed = False

    @rule(hours=st.sampled_from((0.02, 0.5, 1, 20)))
    def time_passes(self, hours: float) -> None:
        self.now += hours * HOUR

    @rule(who=st.sampled_from(("owner", "thief")), worker=BROWSERS)
    def somebody_goes_on(self, who: str, worker: int) -> None:
        self.now += 31
        refreshed = self.exchange(self.jars[who], worker)
        if refreshed.verdict is Verdict.REUSED:
            self.closed = True
        if refreshed.pair is None:
            return
        assert not self.closed  # closed stays closed, for both
        self.jars[who] = refreshed.pair
        self.exchanged[who] += 1
        self.use(refreshed.pair)

    @rule(who=st.sampled_from(("owner", "thief")))
    def somebody_only_asks(self, who: str) -> None:
        """For tokens that are never used: the answer is lost, or the thief bides its time."""
        self.now += 31
        refreshed = self.exchange(self.jars[who])
        self.closed |= refreshed.verdict is Verdict.REUSED
        assert not (self.closed and refreshed.pair)

    @invariant()
    def only_one_of_them_goes_on(self) -> None:
        """S-04: whoever comes second is noticed, at its first exchange or at the next."""
        assert min(self.exchanged.values()) <= 1

    @invariant()
    def a_theft_is_told_once(self) -> None:
        assert self.house.ear.names().count("SessionReused") == int(self.closed)

    @invariant()
    def a_closed_session_is_denied(self) -> None:
        if self.closed:
            for jar in self.jars.values():
                identity = identity_of(self.house.access(jar))
                assert any(worker.revocations.denies(identity) for worker in self.workers)


TestHonest = Honest.TestCase
TestHonest.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestTheft = Theft.TestCase
TestTheft.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
