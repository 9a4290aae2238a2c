"""What a fault in the guard itself would open, and no example of a request would show."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_asgi import PathRules
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.middleware import AuthMiddleware
from authkit_asgi.store.memory import MemoryStore
from tests.middleware.knocking import App, ask, claims_in, shake_hands, visitor
from tests.test_contract import ROUTES, body_of, call
from tests.world import CountingStore, World, world

WRITES = {"insert", "swap", "take", "delete", "add"}


def guarded(here: World) -> tuple[AuthMiddleware, App]:
    app = App()
    return AuthMiddleware(app, kit=here.kit, rules=PathRules(public=["/open"])), app


def broken(*args: Any, **options: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("part", ["rules", "reading", "remembering", "revocations", "clock"])
@pytest.mark.parametrize("path", ["/members", "/open"])
async def test_whatever_part_of_the_guard_fails_the_app_is_not_called(
    part: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECURITY P-18: a fault refuses, whoever asks."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        recognition = guard._recognition
        target, name = {
            "rules": (guard.rules, "ruling"),
            "reading": (here.kit.guard.tokens, "read"),
            "remembering": (recognition._by_header, "get"),
            "revocations": (guard._revocations, "allow"),
            "clock": (recognition, "_clock"),
        }[part]
        monkeypatch.setattr(type(target) if part != "clock" else target, name, broken)
        with pytest.raises(ZeroDivisionError):
            await ask(guard, path, tokens)
        with pytest.raises(ZeroDivisionError):
            await shake_hands(guard, path, tokens, headers={"origin": "http://localhost:8000"})
        monkeypatch.undo()
    assert app.seen == []


async def test_a_remembered_token_ends_on_time_while_others_keep_the_guard_awake() -> None:
    """SECURITY T-17: what was read of ended sessions is fresh, and the end is looked at all the
    same, whether the header is remembered or the token in another header."""
    async with world() as here:
        guard, _ = guarded(here)
        ada = {"token": (await visitor(here))["token"]}
        assert (await ask(guard, tokens=ada)).status == 200
        here.clock.pass_(seconds=claims_in(here, ada["token"]).expires_at - here.clock() - 0.5)
        bob = await visitor(here, "bob")
        assert [(await ask(guard, tokens=who)).status for who in (bob, ada)] == [200, 200]
        here.clock.pass_(seconds=0.5)
        assert (await ask(guard, tokens={"a": "1", **ada})).status == 401
        assert (await ask(guard, tokens=ada)).status == 401


@pytest.mark.parametrize(
    "name",
    [
        *("x-cookie", "cookie2", "set-cookie", "x-auth-token", "proxy-authorization", "Cookie"),
        *("http_cookie", "sec-websocket-protocol", "x-original-cookie", "cookie\x00"),
    ],
)
async def test_no_other_header_carries_a_token(name: str) -> None:
    """SECURITY T-20."""
    async with world() as here:
        guard, app = guarded(here)
        token = (await visitor(here))["token"].encode()
        # From here on the guard could take a token without a look into the store.
        assert (await ask(guard, tokens=await visitor(here, "bob"))).status == 200
        app.seen.clear()
        for value in (token, b"token=" + token, b"Bearer " + token):
            answer = await ask(guard, headers=[(name.encode(), value)])
            assert answer.status == 401
        assert app.seen == []


async def test_the_app_sees_the_headers_that_were_sent() -> None:
    """SECURITY I-01: who asks is in the scope alone, and no header says it, ours or a stranger's
    (`X_User_Id` and `X-User-Id` are one name to some)."""
    async with world() as here:
        guard, app = guarded(here)
        sent = [(b"x-user-id", b"eve"), (b"x_user_id", b"eve"), (b"x-user-id", b"mallory")]
        tokens = await visitor(here)
        await ask(guard, tokens=tokens, headers=sent)
        await ask(guard, "/open", headers=sent)
        await shake_hands(
            guard, tokens=tokens, headers=[*sent, (b"origin", b"http://localhost:8000")]
        )
        for scope in app.seen:
            others = [one for one in scope["headers"] if one[0] not in (b"cookie", b"origin")]
            assert others == sent
        names = [scope["user"].display_name for scope in app.seen]
        assert names == ["ada", "", "ada"]


async def test_a_start_may_be_a_minute_early_and_an_end_no_moment_late() -> None:
    """SECURITY T-10."""
    async with world() as here:
        tokens = here.kit.guard.tokens
        old = claims_in(here, (await visitor(here))["token"])
        token = tokens.mint(ACCESS, old).encode()
        assert tokens.read(ACCESS, token, now=old.issued_at - 61) is None
        assert tokens.read(ACCESS, token, now=old.expires_at) is None


async def test_whoever_only_reads_changes_nothing() -> None:
    """SECURITY X-07: on every path of the kit that there is, with all that a form would send."""
    store = CountingStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        token = await town.mailed_token()
        async with town.browser() as browser:
            await browser.sign_in()
            await browser.api("GET", "/session")
            paths = {f"/api/users{route.path}" for route in ROUTES}
            paths |= {f"/user{page.path}" for page in town.kit._pages()}
            store.calls.clear()
            for path in sorted(paths):
                for method in ("GET", "HEAD", "OPTIONS"):
                    await browser.request(
                        method,
                        path.replace("{id}", "x"),
                        params={"token": token, "type": "email", "_method": "POST", "all": "true"},
                        headers={"x-http-method-override": "POST"},
                    )
            assert not WRITES & {*store.calls}, store.calls
            assert (await browser.api("GET", "/session")).status_code == 200


async def test_strangers_add_no_row() -> None:
    """SECURITY D-05: only who registers, or asks for mail, leaves one, and those are counted."""
    store = CountingStore(MemoryStore())
    allowed = {"/register", "/user-verify/sent", "/forgot-password/sent"}
    async with world(store=store) as town:
        await town.kit.start()
        async with town.browser() as browser:
            store.calls.clear()
            for route in ROUTES:
                if route.path not in allowed:
                    await call(browser, route, json=body_of(route))
            for path in ("/", "/members", "/user/login", "/user/dashboard", "/nowhere"):
                browser.take_tokens({"token": "junk", "refreshToken": "junk"})
                await browser.get(path)
        assert "insert" not in store.calls


async def test_no_cookie_of_ours_names_a_domain() -> None:
    """SECURITY C-15: with one, even its own, it would go to every host below."""
    async with world() as town:
        await town.person("ada")
        async with town.browser() as browser:
            signed_in = await browser.sign_in()
            town.clock.pass_(hours=1.5)
            refreshed = await browser.get("/members")
            signed_out = await browser.api("POST", "/logout", {})
        for answer in (signed_in, refreshed, signed_out):
            lines = answer.headers.get_list("set-cookie")
            assert len(lines) == 2
            assert not any("domain" in line.lower() for line in lines)
