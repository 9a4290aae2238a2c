"""Who is signed out by mistake, and when is a thief caught? Five ways to rotate, and ours.

    .venv/bin/python -m benchmarks.rotation [--cycles 100000] [--thefts 500] [--seed 1] [--json]

A simulation in virtual time. Browsers come back after hours, with tabs that fire many requests at
once with one expired token; lines are slow, answers get lost one by one or all together (a tunnel),
navigations are cancelled, and answers arrive in any order. Each way meets the same traffic. A cycle
is one return with an expired access token. Ours is the real `judge`.

Then a thief copies a jar, and refreshes by one of six habits. It knows when the owner comes. Caught
is whoever is refused first. A return of the owner, and an exchange of the thief, is a refresh.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Protocol

from authkit_asgi.core.rotation import Session, Verdict, judge
from authkit_asgi.core.tokens import Claims
from benchmarks.rows import Row, as_json, as_table

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
GRACE = 30.0
START = 1_800_000_000.0
FOREVER = 1e12
VISITS = 24  # of the owner after a theft; a thief who is not found by then is not found


# --- ways to rotate -------------------------------------------------------------------------------


class Way(Protocol):
    """What a server does with one session's refresh tokens."""

    def sign_in(self, now: float) -> Claims: ...

    def exchange(self, token: Claims, now: float) -> Claims | None:
        """The next token; None signs out whoever asked, and closes the session."""
        ...

    def confirm(self, token: Claims, now: float) -> None:
        """An access token that came with this one is used."""


class _Counting:
    """Tokens that are told apart by a number; the session keeps the newest one's."""

    def __init__(self) -> None:
        self.minted = 0
        self.current = 0
        self.previous = -1
        self.rotated_at = -FOREVER
        self.is_closed = False

    def mint(self, generation: int, now: float) -> Claims:
        self.minted += 1
        return Claims(
            subject="u",
            session_id="s",
            generation=generation,
            epoch=0,
            issued_at=int(now),
            expires_at=int(now + 30 * DAY),
            token_id=str(self.minted),
        )

    def sign_in(self, now: float) -> Claims:
        return self.mint(self.current, now)

    def rotate(self, now: float) -> Claims:
        self.previous, self.current = self.current, self.current + 1
        self.rotated_at = now
        return self.mint(self.current, now)

    def close(self) -> Claims | None:
        self.is_closed = True
        return None

    def confirm(self, token: Claims, now: float) -> None:
        pass

    def exchange(self, token: Claims, now: float) -> Claims | None:
        if self.is_closed:
            return None
        if token.generation == self.current:
            return self.rotate(now)
        if token.generation == self.previous and now - self.rotated_at <= GRACE:
            return self.again(token, now)
        return self.close()

    def again(self, token: Claims, now: float) -> Claims | None:
        raise NotImplementedError


class StrictSingleUse(_Counting):
    """A token that comes twice is stolen."""

    def again(self, token: Claims, now: float) -> Claims | None:
        return self.close()


class RotatingAgain(_Counting):
    """The previous token is exchanged once more within the grace, for a newer one than before."""

    def again(self, token: Claims, now: float) -> Claims | None:
        return self.rotate(now)


class Replaying(_Counting):
    """The winner's answer is kept, and given to all who ask again within the grace."""

    answer: Claims

    def rotate(self, now: float) -> Claims:
        self.answer = super().rotate(now)
        return self.answer

    def again(self, token: Claims, now: float) -> Claims | None:
        return self.answer


class GraceAlone(_Counting):
    """Within the grace, all who ask again get tokens of the winner's generation."""

    def again(self, token: Claims, now: float) -> Claims | None:
        return self.mint(self.current, now)


class Ours(_Counting):
    """`judge`, over a row as the store keeps it."""

    row: Session

    def sign_in(self, now: float) -> Claims:
        self.row = Session(
            id="s",
            user_id="u",
            rotated_at=now,
            created_at=now,
            last_seen_at=now,
            idle_expires_at=FOREVER,
            expires_at=FOREVER,
        )
        return self.mint(0, now)

    def parent(self, token: Claims) -> str | None:
        return token.token_id

    def exchange(self, token: Claims, now: float) -> Claims | None:
        row = self.row
        verdict = judge(row, token, now=now, grace=GRACE)
        if verdict is Verdict.ROTATE:
            self.row = row = replace(
                row,
                generation=row.generation + 1,
                confirmed=max(row.confirmed, row.generation),
                parent=self.parent(token),
                rotated_at=now,
            )
        elif verdict is not Verdict.JOIN:
            self.row = replace(row, closed_at=now)
            return None
        return self.mint(row.generation, now)

    def confirm(self, token: Claims, now: float) -> None:
        row = self.row
        if row.generation == token.generation == row.confirmed + 1:
            self.row = replace(row, confirmed=token.generation, confirmed_at=now)


class WithoutParent(Ours):
    """The same, but no row knows which token made its generation: confirmation alone."""

    def parent(self, token: Claims) -> str | None:
        return None


WAYS: dict[str, Callable[[], Way]] = {
    "strict single use": StrictSingleUse,
    "re-rotating grace": RotatingAgain,
    "replay of the winner's answer": Replaying,
    "grace alone": GraceAlone,
    "ours without parent": WithoutParent,
    "ours": Ours,
}


# --- a browser on a bad line ----------------------------------------------------------------------


def delay(dice: random.Random) -> float:
    """Seconds on the line, one way: mostly a tenth, now and then many."""
    return dice.uniform(1, 10) if dice.random() < 0.02 else dice.lognormvariate(-2.5, 0.7)


def departures(dice: random.Random) -> Iterator[float]:
    """When the requests of a page load leave: several tabs may be restored at once, each with its
    document and what that asks for."""
    for _ in range(dice.choices((1, 2, 4, 8), (70, 20, 7, 3))[0]):
        opened = dice.uniform(0, 0.5)
        yield opened
        for _ in range(dice.choice((0, 0, 1, 3, 6))):
            yield opened + dice.uniform(0, 1)


@dataclass
class Browser:
    """One person's. `jar` is the newest token whose answer arrived."""

    way: Way
    dice: random.Random
    now: float = START
    jar: Claims = field(init=False)
    is_out: bool = False

    def __post_init__(self) -> None:
        self.jar = self.way.sign_in(self.now)

    def comes_back(self) -> None:
        """With an expired access token; again and again until an answer arrived."""
        self.until_expired()
        held = self.jar
        self.loads()
        while self.jar is held and not self.is_out:
            self.now += self.dice.choice((2.0, 20.0, 5 * MINUTE, 3 * HOUR))
            self.loads()
        if not self.is_out and self.dice.random() < 0.9:  # a click on the page that was loaded
            self.now += self.dice.uniform(1, 40)
            self.way.confirm(self.jar, self.now)

    def until_expired(self) -> None:
        self.now = max(self.now, self.jar.issued_at + HOUR + 1)

    def loads(self) -> None:
        """One page load, until the last answer arrived or was lost."""
        dice, began = self.dice, self.now
        # Kinds of events: 0 a request leaves, 1 it is with the server, 2 its answer arrives.
        events: list[tuple[float, int, int, Claims | None]] = []
        order = 0

        def plan(at: float, kind: int, token: Claims | None = None) -> None:
            nonlocal order
            order += 1
            heappush(events, (at, order, kind, token))

        for offset in departures(dice):
            plan(began + offset, 0)
        # From then on every answer is lost; or those are that were under way, and a new page loads.
        tunnel = began + dice.uniform(0, 2) if dice.random() < 0.02 else FOREVER
        cancelled = began + dice.uniform(0.05, 1.5) if dice.random() < 0.08 else 0.0
        if cancelled:
            for offset in departures(dice):
                plan(cancelled + offset, 0)
        while events:
            self.now, _, kind, token = heappop(events)
            if kind == 0:
                plan(self.now + delay(dice), 1, self.jar)
            elif kind == 1 and token is not None:
                if self.now < token.issued_at + HOUR:
                    self.way.confirm(token, self.now)
                    continue
                answer = self.way.exchange(token, self.now)
                if answer is None:
                    self.is_out = True
                    return
                arrives = self.now + delay(dice)
                is_lost = self.now <= cancelled < arrives or dice.random() < 0.01
                if not is_lost and arrives < tunnel:
                    plan(arrives, 2, answer)
            elif token is not None:
                self.jar = token


def false_sign_outs(make: Callable[[], Way], cycles: int, seed: int) -> int:
    """Of so many returns. Whoever is out signs in again."""
    out = 0
    browser = Browser(make(), random.Random(seed))
    for number in range(cycles):
        # Each return has dice of its own, so that all ways meet the same traffic.
        dice = random.Random(seed * cycles + number)
        if browser.is_out:
            browser = Browser(make(), dice)
        browser.dice = dice
        browser.now += dice.expovariate(1 / (5 * HOUR))
        browser.comes_back()
        out += browser.is_out
    return out


# --- a thief --------------------------------------------------------------------------------------


@dataclass
class Theft:
    """One browser, one copy of its jar, and who went on how often."""

    browser: Browser
    loot: Claims
    copied_at: float
    refreshes: Counter[str] = field(default_factory=Counter)
    both_since: float | None = None
    caught_at: float | None = None

    def thief_asks(self, now: float, *, uses: bool = False) -> None:
        if self.caught_at is not None:
            return
        answer = self.browser.way.exchange(self.loot, now)
        if answer is None:
            self.caught_at = now
            return
        self.went_on("thief", now)
        self.loot = answer
        if uses:
            self.browser.way.confirm(answer, now + 1)

    def thief_uses(self, now: float) -> None:
        self.browser.way.confirm(self.loot, now)

    def owner_comes(self) -> None:
        if self.caught_at is None:
            self.browser.comes_back()
            if self.browser.is_out:
                self.caught_at = self.browser.now
            else:
                self.went_on("owner", self.browser.now)

    def went_on(self, who: str, now: float) -> None:
        self.refreshes[who] += 1
        if self.both_since is None and len(self.refreshes) == 2:
            self.both_since = now


Habit = Callable[[Theft, int], None]  # one visit of the owner, with what the thief does around it


def greedy(theft: Theft, visit: int) -> None:
    """Refreshes at once and whenever its access token has run out, and uses what it gets."""
    at = max(theft.copied_at + MINUTE, theft.loot.issued_at + HOUR if visit else 0)
    while at < theft.browser.now:
        theft.thief_asks(at, uses=True)
        at += HOUR
    theft.owner_comes()


def late(theft: Theft, visit: int) -> None:
    """Lets the copy lie until the owner was back twice."""
    theft.owner_comes()
    if visit >= 1:
        theft.thief_asks(theft.browser.now + 10 * MINUTE, uses=True)


def patient(theft: Theft, visit: int) -> None:
    """Exchanges before the owner comes, and uses nothing before the owner was back."""
    theft.thief_asks(theft.browser.now - 2 * MINUTE)
    theft.owner_comes()
    theft.thief_uses(theft.browser.now + 50)


def unseen(theft: Theft, visit: int) -> None:
    """Exchanges before the owner comes, and never uses an access token."""
    theft.thief_asks(theft.browser.now - 2 * MINUTE)
    theft.owner_comes()


def punctual(theft: Theft, visit: int) -> None:
    """Comes five seconds before the owner, within the grace, and uses what it gets."""
    theft.thief_asks(theft.browser.now - 5, uses=True)
    theft.owner_comes()


def following(theft: Theft, visit: int) -> None:
    """Comes right after the owner, within the grace, and uses what it gets."""
    theft.owner_comes()
    theft.thief_asks(theft.browser.now + 1, uses=True)


HABITS: dict[str, Habit] = {
    habit.__name__: habit for habit in (greedy, late, patient, unseen, punctual, following)
}


def steal(make: Callable[[], Way], habit: Habit, seed: int) -> Theft:
    """A theft, until somebody is refused or both have gone on for a month."""
    dice = random.Random(seed)
    browser = Browser(make(), dice)
    for _ in range(dice.randrange(4)):
        browser.comes_back()
        if browser.is_out:  # before any theft: some ways cannot help it
            browser = Browser(make(), dice, browser.now)
    theft = Theft(browser, browser.jar, browser.now + dice.uniform(1, 50 * MINUTE))
    for visit in range(VISITS):
        browser.now += dice.expovariate(1 / (5 * HOUR))
        browser.until_expired()
        browser.now += 3 * MINUTE
        habit(theft, visit)
        if theft.caught_at is not None:
            break
    return theft


def caught(make: Callable[[], Way], habit: Habit, thefts: int, seed: int) -> dict[str, Any]:
    told = [steal(make, habit, seed * thefts + number) for number in range(thefts)]
    found = [theft for theft in told if theft.caught_at is not None]
    # Since both of them had gone on: how many hours, and how often the one that did so less.
    hours = [
        max(0.0, theft.caught_at - (theft.both_since or theft.caught_at)) / HOUR
        for theft in found
        if theft.caught_at is not None
    ]
    seconds = [min(theft.refreshes["owner"], theft.refreshes["thief"]) for theft in told]
    return {
        "caught": len(found) / thefts,
        "thief": statistics.median(theft.refreshes["thief"] for theft in told),
        "owner": statistics.median(theft.refreshes["owner"] for theft in told),
        "both_at_most": max(seconds),
        "hours": round(statistics.median(hours), 1) if hours else None,
    }


# --- the report -----------------------------------------------------------------------------------


def measured(cycles: int, thefts: int, seed: int) -> dict[str, Any]:
    return {
        name: {
            "false_sign_outs": false_sign_outs(make, cycles, seed),
            "thefts": {habit: caught(make, how, thefts, seed) for habit, how in HABITS.items()},
        }
        for name, make in WAYS.items()
    }


def promises(rows: dict[str, Any], cycles: int, thefts: int) -> list[Row]:
    out = {name: row["false_sign_outs"] for name, row in rows.items()}
    ours = rows["ours"]["thefts"].values()
    caught = min(one["caught"] for one in ours)
    both = max(one["both_at_most"] for one in ours)
    others = [
        Row(f"signed out by mistake, of {cycles:,} returns: {name}", f"{count:,}")
        for name, count in out.items()
        if name != "ours"
    ]
    told = f"signed out by mistake, of {cycles:,} returns: ours"
    return [
        *others,
        Row(told, f"{out['ours']:,}", "none", out["ours"] == 0),
        Row(f"thieves caught, of {thefts:,} of each habit", f"{caught:.0%}", "all", caught == 1),
        Row("refreshes of each until then, at most", f"{both}", "at most 1", both <= 1),
    ]


def show(rows: dict[str, Any], kept: list[Row], cycles: int, thefts: int) -> None:
    print(f"{'false sign-outs':30} in {cycles:,} cycles")
    for name, row in rows.items():
        print(f"{name:30} {row['false_sign_outs']:9,}")
    print(
        f"\ncaught, of {thefts:,} thefts of each habit; and how often owner and thief both went on"
    )
    print(f"{'':30}" + "".join(f"{habit:>15}" for habit in HABITS))
    for name, row in rows.items():
        cells = (
            f"{one['caught']:.0%} after {one['both_at_most']}" for one in row["thefts"].values()
        )
        print(f"{name:30}" + "".join(f"{cell:>15}" for cell in cells))
    print("\nours: medians         thief's refreshes   owner's   hours since both had gone on")
    for habit, one in rows["ours"]["thefts"].items():
        hours = "-" if one["hours"] is None else f"{one['hours']:.1f}"
        print(f"{habit:20} {one['thief']:18.0f} {one['owner']:9.0f} {hours:>10}")
    print()
    print(as_table("Promised", [row for row in kept if row.target]))


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--cycles", type=int, default=100_000)
    parser.add_argument("--thefts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="a tenth of that")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.cycles, options.thefts = options.cycles // 10, options.thefts // 10
    began = time.perf_counter()
    rows = measured(options.cycles, options.thefts, options.seed)
    kept = promises(rows, options.cycles, options.thefts)
    if options.json:
        print(as_json("Nobody is signed out by mistake, and the thief is caught", kept, ways=rows))
    else:
        show(rows, kept, options.cycles, options.thefts)
        print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(0 if all(row.met is not False for row in kept) else 1)


if __name__ == "__main__":
    main()
