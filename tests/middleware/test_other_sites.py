"""SECURITY X-01…X-05: what another site's page sends with our cookies changes nothing."""

from __future__ import annotations

import pytest

from authkit_asgi import PathRules
from authkit_asgi.middleware import AuthMiddleware
from tests.middleware.knocking import (
    FOREIGN_FORM,
    NAVIGATION,
    OWN_FORM,
    App,
    ask,
    visitor,
)
from tests.world import World, world

RULES = PathRules(public=["/open", "/open/*"])


def guarded(here: World) -> tuple[AuthMiddleware, App]:
    app = App()
    return AuthMiddleware(app, kit=here.kit, rules=RULES), app


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "post", "FOO"])
async def test_they_change_nothing_on_protected_paths(method: str) -> None:
    """SECURITY X-01, X-02, X-05."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        for headers in (
            FOREIGN_FORM,
            {"sec-fetch-site": "same-site"},
            {"origin": "null"},
            {"origin": "http://localhost:8000.evil.example"},
            {"referer": "https://evil.example/http://localhost:8000/"},
            {"sec-fetch-site": "cross-site", "origin": "http://localhost:8000"},
        ):
            answer = await ask(guard, "/members", tokens, method=method, headers=headers)
            assert (answer.status, answer.code) == (403, "cross_site"), headers
        assert app.seen == []
        assert "CrossSiteRefused" in here.ear.names()
        for headers in (
            OWN_FORM,
            {"origin": "http://localhost:8000"},
            {"referer": "http://localhost:8000/x"},
        ):
            assert (
                await ask(guard, "/members", tokens, method=method, headers=headers)
            ).status == 200


async def test_a_site_that_we_trust_may() -> None:
    async with world(trusted_origins=("https://app.example",)) as here:
        guard, _ = guarded(here)
        tokens = await visitor(here)
        for origin, status in (("https://app.example", 200), ("https://app.example:8443", 403)):
            headers = {"sec-fetch-site": "cross-site", "origin": origin}
            answer = await ask(guard, "/members", tokens, method="POST", headers=headers)
            assert answer.status == status


async def test_a_link_from_anywhere_may() -> None:
    async with world() as here:
        guard, _ = guarded(here)
        headers = {**NAVIGATION, "sec-fetch-site": "cross-site"}
        assert (await ask(guard, "/members", await visitor(here), headers=headers)).status == 200


async def test_a_form_that_refreshed_keeps_its_tokens_when_refused() -> None:
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        here.clock.pass_(hours=1.1)
        answer = await ask(guard, "/members", tokens, method="POST", headers=FOREIGN_FORM)
        assert (answer.status, len(answer.cookies)) == (403, 2)
        assert (await ask(guard, "/members", answer.cookies)).status == 200
        assert len(app.seen) == 1


async def test_on_public_paths_they_ask_in_nobodys_name() -> None:
    """SECURITY X-01: a sister domain sends our cookies along, for SameSite takes it for us."""
    async with world() as here:
        guard, app = guarded(here)
        tokens = await visitor(here)
        for headers, signed_in in (({"sec-fetch-site": "same-site"}, False), (OWN_FORM, True)):
            answer = await ask(guard, "/open/page", tokens, method="POST", headers=headers)
            assert answer.status == 200
            assert app.scope["user"].is_authenticated is signed_in
        here.clock.pass_(hours=1.1)
        foreign = {"sec-fetch-site": "same-site"}
        late = await ask(guard, "/open/page", tokens, method="POST", headers=foreign)
        assert not app.scope["user"].is_authenticated
        assert (await ask(guard, "/members", late.cookies)).status == 200
