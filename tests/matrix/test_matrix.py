"""Where a router reached a protected handler, the guard had authenticated: on every server, with
every framework, whatever the request looks like (SECURITY P-21)."""

from __future__ import annotations

import re

import pytest

from tests.matrix.cells import CELLS, FRAMEWORKS, NOT_POSSIBLE, SPEAK_HTTP2, Outcome, run_in_vain
from tests.matrix.table import PAGE
from tests.matrix.targets import HTTP2_KNOCKS, KNOCKS, LURED_KNOCKS, SOCKET_KNOCKS
from tests.servers.launching import SERVERS

pytestmark = pytest.mark.servers

POSSIBLE = [cell for cell in CELLS if cell not in NOT_POSSIBLE]


@pytest.mark.parametrize("cell", POSSIBLE, ids="-".join)
def test_no_stranger_reaches_a_protected_handler(outcome: Outcome) -> None:
    """SECURITY P-02, P-03, P-04, P-05, P-06, P-07, P-08, P-09, P-10, P-11, P-13, P-14, P-16, P-17,
    P-21, X-01, X-05.

    Nothing crashes; and whoever is signed in does reach the handlers, by many of these requests.
    """
    assert outcome.reached_by_strangers == []
    assert [knock.told for knock in outcome.lured.reached] == []
    assert outcome.crashed == []
    assert outcome.closed_to_members == []
    assert len(outcome.members.reached) > 60
    assert outcome.strangers.by_server < len(KNOCKS) / 3
    assert outcome.strangers.by_guard > len(KNOCKS) / 2
    if outcome.cell[0] in SPEAK_HTTP2:
        assert len(outcome.http2_of_members.reached) > 40
        assert outcome.http2.by_guard > len(HTTP2_KNOCKS) / 2


@pytest.mark.parametrize("cell", NOT_POSSIBLE, ids="-".join)
def test_what_is_not_possible_opens_nothing(cell: tuple[str, str]) -> None:
    strangers, log = run_in_vain(*cell)
    assert NOT_POSSIBLE[cell] in log
    assert strangers.reached == []
    assert strangers.by_guard == len(strangers.knocks)


def test_the_requests_are_many_and_differ() -> None:
    assert len(KNOCKS) == len({knock.sent() for knock in KNOCKS}) > 250
    assert len(SOCKET_KNOCKS) == len({knock.sent() for knock in SOCKET_KNOCKS}) > 60
    assert len(HTTP2_KNOCKS) == len({knock.sent() for knock in HTTP2_KNOCKS}) > 300
    assert len(LURED_KNOCKS) == len({knock.sent() for knock in LURED_KNOCKS}) > 60
    every = (*KNOCKS, *SOCKET_KNOCKS, *HTTP2_KNOCKS, *LURED_KNOCKS)
    assert len(every) == len({knock.told for knock in every})


def test_the_page_has_a_row_for_each_cell() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+?) \|(?: (\d+) \|)?", PAGE.read_text(), re.M)
    found = {(server, framework): rest for server, framework, *rest in rows if server in SERVERS}
    assert set(found) == {(server, framework) for server in SERVERS for framework in FRAMEWORKS}
    for cell, (reached, crashes) in found.items():
        assert (reached, crashes) == ("0", "0") or cell in NOT_POSSIBLE
