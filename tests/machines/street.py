"""Browsers on bad lines and a thief, over the real sessions: what may happen to a refresh token.

A machine (Hypothesis) plays with all of it in any order and asserts after every step. It knows how
the browser, the line and the thief behave, and nothing of how sessions decide.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from authkit_asgi.accounts import User
from authkit_asgi.core.identity import identity_of
from authkit_asgi.core.rotation import Verdict
from authkit_asgi.core.tokens import CLOCK_SKEW
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.events import SessionReused
from authkit_asgi.sessions import Refreshed, Sessions, TokenPair
from authkit_asgi.settings import DAY, HOUR
from authkit_asgi.store import Store
from tests.house import LAPTOP, PHONE, Breaking, House
from tests.world import START

T = TypeVar("T")

TRAVEL = 10.0  # seconds that a request, or an answer, is on its way; later it is lost
OFF = 4.0  # seconds that a worker's clock is off, at most: two differ by less than CLOCK_SKEW
GRACE = 30.0
# Two tokens of one generation are told apart when one is older than this at its exchange. Younger,
# they may be two answers of one race: minted within the grace before the exchange of the other one,
# and shown within the grace after it.
RACE = 2 * GRACE + CLOCK_SKEW + 2 * OFF + 1

TWO = st.integers(0, 1)
PICK = st.integers(0, 20)
MOVES = ("waits", "asks", "uses", "asks twice")
LATE = (0, 9)  # seconds
MOVE = st.sampled_from(MOVES)
LOOT = st.sampled_from((0, 0, 0, 1, 2))  # the newest of what a thief has, or an older one


@dataclass(eq=False)
class Place:
    """A store, the event loop that its driver lives in, and how much was played there."""

    portal: BlockingPortal
    store: Store
    steps: int = 0
    happened: Counter[str] = field(default_factory=Counter)

    def run(self, work: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
        return self.portal.call(partial(work, *args, **more))


@dataclass(frozen=True)
class Underway:
    """A request with the cookies it left with, or an answer with the cookies it brings."""

    pair: TokenPair
    since: float


@dataclass(eq=False)
class Theft:
    """A thief with the tokens it has: the copy, and what it got for it."""

    copied: int
    loot: list[TokenPair]
    has_shown_up: bool = False


@dataclass(eq=False)
class Tale:
    """What an onlooker knows of one session, without looking at the row."""

    session_id: str
    ends_at: float
    closed_at: float | None = None
    theft: Theft | None = None
    # When each generation was first seen in use, and the word of it was written.
    seen: dict[int, float] = field(default_factory=dict)
    # Which generations owner and thief left by an exchange of a token that is theirs alone, each
    # with the greatest age of such a token, since the theft.
    left: dict[str, dict[int, float]] = field(default_factory=lambda: {"owner": {}, "thief": {}})


@dataclass(eq=False)
class Browser:
    tale: Tale
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


class Street(RuleBasedStateMachine):
    """Two browsers of one person, each with tabs that share a jar, two workers whose clocks are a
    little off, and a thief or two."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.steps = 0
        self.now = START
        self.house = House(place.store)
        self.user: User = place.run(self.house.user, f"ada{secrets.token_hex(8)}")
        self.workers: list[Sessions] = [self.house.worker() for _ in range(2)]
        self.offsets = [0.0, 0.0]
        self.over: list[tuple[Tale, TokenPair]] = []
        self.browsers = [self.new_browser() for _ in range(2)]

    def teardown(self) -> None:
        self.place.steps += self.steps - 1  # invariants are checked once before the first step

    # --- the promises ---------------------------------------------------------------------------

    def answered(
        self, tale: Tale, shown: TokenPair, refreshed: Refreshed, *, now: float, who: str
    ) -> None:
        """What is promised of each answer. `now` is the time of the worker that gave it."""
        self.hear()
        assert refreshed.verdict is not Verdict.ROLLED_BACK
        self.place.happened[refreshed.verdict.value] += 1
        pair, over = refreshed.pair, tale.closed_at is not None or now >= tale.ends_at
        if pair is None:
            if who == "owner" and not over:  # nobody is signed out by mistake
                assert now >= shown.refresh_expires_at
                assert not refreshed.ours  # and no newer cookie is cleared
            return
        assert not over  # closed stays closed, on every worker and after a restart
        # Whoever asks with an old token gets no further than all who asked with it.
        assert pair.generation == shown.generation + 1
        # Once the next generation is in use, its predecessor is good for the grace, and no longer.
        assert now - tale.seen.get(pair.generation, now) <= GRACE + 2 * OFF
        tale.ends_at = max(tale.ends_at, pair.refresh_expires_at)
        if tale.theft is not None and shown.generation > tale.theft.copied:
            age = now - self.house.refresh_claims(shown).issued_at
            ages = tale.left[who]
            ages[shown.generation] = max(age, ages.get(shown.generation, 0))

    def hear(self) -> None:
        """A session is closed as stolen only when a thief was there, and its owner is told once."""
        told = Counter(
            event.session_id for event in self.house.ear.heard if isinstance(event, SessionReused)
        )
        for tale in (browser.tale for browser in self.browsers):
            if told[tale.session_id]:
                assert tale.theft is not None
                assert tale.theft.has_shown_up
                if tale.closed_at is None:
                    tale.closed_at = self.now
                    self.place.happened["caught"] += 1
        assert set(told.values()) <= {1}

    def note_a_close_that_nobody_told(self, tale: Tale) -> None:
        """When the answer to the very write that closes a session is lost, the owner hears of it
        by being signed out only."""
        row = self.run(self.house.row, tale.session_id)
        if row.closed_at is not None and tale.closed_at is None:
            assert row.close_reason == "reused"
            assert tale.theft is not None
            assert tale.theft.has_shown_up
            tale.closed_at = self.now

    @invariant()
    def nobody_shares_a_session(self) -> None:
        """S-04. Owner and thief each get one more refresh with the token that both have. Then each
        has tokens of its own: of one generation, not both are exchanged once they can be told
        apart; and while they cannot, a race gives the second one no more than one refresh."""
        self.steps += 1
        for browser in self.browsers:
            owner, thief = browser.tale.left["owner"], browser.tale.left["thief"]
            assert min(len(owner), len(thief)) <= 1
            for generation in owner.keys() & thief.keys():
                assert min(owner[generation], thief[generation]) <= RACE

    # --- how it is done -------------------------------------------------------------------------

    def run(self, work: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
        return self.place.run(work, *args, **more)

    def clock(self, worker: int) -> float:
        return self.now + self.offsets[worker]

    def new_browser(self) -> Browser:
        session, pair = self.run(self.house.opened, self.user, now=self.now)
        return Browser(Tale(session.id, pair.refresh_expires_at), pair)

    def sign_in_again(self, browser: Browser) -> None:
        self.over.append((browser.tale, browser.jar))
        self.browsers[self.browsers.index(browser)] = self.new_browser()

    def is_expired(self, pair: TokenPair, worker: int = 0) -> bool:
        return self.clock(worker) >= pair.access_expires_at

    def use(self, tale: Tale, pair: TokenPair, worker: int = 0) -> None:
        """An access token is seen, and the word of it is written."""
        now, claims = self.clock(worker), self.house.access(pair)
        self.run(self.workers[worker].confirm, identity_of(claims), now=now)
        tale.seen.setdefault(pair.generation, now)

    def ask(
        self, tale: Tale, pair: TokenPair, worker: int = 0, *, who: str, via: Sessions | None = None
    ) -> Refreshed:
        """Exchange a token. Raises what the worker raises."""
        now = self.clock(worker)
        refreshed = self.run(self.house.refresh, pair, now=now, worker=via or self.workers[worker])
        self.answered(tale, pair, refreshed, now=now, who=who)
        return refreshed

    def owner_asks(self, browser: Browser, pair: TokenPair, worker: int = 0) -> TokenPair | None:
        """The new pair is in the answer; where there is none, perhaps a new sign-in is asked."""
        refreshed = self.ask(browser.tale, pair, worker, who="owner")
        self.deal_with(browser, refreshed)
        return refreshed.pair

    def deal_with(self, browser: Browser, refreshed: Refreshed) -> None:
        if refreshed.pair is None and refreshed.ours and browser in self.browsers:
            self.sign_in_again(browser)

    def thief_asks(self, tale: Tale, theft: Theft, pick: int, worker: int) -> TokenPair | None:
        theft.has_shown_up = True
        refreshed = self.ask(tale, theft.loot[pick % len(theft.loot)], worker, who="thief")
        if refreshed.pair is not None:
            theft.loot.insert(0, refreshed.pair)
        return refreshed.pair

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        for browser in list(self.browsers):
            browser.forget(self.now)
            if self.now >= browser.jar.refresh_expires_at:  # the browser itself drops the cookie
                self.sign_in_again(browser)

    def with_an_expired_token(self, which: int) -> Browser:
        """The browser, when the access token in its jar has run out, which may take an hour."""
        self.wait_until_expired(self.browsers[which])
        return self.browsers[which]

    def wait_until_expired(self, browser: Browser) -> None:
        self.pass_(max(0, browser.jar.access_expires_at + OFF - self.now))

    def stolen(self) -> list[Browser]:
        return [browser for browser in self.browsers if browser.tale.theft]

    def a_stolen_one(self, which: int) -> tuple[Browser, Theft]:
        browsers = self.stolen()
        browser = browsers[which % len(browsers)]
        assert browser.tale.theft is not None
        return browser, browser.tale.theft

    def owner_comes(self, browser: Browser) -> None:
        """When it still has this jar; and uses what it gets."""
        if browser in self.browsers and (pair := self.owner_asks(browser, browser.jar)):
            browser.jar = pair
            self.use(browser.tale, pair)

    def thief_uses(self, tale: Tale, theft: Theft, pick: int, worker: int) -> None:
        pair = theft.loot[pick % len(theft.loot)]
        if not self.is_expired(pair, worker):
            theft.has_shown_up = True
            self.use(tale, pair, worker)

    def thief_moves(self, move: str, tale: Tale, theft: Theft, worker: int) -> None:
        if move == "uses" and not self.is_expired(theft.loot[0], worker):
            self.thief_uses(tale, theft, 0, worker)
        elif move != "waits":
            self.thief_asks(tale, theft, 0, worker)
        if move == "asks twice":
            self.thief_asks(tale, theft, 0, worker)

    # --- time -----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1, 4, 9)))
    def a_moment_passes(self, seconds: int) -> None:
        self.pass_(seconds)

    @rule(minutes=st.sampled_from((1, 20, 59, 61, 180)))
    def time_passes(self, minutes: int) -> None:
        self.pass_(60 * minutes)

    @rule(days=st.sampled_from((1, 3, 6)))
    def days_pass(self, days: int) -> None:
        self.pass_(days * DAY)

    @rule(which=TWO, before=st.sampled_from((1, 5, 12)))
    def the_end_is_near(self, which: int, before: int) -> None:
        """Moments before the refresh token in the jar expires."""
        self.pass_(max(0, self.browsers[which].jar.refresh_expires_at - before - self.now))

    @rule(worker=TWO, off=st.sampled_from((-OFF, -1.5, 0.0, 0.4, OFF)))
    def a_clock_is_set(self, worker: int, off: float) -> None:
        """Forwards or back."""
        self.offsets[worker] = off

    # --- an honest browser ----------------------------------------------------------------------

    @rule(which=TWO)
    def a_tab_asks(self, which: int) -> None:
        browser = self.browsers[which]
        browser.requests.append(Underway(browser.jar, self.now))

    @precondition(lambda self: any(browser.requests for browser in self.browsers))
    @rule(which=TWO, pick=PICK, worker=TWO, seen=st.booleans())
    def a_request_arrives(self, which: int, pick: int, worker: int, seen: bool) -> None:
        browser = self.browsers[which]
        if not browser.requests:
            return
        request = browser.requests.pop(pick % len(browser.requests))
        if not self.is_expired(request.pair, worker):
            if seen:  # best effort: the word of it may get lost
                self.use(browser.tale, request.pair, worker)
        elif pair := self.owner_asks(browser, request.pair, worker):
            browser.answers.append(Underway(pair, self.now))

    @precondition(lambda self: any(browser.answers for browser in self.browsers))
    @rule(which=TWO, pick=PICK)
    def an_answer_arrives(self, which: int, pick: int) -> None:
        """In any order."""
        answers = self.browsers[which].answers
        if answers:
            self.browsers[which].jar = answers.pop(pick % len(answers)).pair

    @precondition(lambda self: any(browser.answers for browser in self.browsers))
    @rule(which=TWO)
    def answers_get_lost(self, which: int) -> None:
        self.browsers[which].answers.clear()

    @rule(which=TWO, worker=TWO, count=st.integers(2, 6))
    def a_page_fires_many_requests(self, which: int, worker: int, count: int) -> None:
        browser = self.with_an_expired_token(which)
        jar = browser.jar
        got: list[tuple[Refreshed, int]] = []

        async def one(number: int) -> None:
            refreshed = await self.house.refresh(
                jar, now=self.clock(number % 2), worker=self.workers[number % 2]
            )
            got.append((refreshed, number % 2))

        async def all_at_once() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(one, worker + number)

        self.run(all_at_once)
        for refreshed, by in got:
            self.answered(browser.tale, jar, refreshed, now=self.clock(by), who="owner")
            self.deal_with(browser, refreshed)
            if refreshed.pair is not None:
                browser.answers.append(Underway(refreshed.pair, self.now))

    @rule(which=TWO, worker=TWO)
    def a_twin_is_late(self, which: int, worker: int) -> None:
        """One request's answer is here and in use when the other, sent with it, arrives."""
        browser = self.with_an_expired_token(which)
        sent = browser.jar
        if (pair := self.owner_asks(browser, sent)) is None:
            return
        browser.jar = pair
        self.use(browser.tale, pair)
        self.pass_(TRAVEL)
        if browser in self.browsers and (pair := self.owner_asks(browser, sent, worker)):
            browser.answers.append(Underway(pair, self.now))

    @rule(which=TWO, worker=TWO)
    def a_socket_opens(self, which: int, worker: int) -> None:
        browser = self.browsers[which]
        peek = self.workers[worker].peek
        now = self.clock(worker)
        identity = self.run(peek, browser.jar.refresh.encode(), now=now, visitor=LAPTOP)
        self.hear()
        if identity is None:
            expired = now >= browser.jar.refresh_expires_at
            assert expired or browser.tale.closed_at is not None
        else:
            assert browser.tale.closed_at is None

    @rule(which=TWO)
    def a_password_is_changed_or_the_like(self, which: int) -> None:
        """What renews a session: with a living access token, or one exchanged for it."""
        browser = self.browsers[which]
        if self.is_expired(browser.jar) and self.owner_asks(browser, browser.jar) is None:
            return
        tale = browser.tale
        pair = self.run(
            self.workers[0].renew, tale.session_id, self.user, visitor=PHONE, now=self.clock(0)
        )
        if pair is None:
            assert tale.closed_at is not None or self.clock(0) >= tale.ends_at
            return
        assert tale.closed_at is None
        tale.ends_at = max(tale.ends_at, pair.refresh_expires_at)
        browser.answers.append(Underway(pair, self.now))
        if tale.theft is not None:  # this generation is nobody's alone: all begins anew
            tale.theft.copied = max(tale.theft.copied, pair.generation)
            tale.left = {"owner": {}, "thief": {}}

    # --- trouble --------------------------------------------------------------------------------

    @rule(which=TWO, verb=st.integers(1, 4), done=st.booleans())
    def a_request_is_cancelled(self, which: int, verb: int, done: bool) -> None:
        """The answer is lost, wherever the work was when the browser went."""
        browser = self.with_an_expired_token(which)

        async def cut() -> None:
            with anyio.CancelScope() as scope:
                cutting = Cutting(self.house.store, scope, verb, done=done)
                worker = self.house.worker(cutting)
                await self.house.refresh(browser.jar, now=self.now, worker=worker)

        self.run(cut)
        self.hear()

    @rule(
        which=TWO, verb=st.sampled_from(("get", "swap")), when=st.sampled_from(("before", "after"))
    )
    def the_store_fails(self, which: int, verb: str, when: str) -> None:
        """Before a verb is done, or after, so that only the word of it is lost. The browser is
        answered 503 and keeps its cookies."""
        browser = self.with_an_expired_token(which)
        breaking = Breaking(self.house.store)
        (breaking.before if when == "before" else breaking.after).add(verb)
        via = self.house.worker(breaking)
        try:
            refreshed = self.ask(browser.tale, browser.jar, who="owner", via=via)
        except StoreUnavailable:
            self.place.happened["outage"] += 1
            self.hear()
            self.note_a_close_that_nobody_told(browser.tale)
            return
        self.deal_with(browser, refreshed)
        if refreshed.pair is not None:
            browser.answers.append(Underway(refreshed.pair, self.now))

    @rule(worker=TWO)
    def a_worker_is_restarted(self, worker: int) -> None:
        self.workers[worker] = self.house.worker()

    # --- ends -----------------------------------------------------------------------------------

    @rule(which=TWO, worker=TWO)
    def the_owner_signs_out(self, which: int, worker: int) -> None:
        browser = self.browsers[which]
        tale = browser.tale
        close = self.workers[worker].close
        closed = self.run(close, tale.session_id, reason="signed out", now=self.clock(worker))
        assert (closed is not None) is (tale.closed_at is None)  # of many ends one counts
        tale.closed_at = self.now
        if tale.theft is not None:  # the thief does not know
            for pair in tale.theft.loot[:2]:
                self.over.append((tale, pair))
        self.sign_in_again(browser)

    @precondition(lambda self: self.over)
    @rule(pick=PICK, worker=TWO)
    def an_old_cookie_comes_back(self, pick: int, worker: int) -> None:
        tale, pair = self.over[pick % len(self.over)]
        if tale.closed_at is not None:
            self.ask(tale, pair, worker, who="thief")

    @rule(worker=TWO)
    def a_worker_hears_of_what_ended(self, worker: int) -> None:
        """Within the poll interval, whoever closed it: no access token of it counts any more."""
        now, revocations = self.clock(worker), self.workers[worker].revocations
        self.run(revocations.refresh, now)
        tales = {id(tale): (tale, pair) for tale, pair in self.over}
        tales |= {id(browser.tale): (browser.tale, browser.jar) for browser in self.browsers}
        for tale, pair in tales.values():
            if tale.closed_at is not None and 1 + 2 * OFF < self.now - tale.closed_at < HOUR:
                assert revocations.denies(identity_of(self.house.access(pair)))

    # --- the thief ------------------------------------------------------------------------------

    @rule(which=TWO)
    def a_jar_is_copied(self, which: int) -> None:
        """At any moment, also while answers are under way or were lost. Once for each session: who
        can read the cookies again after every refresh is not found by what it does."""
        browser = self.browsers[which]
        if browser.tale.theft is None and browser.tale.closed_at is None:
            browser.tale.theft = Theft(browser.jar.generation, [browser.jar])
            self.place.happened["theft"] += 1

    @precondition(lambda self: self.stolen())
    @rule(which=TWO, pick=LOOT, worker=TWO, greedy=st.booleans())
    def the_thief_asks(self, which: int, pick: int, worker: int, greedy: bool) -> None:
        """With any token it has; and uses what it gets, or is patient."""
        browser, theft = self.a_stolen_one(which)
        pair = self.thief_asks(browser.tale, theft, pick, worker)
        if pair and greedy:
            self.use(browser.tale, pair, worker)

    @precondition(lambda self: self.stolen())
    @rule(which=TWO, pick=LOOT, worker=TWO)
    def the_thief_uses_what_it_has(self, which: int, pick: int, worker: int) -> None:
        browser, theft = self.a_stolen_one(which)
        self.thief_uses(browser.tale, theft, pick, worker)

    @precondition(lambda self: self.stolen())
    @rule(
        which=TWO,
        worker=TWO,
        before=MOVE,
        after=MOVE,
        late=st.sampled_from(LATE),
        visits=st.integers(1, 4),
    )
    def the_thief_keeps_the_owners_time(
        self, which: int, worker: int, before: str, after: str, late: int, visits: int
    ) -> None:
        """It comes moments before the owner, or after, or both times to be a step ahead; and it
        may put off the first use of its tokens until then, as if the grace began anew."""
        browser, theft = self.a_stolen_one(which)
        for _ in range(visits):
            self.wait_until_expired(browser)
            self.thief_moves(before, browser.tale, theft, worker)
            self.owner_comes(browser)
            self.pass_(late)
            self.thief_moves(after, browser.tale, theft, worker)
