"""What a returning refresh token means: every case, against a table written a second time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from authkit_asgi.core.rotation import Session, Verdict, is_over, judge, outlives
from authkit_asgi.core.tokens import Claims

NOW = 1_800_000_000.0
GRACE = 30.0
ROW = Session(
    id="s",
    user_id="u",
    generation=5,
    confirmed=5,
    rotated_at=NOW - 3600,
    created_at=NOW - 9000,
    last_seen_at=NOW - 3600,
    idle_expires_at=NOW + 3600,
    expires_at=NOW + 7200,
)


def token(generation: int, token_id: str = "parent", *, minted: float = NOW - 7200) -> Claims:
    return Claims(
        subject="u",
        session_id="s",
        generation=generation,
        epoch=0,
        issued_at=int(minted),
        expires_at=int(NOW + 7200),
        token_id=token_id,
    )


def expected(row: Session, shown: Claims, now: float, grace: float) -> Verdict:
    """DESIGN section 7, put in other words and in another order."""
    if row.closed_at is not None:
        return Verdict.DEAD
    if not (now < row.idle_expires_at and now < row.expires_at):
        return Verdict.DEAD
    if shown.generation > row.generation:
        return Verdict.ROLLED_BACK
    if shown.generation == row.generation:
        return Verdict.ROTATE
    if shown.generation < row.generation - 1:
        return Verdict.REUSED
    if row.parent is not None and row.parent != shown.token_id:
        old_when_exchanged = row.rotated_at - shown.issued_at > grace + 10
        exchanged_long_ago = now > row.rotated_at + grace
        return Verdict.REUSED if old_when_exchanged or exchanged_long_ago else Verdict.JOIN
    answer_was_seen = row.confirmed >= row.generation
    seen_at = row.rotated_at if row.confirmed_at is None else row.confirmed_at
    long_ago = now > row.rotated_at + grace and now > seen_at + grace
    return Verdict.REUSED if answer_was_seen and long_ago else Verdict.JOIN


def test_every_case_of_the_table() -> None:
    """S-02, S-03, S-04, S-07, S-09."""
    verdicts = Counter[tuple[Verdict, str | None]]()
    rows = product(
        range(4),  # the row's generation
        range(4),  # confirmed
        (None, "parent", "sibling"),
        (-3600, -30.001, -30, 0, 3600),  # rotated at; the last: by a clock that was ahead
        (None, -3600, -30.001, -30, 0),  # confirmed at
        (None, NOW - 1),  # closed
        ((-1, 1), (0, 1), (1, -1), (1, 0), (1, 1)),  # idle end, absolute end
    )
    for generation, confirmed, parent, rotated, seen_at, closed, (idle, absolute) in rows:
        row = replace(
            ROW,
            generation=generation,
            confirmed=confirmed,
            parent=parent,
            rotated_at=NOW + rotated,
            confirmed_at=None if seen_at is None else NOW + seen_at,
            closed_at=closed,
            idle_expires_at=NOW + idle,
            expires_at=NOW + absolute,
        )
        over = closed is not None or min(idle, absolute) <= 0
        for grace, ahead in product((0, 30, 300), (-1, 0) if over else (-2, -1, 0, 1, 2, 3)):
            # Minted before the row's last exchange: around the end of what counts, and the same
            # second; and after it, by a clock that was ahead.
            for before in (grace + 12, grace + 11, grace + 10, grace + 9, 0, -5):
                shown = token(generation - ahead, minted=row.rotated_at - before)
                verdict = judge(row, shown, now=NOW, grace=grace)
                assert verdict is expected(row, shown, NOW, grace), (row, shown, grace)
                verdicts[verdict, parent] += 1
    assert verdicts.keys() == set(product(Verdict, (None, "parent", "sibling")))
    assert verdicts.total() > 200_000


def test_no_row_is_dead() -> None:
    assert judge(None, token(0), now=NOW, grace=GRACE) is Verdict.DEAD


@pytest.mark.parametrize(
    ("change", "presented", "verdict"),
    [
        pytest.param({}, 5, Verdict.ROTATE, id="the current one"),
        pytest.param({}, 4, Verdict.REUSED, id="S-04 a used one, its successor seen in use"),
        pytest.param({"confirmed": 4}, 4, Verdict.JOIN, id="S-08 a lost answer, an hour later"),
        pytest.param({"rotated_at": NOW - 30}, 4, Verdict.JOIN, id="S-03 a twin, in the grace"),
        pytest.param({"confirmed": 4}, 3, Verdict.REUSED, id="two behind is never a lost answer"),
        pytest.param({"rotated_at": NOW}, 3, Verdict.REUSED, id="two behind, in the grace"),
        pytest.param({"confirmed_at": NOW - 30}, 4, Verdict.JOIN, id="S-08 a slow twin of a retry"),
        pytest.param({"confirmed_at": NOW - 31}, 4, Verdict.REUSED, id="slower than the grace"),
        pytest.param({"confirmed_at": NOW}, 3, Verdict.REUSED, id="two behind, just confirmed"),
        pytest.param({}, 6, Verdict.ROLLED_BACK, id="S-07 a restored backup"),
        pytest.param({"closed_at": NOW - 1}, 5, Verdict.DEAD, id="closed"),
        pytest.param({"closed_at": NOW - 1}, 3, Verdict.DEAD, id="an old one of a closed session"),
        pytest.param({"closed_at": 0.0}, 5, Verdict.DEAD, id="closed at the epoch"),
        pytest.param({"idle_expires_at": NOW}, 5, Verdict.DEAD, id="S-09 exactly at the idle end"),
        pytest.param({"expires_at": NOW}, 5, Verdict.DEAD, id="S-09 exactly at the absolute end"),
    ],
)
@pytest.mark.parametrize("parent", ["parent", None], ids=["exchanged", "renewed, or an old row"])
def test_what_a_token_means(
    change: dict[str, Any], presented: int, verdict: Verdict, parent: str | None
) -> None:
    row = replace(ROW, parent=parent, **change)
    assert judge(row, token(presented), now=NOW, grace=GRACE) is verdict


@pytest.mark.parametrize(
    ("change", "minted", "verdict"),
    [
        pytest.param({"confirmed": 4}, -7200, Verdict.REUSED, id="S-04 a patient thief's copy"),
        pytest.param({"rotated_at": NOW - 5}, -3600, Verdict.REUSED, id="S-04 a punctual thief's"),
        pytest.param({"confirmed_at": NOW}, -3601, Verdict.REUSED, id="S-04 it puts off its use"),
        pytest.param({"confirmed": 4}, -3601, Verdict.REUSED, id="S-04 it never uses it"),
        pytest.param({"rotated_at": NOW - 5}, -8, Verdict.JOIN, id="two refreshes in a moment"),
        pytest.param({"rotated_at": NOW - 5}, -2, Verdict.JOIN, id="minted by a late twin"),
        pytest.param({"rotated_at": NOW - 30}, -70, Verdict.JOIN, id="the last moment for both"),
        pytest.param({"rotated_at": NOW - 30}, -71, Verdict.REUSED, id="minted a second sooner"),
        pytest.param({"rotated_at": NOW - 30.1}, -32, Verdict.REUSED, id="exchanged a bit later"),
        pytest.param({"rotated_at": NOW + 5}, 3, Verdict.JOIN, id="Q-09 by a clock that is ahead"),
    ],
)
def test_what_a_sibling_of_the_parent_means(
    change: dict[str, Any], minted: float, verdict: Verdict
) -> None:
    """Both were answers to tokens of one generation, and another one than this was exchanged."""
    row = replace(ROW, parent="parent", **change)
    shown = token(4, "sibling", minted=NOW + minted)
    assert judge(row, shown, now=NOW, grace=GRACE) is verdict


@pytest.mark.parametrize("token_id", ["parent", "sibling"])
@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0, Verdict.ROTATE), (2, Verdict.REUSED), (-1, Verdict.ROLLED_BACK)],
)
def test_elsewhere_it_does_not_matter_which_one_it_is(
    ahead: int, verdict: Verdict, token_id: str
) -> None:
    row = replace(ROW, parent="parent", rotated_at=NOW, confirmed=4)
    assert judge(row, token(5 - ahead, token_id, minted=NOW), now=NOW, grace=GRACE) is verdict


@pytest.mark.parametrize(
    ("row_epoch", "user_epoch", "spared", "lives"),
    [
        pytest.param(0, 0, "", True, id="nothing happened"),
        pytest.param(0, 1, "", False, id="all sessions were ended"),
        pytest.param(0, 1, "s", True, id="all but this one"),
        pytest.param(0, 1, "other", False, id="all but another one"),
        pytest.param(1, 1, "other", True, id="opened since"),
        pytest.param(1, 2, "s", True, id="spared once more"),
        pytest.param(0, 2, "", False, id="spared once, and not again"),
        pytest.param(2, 1, "", True, id="the user's row is older than a token's"),
    ],
)
def test_who_outlives_an_epoch(row_epoch: int, user_epoch: int, spared: str, lives: bool) -> None:
    assert outlives(replace(ROW, epoch=row_epoch), epoch=user_epoch, spared=spared) is lives


def test_an_unnamed_session_is_never_the_spared_one() -> None:
    """`spared` is empty when nobody is: no session's id may be empty for that."""
    assert not outlives(replace(ROW, epoch=0), epoch=1, spared="")


def test_a_session_ends_at_the_nearer_of_its_ends() -> None:
    assert ROW.ends_at == ROW.idle_expires_at
    assert replace(ROW, expires_at=NOW + 1).ends_at == NOW + 1
    assert not is_over(ROW, now=ROW.ends_at - 0.001)
    assert is_over(ROW, now=ROW.ends_at)
