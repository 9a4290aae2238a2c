"""Where our time goes, by function: what is said of a row that missed its target.

    .venv/bin/python -m benchmarks.profiles [--only "first seen"]... [--json]

The share of a function is that of its own lines, without what it calls. cProfile makes each call
dearer than it is, so small functions look bigger: which one comes first is right, its share roughly
so. What belongs to the benchmark itself is left out; of an import each module is told, and of a
sign-in what the event loop does, for the password is hashed in another thread.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import itertools
import json
import pstats
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from authkit_asgi.accounts import USERS
from authkit_asgi.core.tokens import ACCESS, REFRESH
from authkit_asgi.kit import default_features
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store.sqlite import SqliteStore
from authkit_asgi.store.urls import store_from_url
from benchmarks import guard
from benchmarks.peers import ours
from benchmarks.startup import DEPENDENCIES, USED
from tests.house import LAPTOP, House
from tests.store.bulk import fill, session_id
from tests.world import PASSWORD, START, world

HERE = Path(__file__).resolve().parent
TOP = 8
BUILT_IN = "built in"
FLAT = 0.05  # where no function takes more, whole files are told
Work = Callable[[], Awaitable[object]]
Profiler = Callable[[], Coroutine[Any, Any, "list[Share]"]]


@dataclass(frozen=True, slots=True)
class Share:
    function: str
    file: str
    percent: float


async def profile_of(
    work: Work, times: int = 1, clock: Callable[[], float] | None = None
) -> list[Share]:
    if times > 1:
        for _ in range(50):  # what is made once is no part of it
            await work()
    profiler = cProfile.Profile(clock) if clock else cProfile.Profile()
    gc.disable()  # it would be charged to whatever it happens to interrupt
    profiler.enable()
    for _ in range(times):
        await work()
    profiler.disable()
    gc.enable()
    found: dict[Any, Any] = getattr(pstats.Stats(profiler), "stats")  # noqa: B009
    return _top(
        (own, name, _short(file))
        for (file, _, name), (_, _, own, _, _) in found.items()
        if Path(file).parent != HERE and "_lsprof.Profiler" not in name
    )


def _top(spent: Iterable[tuple[float, str, str]]) -> list[Share]:
    most = sorted(spent, reverse=True)
    whole = sum(own for own, _, _ in most)
    if most[0][0] < FLAT * whole:
        folded: defaultdict[tuple[str, str], float] = defaultdict(float)
        for own, name, file in most:
            folded[(name if file == BUILT_IN else "(all)", file)] += own
        most = sorted(((own, *place) for place, own in folded.items()), reverse=True)
    return [Share(name, file, 100 * own / whole) for own, name, file in most[:TOP]]


def _short(file: str) -> str:
    """A path of this project's, or one that says which library it belongs to."""
    path = Path(file)
    if file == "~":
        return BUILT_IN
    if "site-packages" not in path.parts and path.is_relative_to(HERE.parent):
        return str(path.relative_to(HERE.parent))
    return f"{path.parent.name}/{path.name}"


# --- what is profiled -----------------------------------------------------------------------------


async def guarded(kind: str) -> list[Share]:
    us = ours()
    source = guard.traffic(kind, us)
    warm = guard.FULL if kind in guard.MANY else guard.TURN
    await guard.turn(us.app, [await anext(source) for _ in range(warm)])
    asked = [await anext(source) for _ in range(5000)]
    return await profile_of(lambda: guard.turn(us.app, asked))


async def refresh() -> list[Share]:
    """With a store that costs nothing."""
    house = await House(store_from_url("memory:")).open()
    _, pair = await house.opened(await house.user())
    now, token = START, pair.refresh.encode()

    async def once() -> None:
        nonlocal now, token
        now += 1
        done = await house.sessions.refresh(token, visitor=LAPTOP, now=now)
        assert done.pair is not None
        token = done.pair.refresh.encode()

    return await profile_of(once, 3000)


async def tokens(verb: str) -> list[Share]:
    house = await House(store_from_url("memory:")).open()
    _, pair = await house.opened(await house.user())
    access, claims, raw = house.access(pair), house.refresh_claims(pair), pair.access.encode()

    async def mint() -> None:
        house.tokens.mint(ACCESS, access)
        house.tokens.mint(REFRESH, claims)

    async def check() -> None:
        assert house.tokens.read(ACCESS, raw, now=START + 1) is not None

    return await profile_of(mint if verb == "mint" else check, 5000)


async def rotation() -> list[Share]:
    """Of the thread that waits for the database: its own work, and the wait."""
    with tempfile.TemporaryDirectory(prefix="authkit-profile-") as name:
        path = Path(name, "rows.db")
        store = SqliteStore(path)
        await store.open([USERS, SESSIONS])
        await fill(str(path), users=500, sessions=1000)
        generations = itertools.count()

        async def once() -> None:
            generation = next(generations)
            expect = {"generation": generation, "closed_at": None}
            change = {"generation": generation + 1, "confirmed": generation}
            assert await store.swap(SESSIONS, session_id(7), expect=expect, change=change)

        try:
            return await profile_of(once, 1000)
        finally:
            await store.close()


async def sign_in() -> list[Share]:
    features = [one for one in default_features() if one.name != "limits"]
    async with world(features=features, bcrypt_rounds=4) as w:
        await w.person()
        app = w.kit.wrap(w.app)
        headers = [*guard.API, (b"content-type", b"application/json")]
        scope = {**guard.request(None, "/api/users/login", headers=headers), "method": "POST"}
        body = {"email": "ada@example.test", "password": PASSWORD, "rememberMe": False}
        message = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def receive() -> dict[str, Any]:
            return message

        async def send(told: Any) -> None:
            assert told.get("status", 200) == 200

        # The loop's own time: what it waits for is the hashing.
        return await profile_of(lambda: app(dict(scope), receive, send), 400, time.thread_time)


async def imports() -> list[Share]:
    program = (
        f"import sys, {DEPENDENCIES}\nsys.stderr.write('here\\n')\nimport authkit_asgi\n{USED}"
    )
    done = await anyio.run_process([sys.executable, "-X", "importtime", "-c", program])
    lines = done.stderr.decode().partition("here\n")[2].splitlines()
    parts = [line.removeprefix("import time:").split("|") for line in lines]
    return _top((float(own), module.strip(), "import") for own, _, module in parts)


KINDS: dict[str, Profiler] = {
    **{kind: partial(guarded, kind) for kind in guard.KINDS},
    "a whole refresh": refresh,
    "minting a pair": partial(tokens, "mint"),
    "checking an access token": partial(tokens, "check"),
    "a rotation": rotation,
    "a sign-in": sign_in,
    "an import": imports,
}


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--only", choices=KINDS, action="append", metavar="KIND")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {kind: asyncio.run(KINDS[kind]()) for kind in options.only or KINDS}
    if options.json:
        print(json.dumps({kind: [asdict(one) for one in told] for kind, told in found.items()}))
        return
    for kind, told in found.items():
        print(f"{kind}:")
        for one in told:
            print(f"  {one.percent:5.1f} %  {one.function:44} {one.file}")


if __name__ == "__main__":
    main()
