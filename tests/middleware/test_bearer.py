"""Access tokens in the Authorization header, for clients of the API (opt-in)."""

from __future__ import annotations

import pytest

from authkit_asgi import PathRules
from authkit_asgi.middleware import AuthMiddleware
from tests.middleware.knocking import (
    FOREIGN_FORM,
    App,
    ask,
    claims_in,
    owner_of,
    session_of,
    visitor,
    visitors,
)
from tests.world import World, world

RULES = PathRules(public=["/open", "/open/*"])


def guarded(here: World) -> tuple[AuthMiddleware, App]:
    app = App()
    return AuthMiddleware(app, kit=here.kit, rules=RULES), app


def carrying(token: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"authorization": f"{scheme} {token}"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_an_access_token_in_the_header_signs_in(scheme: str) -> None:
    """RFC 6750 section 2.1; and no other site can send it, so nobody asks whose page it was."""
    async with world(bearer=True) as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        headers = {**carrying(tokens["token"], scheme), **FOREIGN_FORM}
        answer = await ask(guard, "/members", method="POST", headers=headers)
        assert answer.status == 200
        assert app.who.display_name == "ada"


async def test_an_expired_one_is_told_so() -> None:
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.1)
        answer = await ask(guard, headers=carrying(tokens["token"]))
        assert (answer.status, answer.code) == (401, "token_expired")
        assert 'error="invalid_token"' in answer.header("www-authenticate")


@pytest.mark.parametrize("what", ["", "garbage", "refresh", "foreign"])
async def test_anything_else_is_nobody(what: str) -> None:
    async with world(bearer=True) as here, world(bearer=True) as elsewhere:
        guard, _ = guarded(here)
        tokens, foreign = await visitor(here), await visitor(elsewhere)
        token = {"refresh": tokens["refreshToken"], "foreign": foreign["token"]}.get(what, what)
        answer = await ask(guard, headers=carrying(token))
        assert (answer.status, answer.code) == (401, "not_signed_in")


async def test_a_logout_counts_for_it_too() -> None:
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        headers = carrying(tokens["token"])
        assert (await ask(guard, headers=headers)).status == 200
        session_id = claims_in(here, tokens["token"]).session_id
        await here.kit.services.sessions.close(session_id, reason="t", now=here.clock())
        answer = await ask(guard, headers=headers)
        assert (answer.status, answer.code) == (401, "not_signed_in")


async def test_cookie_and_header_must_name_the_same_session() -> None:
    """SECURITY T-21."""
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        mine = await visitor(here)
        other = await session_of(here, await owner_of(here, mine))
        for tokens, status in ((mine, 200), (other, 401)):
            answer = await ask(guard, "/members", tokens, headers=carrying(mine["token"]))
            assert answer.status == status
        answer = await ask(guard, "/members", mine, headers=carrying("garbage"))
        assert answer.status == 401


async def test_with_a_cookie_beside_it_another_site_may_not() -> None:
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        headers = {**carrying(tokens["token"]), **FOREIGN_FORM}
        answer = await ask(guard, "/members", tokens, method="POST", headers=headers)
        assert answer.status == 403


async def test_two_headers_are_nobody_in_either_order() -> None:
    """SECURITY T-21: precedence never depends on the order of headers."""
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        ada, bob = await visitors(here, 2)
        one, two = ((b"authorization", f"Bearer {t['token']}".encode()) for t in (ada, bob))
        for headers in ([one, two], [two, one], [one, (b"authorization", b"Bearer x")]):
            assert (await ask(guard, headers=headers)).status == 401
        assert (await ask(guard, headers=[one, one])).status == 200


async def test_a_refresh_beside_it_reaches_the_app_and_the_browser() -> None:
    """The cookie's exchange is not lost, whatever the header says."""
    async with world(bearer=True) as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.1)
        answer = await ask(guard, "/open", tokens, headers=carrying("garbage"))
        assert len(answer.cookies) == 2
        assert not app.who.is_authenticated


async def test_another_scheme_leaves_the_cookie_its_say() -> None:
    async with world(bearer=True) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        basic = {"authorization": "Basic YWRhOmFkYQ=="}
        assert (await ask(guard, "/members", tokens, headers=basic)).status == 200
        assert (await ask(guard, "/members", headers=basic)).status == 401


async def test_it_is_nothing_unless_it_is_asked_for() -> None:
    """SECURITY T-20."""
    async with world() as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        assert (await ask(guard, headers=carrying(tokens["token"]))).status == 401
        answer = await ask(guard, "/members", tokens, headers=carrying("garbage"))
        assert answer.status == 200
