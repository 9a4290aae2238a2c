"""Who is asking: out of which cookie, at what cost, and never somebody else."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from secrets import token_urlsafe
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from authkit_asgi import PathRules
from authkit_asgi.core.remembered import MAX_REMEMBERED_BYTES, Remembered
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.middleware import MAX_DOOR_LENGTH, MAX_DOORS, AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.asgi import Scope
from tests.middleware.knocking import (
    App,
    RawHeaders,
    ask,
    claims_in,
    cookie_header,
    owner_of,
    visitor,
    visitors,
)
from tests.world import CountingStore, World, settings, world

RULES = PathRules(public=["/open", "/open/*"])


def guarded(here: World, app: App | None = None) -> tuple[AuthMiddleware, App]:
    app = app or App()
    return AuthMiddleware(app, kit=here.kit, rules=RULES), app


def remembered(guard: AuthMiddleware) -> int:
    """How much the guard keeps of what it saw."""
    return len(guard._recognition)


def cookies(*headers: bytes) -> RawHeaders:
    return [(b"cookie", header) for header in headers]


def random_tokens(count: int) -> Iterator[bytes]:
    """Of the right shape, with headers of ours, and with no signature of ours."""
    source = random.Random(7)
    for _ in range(count):
        yield b"%032x.%032x.%032x" % tuple(source.getrandbits(128) for _ in range(3))


class TestTheCost:
    async def test_a_known_token_costs_no_call_of_the_store_between_two_polls(self) -> None:
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, app = guarded(here)
            tokens = await visitor(here)
            await ask(guard, "/members", tokens)
            store.calls.clear()
            for number in range(50):
                await ask(guard, "/members", {"page": str(number % 3), **tokens})
            assert store.calls == []
            here.clock.pass_(seconds=1)
            await ask(guard, "/members", tokens)
            assert store.calls == ["find", "find"]
            assert len(app.seen) == 52

    @pytest.mark.parametrize("name", ["token", "refreshToken"])
    async def test_garbage_is_refused_without_the_store(self, name: str) -> None:
        """SECURITY D-06, D-05."""
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, _ = guarded(here)
            real = (await visitor(here))[name]
            store.calls.clear()
            here.clock.pass_(hours=2)
            for bad in ("x", "", "a.b.c", real[:-1], real + "=", "x" * 5000, '"' + real + '"'):
                answer = await ask(guard, "/members", {name: bad})
                assert answer.status == 401
                assert answer.all("set-cookie") == []  # whose they are, nobody knows
            assert store.calls == []
            assert remembered(guard) == 0

    async def test_a_hundred_thousand_garbage_tokens_leave_nothing_behind(self) -> None:
        """SECURITY T-17, D-04."""
        store = CountingStore(MemoryStore())
        async with world(store=store) as here:
            guard, app = guarded(here)
            real = (await visitor(here))["token"].encode()
            header, payload, _ = real.split(b".")
            store.calls.clear()
            for number, token in enumerate(random_tokens(100_000)):
                if number % 3 == 0:
                    token = header + b"." + payload + b"." + token[:43]
                name = b"refreshToken" if number % 5 == 0 else b"token"
                visit = await guard._recognition.visit(
                    {"type": "http", "method": "GET", "headers": cookies(name + b"=" + token)},
                    here.clock(),
                )
                assert visit.identity is None
            assert store.calls == []
        assert remembered(guard) == 0
        assert app.seen == []

    async def test_somebody_signed_in_cannot_fill_the_memory_either(self) -> None:
        """SECURITY T-17, D-04: one good token, and each time another cookie beside it."""
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            for number in range(20_000):
                junk = f"{number:03000d}"
                scope = {"type": "http", "method": "GET"}
                headers = cookies(cookie_header({"junk": junk, **tokens}))
                await guard._recognition.visit({**scope, "headers": headers}, here.clock())
            held = [*guard._recognition._by_header._young, *guard._recognition._by_header._old]
        assert sum(map(len, held)) < 10 * 2**20


class TestDoors:
    async def test_a_path_is_judged_once(self) -> None:
        async with world() as here:
            guard, app = guarded(here)
            for _ in range(2):
                await ask(guard, "/open")
                await ask(guard, "/open", root_path="/root")
            assert list(guard._doors) == ["/open", ("/root", "/open")]
            assert len(app.seen) == 4

    async def test_strangers_cannot_fill_the_memory(self) -> None:
        """SECURITY D-04."""
        async with world() as here:
            guard, _ = guarded(here)
            for number in range(3 * MAX_DOORS):
                await ask(guard, f"/open/{number}")
            await ask(guard, "/open/" + "x" * MAX_DOOR_LENGTH)
            await ask(guard, "/open", root_path="/" + "x" * MAX_DOOR_LENGTH)
            assert 0 < len(guard._doors) <= MAX_DOORS
            assert all(len("".join(place)) <= MAX_DOOR_LENGTH for place in guard._doors)

    async def test_what_is_put_around_the_app_is_asked_on_every_path(self) -> None:
        """It may measure, or refuse."""
        async with world() as here:
            guard, around = here.kit.wrap(App(), PathRules(public=["/open"])), App()
            await ask(guard, "/open")
            guard.app = around
            for path in ("/open", "/user/login", "/.well-known/jwks.json"):
                await ask(guard, path)
            assert len(around.seen) == 3

    @pytest.mark.parametrize("raw_path", [b"/open%2Fx", b"/open%5cx", b"/open%2fx?next=/open/x"])
    async def test_another_spelling_does_not_come_by_the_same_door(self, raw_path: bytes) -> None:
        """SECURITY P-05."""
        async with world() as here:
            guard, app = guarded(here)
            for _ in range(2):
                assert (await ask(guard, "/open/x", raw_path=b"/open/x")).status == 200
                assert (await ask(guard, "/open/x", raw_path=raw_path)).status == 401
                assert (await ask(guard, "/open/x", raw_path=None)).status == 200
            assert len(app.seen) == 4


class TestRemembered:
    def test_what_is_asked_for_stays_and_what_is_not_goes(self) -> None:
        memory: Remembered[int] = Remembered(size=4)
        memory.put(b"often", 0)
        for number in range(100):
            memory.put(b"%d" % number, number)
            assert memory.get(b"often") == 0
        assert memory.get(b"1") is None
        assert memory.get(b"99") == 99

    def test_it_never_holds_more_than_two_generations(self) -> None:
        memory: Remembered[int] = Remembered(size=4)
        for number in range(1000):
            memory.put(b"%d" % number, number)
            memory.get(b"%d" % (number // 2))
            assert len(memory._young) + len(memory._old) <= 8

    def test_a_long_key_is_not_kept(self) -> None:
        memory: Remembered[int] = Remembered()
        memory.put(b"x" * (MAX_REMEMBERED_BYTES + 1), 1)
        assert memory.get(b"x" * (MAX_REMEMBERED_BYTES + 1)) is None


class TestCookieTricks:
    async def who(self, guard: AuthMiddleware, app: App, *headers: bytes) -> str:
        app.seen.clear()
        await ask(guard, "/open", headers=cookies(*headers))
        return str(app.who.display_name)

    async def test_several_cookie_headers_are_one(self) -> None:
        """SECURITY C-07: HTTP/2 splits them, and the servers leave them split."""
        async with world() as here:
            guard, app = guarded(here)
            tokens = await visitor(here)
            halves = [cookie_header({name: token}) for name, token in tokens.items()]
            for _ in range(2):
                assert await self.who(guard, app, b"a=1", *halves) == "ada"
                assert await self.who(guard, app, *reversed(halves), b"b=2") == "ada"

    async def test_two_values_of_one_name_are_nobody(self) -> None:
        """SECURITY C-06: neither the first nor the last is more to be believed."""
        async with world() as here:
            guard, app = guarded(here)
            ada, bob = await visitors(here, 2)
            mine, other = (f"token={one['token']}".encode() for one in (ada, bob))
            assert await self.who(guard, app, mine) == "ada0"
            for headers in (
                (mine, other),
                (other, mine),
                (mine + b"; " + other,),
                (other + b"; " + mine,),
                (mine, b"token="),
                (b"token=x; " + mine,),
            ):
                for _ in range(2):
                    assert await self.who(guard, app, *headers) == ""

    async def test_the_same_value_twice_is_one(self) -> None:
        async with world() as here:
            guard, app = guarded(here)
            header = cookie_header(await visitor(here))
            assert await self.who(guard, app, header, header) == "ada"

    async def test_a_remembered_header_beside_another_one_proves_nothing(self) -> None:
        """SECURITY T-17: the header is remembered for a request that has no other."""
        async with world() as here:
            guard, app = guarded(here)
            ada, bob = await visitors(here, 2)
            mine = cookie_header(ada)
            for _ in range(3):
                assert await self.who(guard, app, mine) == "ada0"
            assert await self.who(guard, app, mine, cookie_header(bob)) == ""
            assert await self.who(guard, app, cookie_header(bob), mine) == ""
            assert await self.who(guard, app, mine, b"token=garbage") == ""
            assert await self.who(guard, app, mine, b"theme=dark") == "ada0"
            for header in (b"theme=dark", b"", b"token=garbage"):
                assert await self.who(guard, app, header) == ""

    @pytest.mark.parametrize(
        "spelled",
        [
            pytest.param(b'token="%s"', id="quoted"),
            pytest.param(b"Token=%s", id="other case"),
            pytest.param(b"TOKEN=%s", id="capitals"),
            pytest.param(b"=token=%s", id="nameless"),
            pytest.param(b"__Host-token=%s", id="a prefix that is not ours"),
            pytest.param(b"xtoken=%s", id="the end of a name"),
            pytest.param(b"$Version=1; $token=%s", id="RFC 2965"),
            pytest.param(b"\xa0token=%s", id="no-break space"),
            pytest.param(b"token=%s=", id="padded"),
            pytest.param(b"token=%%20%s", id="percent-encoded space"),
            pytest.param(b"token=Bearer %s", id="with a scheme"),
            pytest.param(b"refreshToken=%s", id="in the other cookie"),
            pytest.param(b"a=1, token=%s", id="after a comma"),
            pytest.param(b"; ".join([b"a=1"] * 100) + b"; token=%s", id="C-09 100 others"),
            pytest.param(b"a=" + b"x" * 17_000 + b"; token=%s", id="C-09 too long"),
        ],
    )
    async def test_what_is_not_spelled_to_the_letter_is_nobodys(self, spelled: bytes) -> None:
        """SECURITY C-08."""
        async with world() as here:
            guard, app = guarded(here)
            token = (await visitor(here))["token"].encode()
            assert await self.who(guard, app, b"token=" + token) == "ada"
            assert await self.who(guard, app, spelled % token) == ""

    async def test_a_long_honest_header_is_read_anew_each_time(self) -> None:
        async with world() as here:
            guard, app = guarded(here)
            header = b"a=" + b"x" * 9000 + b"; " + cookie_header(await visitor(here))
            for _ in range(2):
                assert await self.who(guard, app, header) == "ada"
            assert not guard._recognition._by_header._young

    async def test_the_token_is_looked_for_nowhere_else(self) -> None:
        """SECURITY T-20."""
        async with world() as here:
            guard, app = guarded(here)
            token = (await visitor(here))["token"]
            elsewhere = {
                "authorization": f"Bearer {token}",
                "x-access-token": token,
                "token": token,
            }
            await ask(guard, f"/open?token={token}&access_token={token}", headers=elsewhere)
            assert not app.who.is_authenticated


class TestWhoseTokenItIs:
    async def test_a_token_of_another_kind_is_nobodys(self) -> None:
        """SECURITY T-06, S-14: a refresh token opens nothing, an access token refreshes nothing."""
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            access, refresh = tokens["token"], tokens["refreshToken"]
            assert (await ask(guard, tokens={"token": refresh})).status == 401
            assert (await ask(guard, tokens={"refreshToken": access})).status == 401

    async def test_a_token_that_names_no_end_of_its_session_is_refused_at_its_own(self) -> None:
        async with world() as here:
            guard, _ = guarded(here)
            tokens = {"token": (await visitor(here))["token"]}
            here.clock.pass_(seconds=3599)
            assert (await ask(guard, tokens=tokens)).status == 200
            here.clock.pass_(seconds=1)
            answer = await ask(guard, tokens=tokens)
            assert answer.status == 401
            assert answer.cookies == {"token": ""}  # ours, and over

    async def test_a_worker_with_an_older_key_touches_no_cookie(self) -> None:
        """SECURITY T-15: what no key of ours verifies may be another worker's, with a newer key."""
        store = MemoryStore()
        async with world(store=store) as here, world(store=store) as newer:
            guard, _ = guarded(here)
            tokens = await visitor(newer)
            answer = await ask(guard, tokens=tokens)
            assert (answer.status, answer.all("set-cookie")) == (401, [])

    async def test_a_new_key_signs_and_the_old_one_still_verifies(self) -> None:
        """SECURITY T-15."""
        store = MemoryStore()
        async with world(store=store) as here:
            tokens = await visitor(here)
            newer_keys = settings(
                token_secret=(token_urlsafe(40), *here.kit.settings.token_secret),
                refresh_token_secret=(token_urlsafe(40), *here.kit.settings.refresh_token_secret),
            )
            async with world(
                store=store,
                token_secret=newer_keys.token_secret,
                refresh_token_secret=newer_keys.refresh_token_secret,
            ) as newer:
                guard, _ = guarded(newer)
                assert (await ask(guard, tokens=tokens)).status == 200
                newer.clock.pass_(hours=1.1)
                answer = await ask(guard, tokens=tokens)
                assert (answer.status, len(answer.cookies)) == (200, 2)
                assert answer.cookies["token"].split(".")[0] != tokens["token"].split(".")[0]

    async def test_who_is_deleted_is_nobody(self) -> None:
        """SECURITY S-12, S-15."""
        async with world() as here:
            guard, _ = guarded(here)
            tokens = await visitor(here)
            await here.kit.services.accounts.delete(await owner_of(here, tokens), now=here.clock())
            here.clock.pass_(seconds=1)
            answer = await ask(guard, tokens=tokens)
            assert (answer.status, answer.cookies) == (401, {"token": "", "refreshToken": ""})


class TestTheIdentity:
    async def test_nothing_of_it_can_be_changed(self) -> None:
        """SECURITY T-18: one object serves many requests."""
        async with world() as here:
            guard, app = guarded(here)
            await ask(guard, tokens=await visitor(here))
            who, auth = app.who, app.scope["auth"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            who.id = "eve"
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError, AttributeError)):
            who.admin = True
        with pytest.raises(TypeError):
            who.claims["isAdmin"] = True
        with pytest.raises(dataclasses.FrozenInstanceError):
            auth.scopes = ("admin",)
        assert isinstance(auth.scopes, tuple)

    async def test_claims_within_claims_cannot_be_changed_either(self) -> None:
        async with world() as here:
            guard, app = guarded(here)
            old = claims_in(here, (await visitor(here))["token"])
            profile = {"roles": ["reader"], "team": {"name": "x", "of": [{"a": 1}]}}
            token = here.kit.guard.tokens.mint(ACCESS, dataclasses.replace(old, profile=profile))
            await ask(guard, tokens={"token": token})
            claims = app.who.claims
        assert claims["roles"] == ("reader",)
        with pytest.raises(TypeError):
            claims["team"]["name"] = "y"
        with pytest.raises(TypeError):
            claims["team"]["of"][0]["a"] = 2

    async def test_what_an_app_writes_into_its_scope_stays_in_its_request(self) -> None:
        async with world() as here:

            async def scribble(scope: Scope) -> None:
                assert scope["user"].display_name == "ada"
                scope["user"] = "eve"
                scope["auth"] = None
                scope["headers"].clear()

            guard, _ = guarded(here, App(then=scribble))
            tokens = await visitor(here)
            for _ in range(3):
                assert (await ask(guard, tokens=tokens)).status == 200

    async def test_a_scope_that_is_not_true_gives_nothing(self) -> None:
        """Only the boolean: `"false"` is not false to everybody."""
        async with world() as here:
            guard, app = guarded(here)
            old = claims_in(here, (await visitor(here))["token"])
            for value in ("true", 1, "false", [1], None):
                profile = {"isAdmin": value, "isVerified": value}
                claims = dataclasses.replace(old, profile=profile)
                token = here.kit.guard.tokens.mint(ACCESS, claims)
                await ask(guard, tokens={"token": token})
                assert app.scope["auth"].scopes == ("authenticated",)


async def test_ten_thousand_requests_of_a_hundred_people_are_never_mixed_up() -> None:
    """SECURITY I-04: interleaved, refreshing, failing and cancelled ones too."""
    source = random.Random(11)

    async def wander(scope: Scope) -> None:
        name = scope["query_string"].decode()
        for _ in range(source.randrange(3)):
            await anyio.lowlevel.checkpoint()
            assert scope["user"].display_name == name
        chance = source.random()
        if chance < 0.1:
            raise ZeroDivisionError
        if chance < 0.2:
            doomed[scope["n"]].cancel()
            await anyio.lowlevel.checkpoint()

    doomed: dict[int, anyio.CancelScope] = {}
    async with world() as here:
        guard, app = guarded(here, App(then=wander))
        tokens = dict(enumerate(await visitors(here, 100)))
        mistakes: list[Any] = []

        async def visit(number: int, person: int) -> None:
            name = f"ada{person}"
            with anyio.CancelScope() as doomed[number]:
                try:
                    answer = await ask(guard, f"/members?{name}", tokens[person], n=number)
                except ZeroDivisionError:
                    return
                if answer.status != 200:
                    mistakes.append(answer)
                if answer.cookies:
                    owner = claims_in(here, answer.cookies["token"]).profile["username"]
                    if owner != name:
                        mistakes.append((owner, name))
                    tokens[person] = answer.cookies

        for batch in range(20):
            async with anyio.create_task_group() as group:
                for number in range(500):
                    group.start_soon(visit, number, source.randrange(100))
            if batch % 5 == 4:
                here.clock.pass_(hours=1.1)
        assert mistakes == []
        assert len(app.seen) == 10_000
        assert all(
            scope["user"].display_name == scope["query_string"].decode() for scope in app.seen
        )
        assert "SessionReused" not in here.ear.names()
