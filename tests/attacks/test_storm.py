"""Five hundred people sign in at once."""

from __future__ import annotations

import os
import threading
from collections import Counter

import anyio
import pytest

from authkit_asgi.hashing import WAITING_PER_THREAD
from authkit_asgi.kit import default_features
from tests.world import world

CORES = os.cpu_count() or 1
PLACES = CORES * (1 + WAITING_PER_THREAD)
STORM = max(500, 2 * PLACES)


@pytest.fixture
def anyio_backend() -> str:
    """Once: who hashes in which thread is the same on trio."""
    return "asyncio"


async def test_a_storm_of_sign_ins_is_bounded_and_others_are_served_meanwhile() -> None:
    """SECURITY D-01, W-10: no more threads than cores hash, the line is bounded, whoever finds it
    full is refused at once with a time to come back, and guarded requests go on."""
    features = [one for one in default_features() if one.name != "limits"]
    answers: list[tuple[int, str | None]] = []
    served_meanwhile = 0
    most_threads = 0
    async with world(features=features, bcrypt_rounds=9) as w:
        await w.person()
        async with w.browser() as member, w.browser() as crowd:
            assert (await member.sign_in()).status_code == 200

            async def knock(number: int) -> None:
                answer = await crowd.sign_in(f"nobody{number}@example.test")
                answers.append((answer.status_code, answer.headers.get("retry-after")))

            async with anyio.create_task_group() as tasks:
                for number in range(STORM):
                    tasks.start_soon(knock, number)
                while len(answers) < STORM:
                    names = [thread.name for thread in threading.enumerate()]
                    hashing = sum(name.startswith("authkit-hash") for name in names)
                    most_threads = max(most_threads, hashing)
                    assert (await member.get("/members")).status_code == 200
                    await anyio.sleep(0.001)  # the request itself waits for nothing
                    # Without a place, 17 hashes of each core are still under way.
                    if len(answers) >= STORM - PLACES:
                        served_meanwhile += 1
    counted = Counter(answers)
    assert set(counted) == {(401, None), (503, "2")}
    # A place that is free again may be taken while the crowd is still coming.
    assert counted[401, None] >= PLACES
    assert counted[503, "2"] >= STORM // 4
    assert 1 <= most_threads <= CORES
    # In the loop it would be one between two hashes at most.
    assert served_meanwhile > PLACES
