"""The simulation of `benchmarks/rotation.py`, in small."""

from __future__ import annotations

from benchmarks.rotation import HABITS, measured, promises


def test_ours_signs_nobody_out_and_catches_every_thief() -> None:
    """S-03, S-04; and the ways that are compared with ours fail where they are known to."""
    ways = measured(cycles=2_000, thefts=25, seed=7)
    assert {row.met for row in promises(ways, 2_000, 25) if row.target} == {True}
    false = {name: way["false_sign_outs"] for name, way in ways.items()}
    assert false["strict single use"] > false["re-rotating grace"] > false["grace alone"] > 0
    assert false["ours without parent"] == false["ours"] == 0
    missed = {name for name in HABITS if ways["ours without parent"]["thefts"][name]["caught"] < 1}
    assert missed == {"patient", "unseen", "punctual"}
