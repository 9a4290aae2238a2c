"""An expired access token is exchanged inside the request, and nobody notices (DESIGN 6 and 7)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from authkit_asgi import AuthKit, PathRules
from authkit_asgi.core.paths import Access
from authkit_asgi.core.tokens import ACCESS, REFRESH, Kind
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import DAY
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import Message, Receive, Scope, Send
from tests.middleware.knocking import (
    App,
    BrittleStore,
    Tokens,
    ask,
    claims_in,
    cookie_header,
    owner_of,
    scope_of,
    session_of,
    visitor,
)
from tests.world import CountingStore, World, settings, world

HOUR = 3600
RULES = PathRules(public=["/", "/open/*"], exclude=["/raw/*"])


def guarded(world: World, app: App | None = None) -> tuple[AuthMiddleware, App]:
    app = app or App()
    return AuthMiddleware(app, kit=world.kit, rules=RULES), app


async def expired(world: World) -> Tokens:
    """The tokens of somebody who signed in more than an access token's life ago."""
    tokens = await visitor(world)
    world.clock.pass_(hours=1.1)
    return tokens


def generation(here: World, token: str, kind: Kind = ACCESS) -> int:
    return claims_in(here, token, kind).generation


async def test_this_very_request_sees_the_new_identity_and_the_new_cookies() -> None:
    """SECURITY I-05."""
    async with world() as here:
        guard, app = guarded(here)
        old = await expired(here)
        user = await owner_of(here, old)
        await here.kit.services.accounts.change(user, {"username": "lovelace"})
        answer = await ask(guard, "/members", {"theme": "dark", **old, "lang": "en"})
    assert answer.status == 200
    assert app.who.is_authenticated
    assert app.who.display_name == "lovelace"
    assert app.who.generation == 1
    assert answer.cookies.keys() == {"token", "refreshToken"}
    seen = b"; ".join(app.cookie_headers).decode().split("; ")
    assert sorted(seen) == sorted(
        ["theme=dark", "lang=en", *(f"{name}={token}" for name, token in answer.cookies.items())]
    )


async def test_both_cookies_come_with_the_flags_that_sign_in_gave_them() -> None:
    """SECURITY C-01, C-04: over https with the prefix, Secure, and never longer than the token."""
    async with world(base_url="https://app.example.test", bcrypt_rounds=10) as here:
        guard, _ = guarded(here)
        old = await expired(here)
        answer = await ask(guard, "/", {f"__Host-{name}": token for name, token in old.items()})
    flags = "; Path=/; HttpOnly; SameSite=Lax; Secure"
    access, refresh = answer.all("set-cookie")
    assert access.startswith("__Host-token=")
    assert access.endswith(f"; Max-Age=3600{flags}")
    assert refresh.startswith("__Host-refreshToken=")
    assert refresh.endswith(f"; Max-Age={7 * 24 * HOUR}{flags}")


async def test_a_cookie_without_its_prefix_is_nobodys() -> None:
    """SECURITY C-08: what a sister domain may plant is not what we look for."""
    async with world(base_url="https://app.example.test", bcrypt_rounds=10) as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        assert (await ask(guard, "/members", tokens)).status == 401
        await ask(guard, "/", tokens)
    assert not app.who.is_authenticated


@pytest.mark.parametrize(
    "path",
    [pytest.param("/members", id="protected"), pytest.param("/open/page", id="public")],
)
async def test_a_refresh_costs_at_most_four_calls_of_the_store(path: str) -> None:
    store = CountingStore(MemoryStore())
    async with world(store=store) as here:
        guard, app = guarded(here)
        old = await expired(here)
        store.calls.clear()
        await ask(guard, path, old)
        assert app.who.is_authenticated
        assert len(store.calls) <= 4, store.calls


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("GET", "/raw/feed", {}, id="excluded path"),
        pytest.param("OPTIONS", "/members", {}, id="OPTIONS"),
        pytest.param("GET", "/members", {"sec-purpose": "prefetch"}, id="prefetch"),
        pytest.param("GET", "/members", {"sec-purpose": "prefetch;prerender"}, id="prerender"),
        pytest.param("GET", "/members", {"purpose": "prefetch"}, id="an older prefetch"),
    ],
)
async def test_nothing_is_exchanged_where_no_cookie_would_arrive(
    method: str, path: str, headers: dict[str, str]
) -> None:
    """SECURITY S-23: the same refresh token rotates afterwards as if nothing had been."""
    async with world() as here:
        guard, app = guarded(here)
        old = await expired(here)
        answer = await ask(guard, path, old, method=method, headers=headers)
        assert answer.cookies == {}
        assert here.ear.names() == []
        if method == "GET" and path == "/members":
            assert app.who.is_authenticated  # a prefetch is answered all the same
        assert generation(here, (await ask(guard, "/members", old)).cookies["token"]) == 1


async def test_an_excluded_path_is_not_looked_at() -> None:
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        await ask(guard, "/raw/feed", tokens)
        assert "user" not in app.scope
        assert app.cookie_headers == [cookie_header(tokens)]


class TestTheAppWins:
    """SECURITY C-10: never two Set-Cookie of a name, and what the app says about them holds."""

    async def answer_to(self, here: World, *set_cookies: bytes) -> dict[str, str]:
        guard, _ = guarded(here, App(headers=[(b"Set-Cookie", value) for value in set_cookies]))
        answer = await ask(guard, "/members", await expired(here))
        assert answer.header("cache-control") == "private, no-store"
        return answer.cookies

    @pytest.mark.parametrize(
        "set_cookies",
        [
            pytest.param((b'token=""; Max-Age=0; Path=/',), id="deletes one"),
            pytest.param((b"refreshToken=; Path=/",), id="empties one"),
            pytest.param((b" token = x; max-age = 0",), id="deletes with odd spaces"),
            pytest.param((b"a=1", b"token=; Path=/", b"refreshToken=; Path=/"), id="deletes both"),
        ],
    )
    async def test_who_signs_out_gets_no_new_tokens(self, set_cookies: tuple[bytes, ...]) -> None:
        async with world() as here:
            given = await self.answer_to(here, *set_cookies)
        assert not any("eyJ" in value for value in given.values())

    async def test_who_signs_somebody_in_has_the_say(self) -> None:
        async with world() as here:
            given = await self.answer_to(here, b"token=x; Path=/", b"refreshToken=y; Path=/")
        assert given == {"token": "x", "refreshToken": "y"}

    async def test_other_cookies_of_the_app_stay_beside_ours(self) -> None:
        async with world() as here:
            given = await self.answer_to(here, b"mytoken=x", b"theme=token=; Path=/")
        assert given.keys() == {"mytoken", "theme", "token", "refreshToken"}

    async def test_new_claims_cost_nobody_the_refresh_token(self) -> None:
        """The profile route sets the access cookie alone, in the request that refreshed. Without
        the refresh cookie beside it, the old one comes back an hour later and looks stolen."""
        async with world() as here, here.browser() as browser:
            await here.person()
            await browser.sign_in()
            here.clock.pass_(hours=1.1)
            changed = await browser.api("PATCH", "/profile", {"bio": "Enchantress of Numbers"})
            assert changed.status_code == 200
            for _ in range(3):
                here.clock.pass_(minutes=5)
                assert (await browser.get("/members")).status_code == 200
                here.clock.pass_(hours=1.1)
                assert (await browser.get("/members")).status_code == 200
            assert "SessionReused" not in here.ear.names()


async def test_what_the_app_raises_passes_unchanged() -> None:
    class OwnError(Exception):
        pass

    async def fail(scope: Scope) -> None:
        raise OwnError

    async with world() as here:
        guard, _ = guarded(here, App(then=fail))
        with pytest.raises(OwnError):
            await ask(guard, "/members", await expired(here))


async def test_an_answer_is_streamed_chunk_by_chunk() -> None:
    """Each chunk is out before the app makes the next one, with nothing but the start changed."""
    log: list[str] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 206, "headers": [(b"x-a", b"1")]})
        for number in range(3):
            log.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 206
            assert (b"x-a", b"1") in message["headers"]
        elif message["body"]:
            assert message.keys() == {"type", "body", "more_body"}
            log.append(f"sent {message['body'].decode()}")

    async def receive() -> Message:
        raise AssertionError("the guard reads no body")

    async with world() as here:
        guard = AuthMiddleware(stream, kit=here.kit, rules=RULES)
        scope = scope_of("http", "/members", {}, await expired(here), method="GET")
        await guard(scope, receive, send)
    assert log == ["made 0", "sent 0", "made 1", "sent 1", "made 2", "sent 2"]
    assert "user" not in scope  # the server's own scope is left as it was


async def test_of_fifty_requests_with_one_expired_token_one_is_the_rotation() -> None:
    """SECURITY S-02: all are signed in, and all answers carry the same generation."""
    store = CountingStore(MemoryStore())
    async with world(store=store) as here:
        guard, app = guarded(here)
        old = await expired(here)
        store.calls.clear()
        generations: list[tuple[int, int]] = []

        async def visit() -> None:
            answer = await ask(guard, "/members", old)
            assert answer.status == 200
            access, refresh = answer.cookies["token"], answer.cookies["refreshToken"]
            generations.append((generation(here, access), generation(here, refresh, REFRESH)))

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(visit)
        assert generations == [(1, 1)] * 50
        assert {scope["user"].generation for scope in app.seen} == {1}
        assert store.calls.count("swap") == 1
        assert here.ear.names() == ["SessionRefreshed"]


async def test_two_workers_in_one_race_give_tokens_of_one_generation() -> None:
    """SECURITY S-02, with a kit of its own for each worker."""
    store = MemoryStore()
    async with world(store=store) as here:
        twin = AuthKit(here.kit.settings, store=store, mailer=here.mailbox, clock=here.clock)
        guards = [guarded(here)[0], AuthMiddleware(App(), kit=twin, rules=RULES)]
        old = await expired(here)
        generations: set[int] = set()

        async def visit(guard: AuthMiddleware) -> None:
            answer = await ask(guard, "/members", old)
            generations.add(generation(here, answer.cookies["token"]))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(visit, guards[number % 2])
        assert generations == {1}
        assert here.ear.names().count("SessionRefreshed") <= 1
        await twin.close()


async def test_no_cookie_outlives_its_session() -> None:
    """SECURITY S-09, S-16, C-04: the absolute end never moves."""
    async with world(session_max_age=2 * HOUR, refresh_token_lifetime=2 * HOUR) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.5)
        answer = await ask(guard, "/members", tokens)
        assert [value.split("; ")[1] for value in answer.all("set-cookie")] == ["Max-Age=1800"] * 2
        here.clock.pass_(hours=0.5)
        over = await ask(guard, "/members", answer.cookies)
        assert (over.status, over.cookies) == (401, {"token": "", "refreshToken": ""})


async def test_a_store_that_lost_a_write_is_no_theft() -> None:
    """SECURITY S-07: a generation that the row does not know yet means signing in again."""
    async with world() as here:
        guard, _ = guarded(here)
        old = await expired(here)
        row = await here.kit.services.sessions.get(claims_in(here, old["token"]).session_id)
        assert row is not None
        new = (await ask(guard, "/members", old)).cookies
        await here.kit.store.take(SESSIONS, row.id)
        await here.kit.store.insert(SESSIONS, row)  # yesterday's backup
        answer = await ask(guard, "/members", {"refreshToken": new["refreshToken"]})
        assert (answer.status, answer.cookies) == (401, {"token": "", "refreshToken": ""})
        assert here.ear.names()[-1] == "SessionRolledBack"
        assert (await ask(guard, "/members", old)).status == 200  # the session itself lives


@pytest.mark.parametrize(
    "fault", [ZeroDivisionError, RuntimeError, KeyError, ValueError, TypeError, OSError]
)
async def test_a_fault_of_the_store_lets_nobody_in(fault: type[Exception]) -> None:
    """SECURITY P-18: whatever goes wrong while we look, the app is not called."""

    async def fail() -> None:
        raise fault

    store = BrittleStore(MemoryStore())
    async with world(store=store) as here:
        guard, app = guarded(here)
        old = await expired(here)
        store.failing, store.down = fail, True
        with pytest.raises(fault):
            await ask(guard, "/members", old)
        assert app.seen == []
        store.down = False
        assert (await ask(guard, "/members", old)).status == 200


async def test_an_answer_without_headers_gets_ours() -> None:
    async def terse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async with world() as here:
        guard = AuthMiddleware(terse, kit=here.kit, rules=RULES)
        answer = await ask(guard, "/members", await expired(here))
        assert (answer.status, len(answer.cookies)) == (204, 2)


class TestALostAnswer:
    """SECURITY S-08, S-24: who never got the answer comes back with what they had."""

    async def test_a_cancelled_navigation_costs_nobody_the_session(self) -> None:
        async with world() as here:
            old = await expired(here)
            lost = anyio.CancelScope()

            async def hang_up(scope: Scope) -> None:
                lost.cancel()
                await anyio.sleep_forever()

            guard, app = guarded(here, App(then=hang_up))
            with lost:
                await ask(guard, "/members", old)
            app.then = None
            here.clock.pass_(hours=5)  # far beyond any grace
            again = await ask(guard, "/members", old)
            assert again.status == 200
            assert generation(here, again.cookies["token"]) == 1

    async def test_a_request_cancelled_in_the_exchange_leaves_its_twins_signed_in(self) -> None:
        """Whoever does the work for all and goes away takes nobody along."""
        gate = anyio.Event()
        store = BrittleStore(MemoryStore())
        async with world(store=store) as here:
            guard, _ = guarded(here)
            old = await expired(here)
            statuses: list[int] = []

            async def stall() -> None:
                gate.set()
                await anyio.sleep_forever()

            store.failing, store.down = stall, True
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await ask(guard, "/members", old)

            async def follow() -> None:
                statuses.append((await ask(guard, "/members", old)).status)

            async with anyio.create_task_group() as group:
                group.start_soon(lead)
                await gate.wait()
                for _ in range(3):
                    group.start_soon(follow)
                await anyio.wait_all_tasks_blocked()
                store.down = False
                leader.cancel()
            assert statuses == [200] * 3

    async def test_half_lost_answers_end_in_one_living_session(self) -> None:
        """Every second answer never arrives, for a day: nobody is signed out, nobody is a thief."""
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            for step in range(24):
                here.clock.pass_(hours=1.1)
                answer = await ask(guard, "/members", tokens)
                assert answer.status == 200
                if step % 2:
                    tokens = {**tokens, **answer.cookies}
            assert "SessionReused" not in here.ear.names()

    async def test_a_guard_within_the_guard_confirms_nothing_that_never_arrived(self) -> None:
        """It sees tokens that the outer one made in this very request; no browser has them yet."""
        async with world() as here:
            inner, _ = guarded(here)
            outer = AuthMiddleware(inner, kit=here.kit, rules=RULES)
            old = await expired(here)
            lost = await ask(outer, "/members", old)
            here.clock.pass_(minutes=5)
            assert (await ask(outer, "/members", old)).status == 200
            assert (await ask(outer, "/members", lost.cookies)).status == 200  # now one arrived
            here.clock.pass_(minutes=1)
            stolen = await ask(outer, "/members", {"refreshToken": old["refreshToken"]})
            assert stolen.status == 401


class TestConfirmation:
    """The first sight of a generation's token is written down, once the answer is out: a grace
    after that its predecessor is nobody's to redeem."""

    async def confirmed(self, here: World, tokens: Tokens) -> int:
        session_id = claims_in(here, tokens["token"]).session_id
        session = await here.kit.services.sessions.get(session_id)
        assert session is not None
        return session.confirmed

    async def refreshed(self, here: World, guard: AuthMiddleware) -> tuple[Tokens, Tokens]:
        """Tokens before and after an exchange, an hour and a grace ago."""
        old = await expired(here)
        new = {**old, **(await ask(guard, "/members", old)).cookies}
        here.clock.pass_(minutes=5)
        return old, new

    async def test_it_is_written_after_the_answer_and_once(self) -> None:
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, app = guarded(here)
            _, new = await self.refreshed(here, guard)
            at_the_answer: list[int] = []

            async def look(scope: Scope) -> None:
                at_the_answer.append(store.calls.count("swap"))

            app.then = look
            store.calls.clear()
            for _ in range(3):
                await ask(guard, "/members", new)
            assert at_the_answer == [0, 1, 1]
            assert store.calls.count("swap") == 1
            assert await self.confirmed(here, new) == 1

    async def test_a_first_generation_needs_none(self) -> None:
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            store.calls.clear()
            await ask(guard, "/members", tokens)
            assert "swap" not in store.calls

    async def test_afterwards_the_predecessor_closes_the_session(self) -> None:
        """SECURITY S-04: only this session, and its own access tokens with it."""
        async with world() as here:
            guard, _ = guarded(here)
            old, new = await self.refreshed(here, guard)
            assert (await ask(guard, "/members", new)).status == 200
            here.clock.pass_(seconds=31)
            other = await session_of(here, await owner_of(here, old))
            stolen = await ask(guard, "/members", {"refreshToken": old["refreshToken"]})
            assert stolen.status == 401
            assert stolen.cookies == {"token": "", "refreshToken": ""}
            assert (await ask(guard, "/members", new)).status == 401
            assert (await ask(guard, "/members", other)).status == 200
            assert here.ear.names().count("SessionReused") == 1

    @pytest.mark.parametrize(
        "obstacle",
        [
            pytest.param("fault", id="the app fails"),
            pytest.param("cancelled", id="the visitor is gone"),
            pytest.param("outage", id="the store does not answer"),
            pytest.param("cross-site", id="the request is refused"),
            pytest.param("auth", id="the visitor is sent home"),
        ],
    )
    async def test_what_came_between_only_puts_it_off(self, obstacle: str) -> None:
        """Otherwise one request that fails would leave a stolen predecessor good for an hour."""
        store = BrittleStore(MemoryStore())
        async with world(store=store) as here:
            guard, app = guarded(here)
            _, new = await self.refreshed(here, guard)
            await self.hindered(obstacle, guard, app, store, new)
            assert await self.confirmed(here, new) == 0
            for _ in range(2):
                assert (await ask(guard, "/members", new)).status == 200
            assert await self.confirmed(here, new) == 1

    async def hindered(
        self, obstacle: str, guard: AuthMiddleware, app: App, store: BrittleStore, new: Tokens
    ) -> None:
        scope = anyio.CancelScope()

        async def in_the_way(_: Scope) -> None:
            if obstacle == "outage":
                store.down = True
            elif obstacle == "fault":
                raise ZeroDivisionError
            else:
                scope.cancel()
                await anyio.sleep_forever()

        if obstacle == "cross-site":
            foreign = {"sec-fetch-site": "cross-site"}
            assert (await ask(guard, method="POST", tokens=new, headers=foreign)).status == 403
            return
        if obstacle == "auth":
            assert guard.rules.match("/user/login") is Access.AUTH
            assert (await ask(guard, "/user/login", new)).status == 303
            return
        app.then = in_the_way
        with scope:
            if obstacle == "fault":
                with pytest.raises(ZeroDivisionError):
                    await ask(guard, tokens=new)
            else:
                await ask(guard, tokens=new)
        app.then, store.down = None, False


async def test_a_lifetime_that_was_lowered_signs_nobody_out() -> None:
    store, own = MemoryStore(), settings(remember_me_lifetime=30 * DAY)
    secrets: Any = {
        "token_secret": own.token_secret,
        "refresh_token_secret": own.refresh_token_secret,
        "store": store,
    }
    async with (
        world(**secrets, remember_me_lifetime=30 * DAY) as before,
        world(**secrets, remember_me_lifetime=14 * DAY) as after,
    ):
        await before.person()
        async with before.browser() as ada, after.browser() as later:
            assert (await ada.sign_in(remember=True)).status_code == 200
            later.take_tokens(ada.tokens())
            after.clock.pass_(hours=2)
            assert (await later.get("/members")).status_code == 200
