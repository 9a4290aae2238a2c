"""What a returning refresh token means. The heart of "never a false sign-out, always the thief".

A session counts how often its refresh token was exchanged: its *generation*. A token names the
session and the generation it belongs to. Nothing of a token is stored, so a stolen database opens
nothing.

A lost answer must cost nobody the session, and a copy must not live. So the token before the
current one stays good until the current one was seen in use (*confirmed*), and for a short grace
after that: a browser that never got the answer can ask again, and gets tokens of the same
generation as the winner's. The grace counts from the first use, too, because a lost answer is often
asked for by many requests at once, and the slowest of them arrives after the first one's is in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sign-in on one device. Times are seconds since the epoch.

    `idle_expires_at` slides with each rotation, `expires_at` never moves. `epoch` is the user's
    epoch when this session last got tokens; `confirmed_at` is when the current generation was first
    seen in use; `methods` are the factors that opened it (RFC 8176
    names). `purge_at`: from then on no token of it can be alive anywhere, and nobody needs the row.
    """

    id: str
    user_id: str
    generation: int = 0
    confirmed: int = 0
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


def judge(session: Session | None, presented: int, *, now: float, grace: float) -> Verdict:
    """What a refresh token of generation `presented` means. `grace` is in seconds.

    the row's generation  when                                verdict
    --------------------  ----------------------------------  -----------------------------------
    none, closed, over    any time                            DEAD         sign in again
    the presented one     any time                            ROTATE       exchange it
    one ahead             in the grace, or not confirmed yet  JOIN         a twin, or a lost answer
    further ahead         any time                            REUSED       someone kept a copy
    behind                any time                            ROLLED_BACK  the store lost a write
    """
    if session is None or is_over(session, now=now):
        return Verdict.DEAD
    ahead = session.generation - presented
    if ahead == 0:
        return Verdict.ROTATE
    if ahead < 0:
        return Verdict.ROLLED_BACK
    in_grace = now - max(session.rotated_at, session.confirmed_at or 0) <= grace
    if ahead == 1 and (in_grace or session.confirmed < session.generation):
        return Verdict.JOIN
    return Verdict.REUSED
