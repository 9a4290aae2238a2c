"""What a returning refresh token means. The heart of "never a false sign-out, always the thief".

A session counts how often its refresh token was exchanged: its *generation*. A token names the
session, the generation it belongs to, and itself. Of a token the row keeps one thing: the id of
that one whose exchange made the current generation, its *parent*. It signs nothing, so a stolen
database opens nothing.

A lost answer must cost nobody the session, and a copy must not live. So the token before the
current one stays good until the current one was seen in use (*confirmed*), and for a short grace
after that: a browser that never got the answer can ask again, and gets tokens of the same
generation as the winner's. The grace counts from the first use, too, because a lost answer is often
asked for by many requests at once, and the slowest of them arrives after the first one's is in use.

Several answers may carry tokens of one generation. A browser keeps one of them, so one of them is
exchanged. Where two are, two keep house with one session, however long each has waited: only while
answers are under way can one browser have held both, one after the other. Here the grace counts
from the exchange alone: whoever could put off the first use could put off the end of the grace.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from authkit_asgi.core.tokens import CLOCK_SKEW, Claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sign-in on one device. Times are seconds since the epoch.

    `idle_expires_at` slides with each rotation, `expires_at` never moves. `epoch` is the user's
    epoch when this session last got tokens; `confirmed_at` is when the current generation was first
    seen in use; `methods` are the factors that opened it (RFC 8176 names). `parent` is the id
    (`jti`) of the refresh token whose exchange made the current generation; None, where no token
    was exchanged for it: then any of the generation before counts as the parent. `purge_at`: from
    then on no token of it can be alive anywhere, and nobody needs the row. `auth_time` is when its
    holder last proved who it is; None in rows of older versions: when the session was opened.
    """

    id: str
    user_id: str
    generation: int = 0
    confirmed: int = 0
    parent: str | None = None
    rotated_at: float
    confirmed_at: float | None = None
    created_at: float
    last_seen_at: float
    idle_expires_at: float
    expires_at: float
    remember: bool = False
    epoch: int = 0
    methods: tuple[str, ...] = ()
    user_agent: str = ""
    ip: str = ""
    closed_at: float | None = None
    close_reason: str = ""
    purge_at: float | None = None
    auth_time: float | None = None

    @property
    def proved_at(self) -> float:
        return self.created_at if self.auth_time is None else self.auth_time

    @property
    def ends_at(self) -> float:
        return min(self.idle_expires_at, self.expires_at)


class Verdict(Enum):
    ROTATE = "rotate"
    JOIN = "join"
    REUSED = "reused"
    ROLLED_BACK = "rolled back"
    DEAD = "dead"


def is_over(session: Session, *, now: float) -> bool:
    return session.closed_at is not None or now >= session.ends_at


def outlives(session: Session, *, epoch: int, spared: str) -> bool:
    """Whether a session survived the last time its user's epoch was raised.

    Raising the epoch ends every session of the user in one write, but for the `spared` one: the
    session in which its owner changed the password.
    """
    return session.epoch >= epoch or session.id == spared


def judge(session: Session | None, presented: Claims, *, now: float, grace: float) -> Verdict:
    """What a refresh token means. `grace` is in seconds.

    the row's generation  the token         when                                  verdict
    --------------------  ----------------  ------------------------------------  -----------
    none, closed, over    any               any time                              DEAD
    behind                any               any time                              ROLLED_BACK
    the presented one     any               any time                              ROTATE
    one ahead             its parent        not confirmed yet, or in the grace    JOIN
    one ahead             its parent        later                                 REUSED
    one ahead             a sibling of it   minted, exchanged within the grace    JOIN
    one ahead             a sibling of it   later                                 REUSED
    further ahead         any               any time                              REUSED

    DEAD: sign in again. ROLLED_BACK: the store lost a write. ROTATE: exchange it. JOIN: a twin, or
    a lost answer. REUSED: two go on with one session, or someone kept a copy.
    """
    if session is None or is_over(session, now=now):
        return Verdict.DEAD
    match session.generation - presented.generation:
        case ahead if ahead < 0:
            return Verdict.ROLLED_BACK
        case 0:
            return Verdict.ROTATE
        case 1 if _may_join(session, presented, now=now, grace=grace):
            return Verdict.JOIN
        case _:
            return Verdict.REUSED


def longest_race(grace: float) -> float:
    """For how many seconds after it was minted a sibling of the parent may be taken for an answer
    of the same race. Whoever refreshes less often than that cannot share a session."""
    return 2 * grace + CLOCK_SKEW


def _may_join(session: Session, presented: Claims, *, now: float, grace: float) -> bool:
    if session.parent in (None, presented.token_id):
        began = max(session.rotated_at, session.confirmed_at or 0)
        return session.confirmed < session.generation or now - began <= grace
    # `iat` is rounded down, and of a clock that may differ from the one that wrote the row.
    minted_lately = presented.issued_at >= session.rotated_at - grace - CLOCK_SKEW
    return minted_lately and now - session.rotated_at <= grace
