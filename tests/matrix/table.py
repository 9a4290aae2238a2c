"""The matrix as a table: for the end of a test run, and for `docs/matrix.md`.

python -m tests.matrix.table      runs all cells and writes the page
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from tests.matrix.cells import (
    CELLS,
    NOT_POSSIBLE,
    SOCKETS_NOT_POSSIBLE,
    SPEAK_HTTP2,
    Outcome,
    run,
)
from tests.matrix.targets import HTTP2_KNOCKS, KNOCKS, LURED_KNOCKS, SOCKET_KNOCKS

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
AT_ONCE = 2  # cells
PARTS = (
    *("uvicorn", "h11", "httptools", "hypercorn", "granian", "daphne"),
    *("starlette", "fastapi", "litestar", "quart", "django"),
)
Outcomes = Mapping[tuple[str, str], Outcome]

HEAD = [
    "server",
    "framework",
    "reached by strangers",
    "crashes",
    "refused by the guard",
    "by the server",
    "reached when signed in",
    "sockets reached by strangers",
    "when signed in",
    "HTTP/2 reached by strangers",
    "when signed in",
    "reached when lured",
]


def rows(outcomes: Outcomes) -> Iterator[list[str]]:
    for cell in CELLS:
        if cell in NOT_POSSIBLE:
            yield [*cell, "not possible: it needs asyncio", *[""] * (len(HEAD) - 3)]
        elif cell in outcomes:
            yield [*cell, *map(str, figures(outcomes[cell]))]


def figures(one: Outcome) -> Sequence[object]:
    strangers = (one.strangers, one.with_junk)
    speaks_http2 = one.cell[0] in SPEAK_HTTP2
    has_sockets = one.cell not in SOCKETS_NOT_POSSIBLE
    return (
        len(one.reached_by_strangers) - len(one.sockets.reached) - len(one.http2.reached),
        len(one.crashed),
        sum(counted.by_guard for counted in strangers),
        sum(counted.by_server for counted in strangers),
        len(one.members.reached),
        len(one.sockets.reached),
        len(one.sockets_of_members.reached) if has_sockets else "none there",
        *(
            (len(one.http2.reached), len(one.http2_of_members.reached))
            if speaks_http2
            else ("", "")
        ),
        len(one.lured.reached),
    )


def plain(outcomes: Outcomes) -> Iterator[str]:
    widths = [max(len(head), 18 - 8 * (place > 1)) for place, head in enumerate(HEAD)]
    for line in (HEAD, *rows(outcomes)):
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()


def page(outcomes: Outcomes) -> str:
    return "\n".join((INTRODUCTION, *_markdown([HEAD, *rows(outcomes)]), "", _versions(), ""))


def _markdown(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"| {' | '.join(line)} |"
        if number == 0:
            yield "|---" * len(line) + "|"


def _versions() -> str:
    told = ", ".join(f"{part} {version(part)}" for part in PARTS)
    return f"Python {sys.version.split()[0]}, {told}."


INTRODUCTION = f"""# Servers and frameworks

The guard decides by the path in the ASGI scope, before any router sees it. Whether that holds is
tried on every pair of a server and a framework: a real process, and {len(KNOCKS)} requests to the
byte from raw sockets, each without a cookie, with junk for cookies, and signed in; and
{len(SOCKET_KNOCKS)} WebSocket handshakes; and {len(HTTP2_KNOCKS)} of both in HTTP/2, where the
server speaks it without TLS. Encoded letters and separators, empty and dot segments, `;parameters`,
backslashes, control characters, absolute and authority forms, mounts and root paths, every sort of
method, header and HTTP version, several requests at once, requests in bodies, pseudo-headers that
are missing, doubled, late or made up.

Each site has public and protected routes, some behind mounts, catch-alls, patterns and static
files. A protected handler says that it was reached, to the client and in the server's log. The
rule: where the router reached it, somebody was signed in.

- *reached by strangers* is 0 in each row, for requests, for sockets and in HTTP/2. What
  *reached when signed in* counts shows that these requests do lead to protected handlers, if they
  may.
- *reached when lured* is 0, too, of {len(LURED_KNOCKS)} requests and handshakes that a page of
  another site makes somebody's browser send who is signed in.
- *crashes*: answers of 500 and above, and tracebacks that end in code of authkit-asgi.
- *refused by the guard*: 400, 401 or sent to sign in, of {2 * len(KNOCKS)} requests of strangers.
  The others are for public paths.
- *by the server*: refused by the server before any app saw them, or left without an answer.
- *bare* is no framework: a router that decodes thrice, folds dots, slashes, backslashes, parameters
  and case, and so reads more paths as protected than any other.

Django has no WebSockets, and Quart's do not open under Daphne, guarded or not: Daphne tells of no
scheme, which Quart asks for.

Hypercorn 0.18 with its trio worker *ends, with every connection*, whatever app it serves, when a
request in HTTP/2 has a path or method that is not ASCII, or is a CONNECT without a path, and now
and then when a client writes on behind a request in HTTP/1.0. These few are not sent to it. Do not
let strangers speak to it without a proxy, or use its asyncio worker.

`make matrix` runs all of it and writes this page; the tests run it, too.
"""


def all_outcomes() -> Outcomes:
    cells = [cell for cell in CELLS if cell not in NOT_POSSIBLE]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(cells, pool.map(lambda cell: run(*cell), cells), strict=True))


def main() -> None:
    outcomes = all_outcomes()
    PAGE.write_text(page(outcomes))
    print("\n".join(plain(outcomes)))
    bad = [one.cell for one in outcomes.values() if not one.holds]
    sys.exit(f"not as it should be: {bad}" if bad else 0)


if __name__ == "__main__":
    main()
