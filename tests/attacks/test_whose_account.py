"""Whose account a request is about is said by its token, and by nothing else in it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from authkit_asgi.accounts import USERS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store.memory import MemoryStore
from tests.world import PASSWORD, world

NAMES = ("userId", "user_id", "id", "sub", "subject", "uid", "user", "account", "owner", "sid")
# What some route or other needs, all at once: whatever is not its own it must not care for.
GOOD = {
    "currentPassword": PASSWORD,
    "newPassword": PASSWORD + " battery",
    "newEmail": "countess@example.test",
    "bio": "Notes and numbers",
    "rememberMe": False,
}
# The last ones end the session that the others need.
LATER = ("/change-password", "/logout", "/delete-account")


async def test_an_id_in_body_or_query_chooses_nobody() -> None:
    """SECURITY I-06: every route of the API, asked by Ada with Bob's ids in every place."""
    store = MemoryStore()
    async with world(store=store) as town, town.browser() as ada, town.browser() as bob:
        await town.person("ada")
        await town.person("bob")
        await bob.sign_in("bob@example.test")
        signed_in = (await bob.api("GET", "/session")).json()["data"]["user"]
        bobs = await store.get(USERS, signed_in["id"])
        sessions = await store.find(SESSIONS, where={"user_id": signed_in["id"]})
        assert bobs is not None
        assert sessions
        planted = {**dict.fromkeys(NAMES, bobs.id), "email": bobs.email, "username": bobs.username}
        document = (await ada.api("GET", "/openapi.json")).json()
        routes = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        routes.sort(key=lambda route: LATER.index(route[1]) + 1 if route[1] in LATER else 0)
        await ada.sign_in()
        done: dict[str, int] = {}
        for method, path, operation in routes:
            if "{id}" in path:  # this one names a session: G-04 has a test of its own
                path = path.replace("{id}", sessions[0].id)
            asked: dict[str, Any] = {**GOOD, **planted, "password": PASSWORD, "token": "x"}
            if path in ("/profile", "/login"):  # an own name and address, to get through
                asked |= {"username": "countess", "email": "ada@example.test"}
            body = asked if "requestBody" in operation else None
            target = f"{path}?{urlencode(planted)}&all=true"
            answer = await ada.api(method, target, body)
            assert answer.status_code < 500, (path, answer.text)
            assert bobs.id not in answer.text, path
            done[f"{method} {path}"] = answer.status_code
            if path in ("/sessions", "/logout", "/change-password"):
                new = str(GOOD["newPassword"])
                await ada.sign_in(password=new if path == "/change-password" else PASSWORD)
        # They were not just all refused.
        for route in ("GET /profile", "PATCH /profile", "POST /login", "GET /sessions"):
            assert done[route] == 200, done
        assert await store.get(USERS, bobs.id) == bobs
        assert await store.find(SESSIONS, where={"user_id": bobs.id}) == sessions
        assert (await bob.api("GET", "/profile")).status_code == 200
