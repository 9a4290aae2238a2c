"""Parts that are mounted where no guard or rule knows of them, and parts that are closed early."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from authkit_asgi import AuthMiddleware, PathRules
from authkit_asgi.core.passwords import Passwords
from authkit_asgi.errors import Busy
from authkit_asgi.features import Plug, Services
from authkit_asgi.hashing import Hashing
from authkit_asgi.web.routes import Call, Page, Reply, Route
from tests.world import Browser, World, world


class Notes:
    """A feature whose handlers leave it to the guard who may come in."""

    name = "notes"
    needs = ()

    def plug(self, services: Services) -> Plug:
        async def notes(call: Call[None]) -> Reply:
            return Reply(message="private", data={"notes": ["private"]})

        route = Route(method="GET", path="/notes", handler=notes, summary="Notes")
        return Plug(
            routes=[route], pages=[Page(path="/notes", template="logout.html", title="Notes")]
        )


def unguarded(w: World) -> Any:
    return Starlette(routes=[Mount("/api/users", w.kit.api), Mount("/user", w.kit.pages)])


def elsewhere(w: World) -> Any:
    site = Starlette(routes=[Mount("/v1/people", w.kit.api), Mount("/v1/pages", w.kit.pages)])
    return AuthMiddleware(site, kit=w.kit, rules=PathRules(public=["/v1/*"]))


@pytest.mark.parametrize(
    ("mounted", "paths"),
    [
        pytest.param(unguarded, ("/api/users/notes", "/user/notes"), id="without a guard"),
        pytest.param(elsewhere, ("/v1/people/notes", "/v1/pages/notes"), id="at another path"),
    ],
)
async def test_a_protected_route_is_closed_wherever_it_is_mounted(
    mounted: Any, paths: tuple[str, ...]
) -> None:
    """SECURITY P-22: a mistake in the rules is not the only barrier."""
    async with world(more=[Notes()]) as w, Browser(mounted(w)) as stranger:
        for path in paths:
            answer = await stranger.get(path)
            assert answer.status_code == 401
            assert "private" not in answer.text


class Held(Passwords):
    """Verifies nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__(rounds=4, min_length=8)
        self.go = threading.Event()

    def verify(self, password: str, stored: str | None) -> bool:
        self.go.wait()
        return super().verify(password, stored)


async def test_who_waits_for_a_hash_when_the_kit_closes_is_told_to_come_again() -> None:
    """SECURITY W-10: not a fault of ours, and nobody's cookies are touched."""
    passwords = Held()
    outcomes: list[object] = []
    hashing = Hashing(passwords, threads=1)

    async def verify() -> None:
        try:
            outcomes.append(await hashing.verify("a good phrase", None))
        except Busy as refusal:
            outcomes.append(refusal.status)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(verify)
        await anyio.wait_all_tasks_blocked()
        hashing.close()
        passwords.go.set()
    assert outcomes.count(503) >= 4
    assert await hashing.verify("a good phrase", None) is False  # it begins anew
    hashing.close()


async def test_the_largest_profile_fits_into_a_cookie() -> None:
    """SECURITY C-05: escaped, emoji took so much room that sign-in and refresh failed with 500."""
    email = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.test"
    claims = ("username", "email", "firstname", "lastname", "bio", "isVerified", "isAdmin")
    async with world(token_claims=claims) as w:
        await w.person("ada", email=email, username="a" * 30)
        async with w.browser() as browser:
            await browser.sign_in(email)
            body = {"firstname": "😀" * 30, "lastname": "😀" * 30, "bio": "😀" * 160}
            assert (await browser.api("PATCH", "/profile", body)).status_code == 200
            w.clock.pass_(hours=2)
            assert (await browser.get("/members")).status_code == 200
            assert (await browser.sign_in(email)).status_code == 200
