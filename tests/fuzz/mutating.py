"""Hostile input by the thousand: good input, spoilt at random (SECURITY B-09).

Bytes are mutated by hand and not by Hypothesis, which takes a hundred times longer for each. A run
is the same each time: `AUTHKIT_FUZZ_SEED` makes it another one, and `AUTHKIT_FUZZ_EXAMPLES` a
longer one (`make fuzz`: a million of each). What once failed is kept beside its test, in FOUND, and
is both tried as it is and mutated further.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = int(os.environ.get("AUTHKIT_FUZZ_EXAMPLES", "10000"))
SEED = os.environ.get("AUTHKIT_FUZZ_SEED", "authkit")
MOST_GROWTH = 10 * 2**20  # bytes

STRANGE = (
    *(bytes([code]) for code in (0, 9, 10, 11, 13, 32, 0x7F, 0x85, 0xA0, 0xFF)),
    b"\xe2\x80\x80",  # U+2000
    b"\xef\xbf\xbd",  # U+FFFD
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"%00",
    b"%0a",
    b"%2e%2e",
    b"%2f",
    b"%5c",
    b"..",
    b"//",
    b"\\",
    b"=",
    b";",
    b",",
    b'"',
    b"$",
    b"@",
    b"#",
    b"?",
)


def mutations(
    kind: str, corpus: Sequence[bytes], words: Sequence[bytes], examples: int = EXAMPLES
) -> Iterator[bytes]:
    """The corpus as it is, then mutations of it; `words` are what this kind of input is made of."""
    yield from corpus
    dice = random.Random(f"{SEED}/{kind}")
    pieces = (*words, *words, *STRANGE)
    for _ in range(examples):
        spoilt = bytearray(dice.choice(corpus))
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            _mutate(spoilt, dice, pieces, corpus)
        yield bytes(spoilt[:20_000])


def _mutate(
    spoilt: bytearray, dice: random.Random, pieces: Sequence[bytes], corpus: Sequence[bytes]
) -> None:
    size = len(spoilt)
    at = dice.randrange(size + 1)
    to = min(size, at + dice.choice((1, 1, 2, 4, 16, 200)))
    match dice.randrange(9):
        case 0 if at < size:  # one bit
            spoilt[at] ^= 1 << dice.randrange(8)
        case 1 if at < size:  # any byte
            spoilt[at] = dice.randrange(256)
        case 2:
            del spoilt[at:to]
        case 3:  # twice
            spoilt[to:to] = spoilt[at:to]
        case 4:  # another letter case
            spoilt[at:to] = spoilt[at:to].swapcase()
        case 5:  # the end of another one
            other = dice.choice(corpus)
            spoilt[at:] = other[dice.randrange(len(other) + 1) :]
        case 6:
            spoilt[at:to] = dice.choice(pieces)
        case _:
            spoilt[at:at] = dice.choice(pieces)


@contextmanager
def without_growth() -> Iterator[None]:
    """Fails when the process is more than 10 MB larger at the end (SECURITY D-04). What is loaded
    and remembered once should be there before."""
    before = _resident()
    yield
    grown = _resident() - before
    assert grown < MOST_GROWTH, f"the process grew by {grown / 2**20:.1f} MB"


def _resident() -> int:
    """Bytes of this process in memory; where the system does not tell, nothing is measured."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
