"""The benchmarks run, in small: what they print is what `make bench` reads. No time is judged."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import __main__ as all_of_them
from benchmarks import guard, peers, profiles, refresh, servers, storm
from benchmarks.rows import Row, as_json


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_refresh_is_measured_on_a_store() -> None:
    rows = {row.what: row for row in refresh.of_each_store(["memory", "sqlite"], 2)}
    for store in ("memory", "sqlite"):
        told = f"{store}: writes, 100 requests at once with one expired token"
        assert rows[told] == Row(told, "1", "exactly 1", met=True)
        assert rows[f"{store}: a whole refresh, to its statements"].met is not None


async def test_tokens_are_measured_beside_pyjwt() -> None:
    rows = await refresh.beside_pyjwt(2)
    assert [row.target for row in rows] == ["at most 0.167 ×", "at most 0.125 ×"]


async def test_a_storm_is_measured_with_each_way_to_hash() -> None:
    found, best = await storm.measured(seconds=0.2, repeats=2, rounds=4, others=1)
    assert len(best) == 2
    assert [len(told.storm) for told in found.values()] == [2, 1, 1]
    rows = storm.judged(found, best)
    assert [row.met is None for row in rows] == [True] * 4 + [False] * 2


def test_figures_of_servers_become_rows() -> None:
    turns = {
        "no_op": [servers.Turn(1000.0, 2.0, 4000.0, 0.5)],
        "marked": [servers.Turn(980.0, 2.0, 3800.0, 0.5)],
        "ours": [servers.Turn(990.0, 2.0, 3600.0, 0.5)],
        "authentication_middleware": [servers.Turn(300.0, 9.0, 1000.0, 0.2)],
        "fastapi_users": [servers.Turn(60.0, 70.0, None, 0.1)],
    }
    rows = {row.what: row for row in servers.judged("uvicorn", turns)}
    assert rows["uvicorn: authkit-asgi"].figure == "990/s, p99 2.0 ms; wrk 0.50 cores"
    assert rows["uvicorn: requests/s, to no-op wrapper"].met is True
    assert rows["uvicorn: requests/s, to fastapi-users"].figure == "16.5 × (16.5–16.5)"
    ceiling = rows["uvicorn: requests/s of the no-op wrapper, to fastapi-users"]
    assert (ceiling.figure, ceiling.met) == ("16.7 × (16.7–16.7)", None)
    least = rows["uvicorn: requests/s of the wrapper that marks answers, to no-op wrapper"]
    assert (least.figure, least.met) == ("0.98 × (0.98–0.98)", None)
    assert rows["uvicorn: requests by processor time, to no-op wrapper"].met is False
    assert "uvicorn: requests by processor time, to fastapi-users" not in rows
    unjudged = servers.judged("hypercorn", turns)
    assert all(row.met is None for row in unjudged)


def test_what_was_found_becomes_a_page_and_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_of_them, "IMAGES", tmp_path)
    rows = [
        Row("ours: p99 of a guarded request, quiet and in the storm; sign-ins", "0.7, 0.9 ms; 8/s"),
        Row("in the loop: p99, quiet and in the storm", "0.7, 900 ms; 4/s"),
        Row("minting a pair, to PyJWT's", "0.25 ×", "at most 0.167 ×", met=False),
    ]
    found = {"storm": {"title": "A storm", "rows": rows}}
    svg = all_of_them.charts(found)["storm"]
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "logarithmic" in svg
    (tmp_path / "bench-storm.svg").write_text(svg)
    share = {"function": "encode", "file": "json/encoder.py", "percent": 51.2}
    page = all_of_them.page(found, {"Processor": "one"}, {"minting a pair": [share]})
    assert "**0 of 1 targets are met.**" in page
    assert "`.venv/bin/python -m benchmarks.storm --short`" in page
    assert "A guarded request is due every millisecond" in page
    assert "images/bench-storm.svg" in page
    assert "| minting a pair, to PyJWT's | 0.25 × | at most 0.167 × | **MISSED** |" in page
    assert (
        "to PyJWT's*. Where the time goes: [minting a pair](#where-the-time-goes-minting-a-pair)."
        in page
    )
    assert "### Where the time goes: minting a pair\n" in page
    assert "| `encode` | json/encoder.py | 51 % |" in page


def test_contenders_stand_side_by_side() -> None:
    both = {"ratio": [2.5, 3.0, 3.5], "microseconds": 1.2}
    details = [
        {"traffic": "seen", "contender": "authkit-asgi", **both},
        {"traffic": "junk", "contender": "no-op wrapper", **both},
        {"traffic": "junk", "contender": "authkit-asgi", **both},
    ]
    found = {"guard": {"title": "A guard", "rows": [], "details": details}}
    page = all_of_them.page(found, {}, {})
    assert "| authkit-asgi | 3 (2.5–3.5) | 1.2 |" in page
    assert "| times the no-op wrapper | authkit-asgi |\n|---|---|\n| junk | 3 |" in page


def test_all_requests_are_equally_long() -> None:
    us, direct = peers.ours(), peers.direct_check()
    peer = peers.starlette_authentication()
    for rival in (us, direct, peer):
        assert len(guard.cookie_with(rival, rival.token(7), 7)) == guard.COOKIE_BYTES
    both = guard.cookie_with(us, us.token(7) + us.beside, 7, guard.BOTH_BYTES)
    assert len(both) == guard.BOTH_BYTES
    assert len(guard.BROWSER) == 13


async def test_contenders_are_measured_at_each_traffic() -> None:
    rivals = [
        peers.Contender("bare app", peers.bare),
        peers.Contender("no-op wrapper", peers.NoOp(peers.bare)),
        peers.ours(),
        peers.starlette_authentication(),
        peers.naive_port(),
        peers.direct_check(),
    ]
    await guard.check(rivals)
    found = {kind: await guard.measure(kind, rivals, 2) for kind in ("seen", "expired", "none")}
    rows = guard.promised(found, rivals)
    assert "overhead of BaseHTTPMiddleware + PyJWT, to ours" in {row.what for row in rows}
    assert len(guard.details(found, rivals)) == 3 * len(rivals)


async def test_a_contender_that_lets_anybody_in_is_not_measured() -> None:
    careless = peers.Contender("careless", peers.bare, "bare app", peers.pyjwt_token)
    with pytest.raises(RuntimeError, match="careless does not know"):
        await guard.check([careless])


@pytest.mark.parametrize("kind", guard.COUNTED)
async def test_calls_of_the_store_are_counted(kind: str) -> None:
    assert await guard.asked_of_the_store(kind, 50) == 0
    assert await guard.asked_of_the_store("expired", 5) > 5


def test_every_kind_of_work_of_a_missed_row_can_be_profiled() -> None:
    assert set(all_of_them.PROFILED.values()) <= set(profiles.KINDS)
    assert all_of_them.looked_up(all_of_them.PROFILED, "uvicorn: requests/s, to us") == "seen"


@pytest.mark.parametrize("kind", ["seen", "a whole refresh", "minting a pair", "a rotation"])
async def test_a_profile_says_which_function_takes_how_much(kind: str) -> None:
    told = await profiles.KINDS[kind]()
    assert 0 < sum(one.percent for one in told) <= 100.1
    assert not any(one.file.startswith("benchmarks/") for one in told)


def test_a_program_that_fails_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    told = all_of_them.run("there_is_no_such_program", short=True)
    [row] = told["rows"]
    assert row.met is None
    assert "No module named" in row.figure
    assert as_json(told["title"], told["rows"])
    monkeypatch.setattr(all_of_them, "PATIENCE", 0.01)
    assert "not done within" in all_of_them.run("rotation", short=True)["rows"][0].figure


def test_all_programs_are_called() -> None:
    root = all_of_them.ROOT / "benchmarks"
    helpers = {"__main__", "environment", "peers", "profiles", "rows", "served"}
    assert {one.stem for one in root.glob("*.py")} - helpers == set(all_of_them.PROGRAMS)
