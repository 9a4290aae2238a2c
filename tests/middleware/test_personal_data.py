"""What of a person stands in the cookies, where everybody who finds them can read it."""

from __future__ import annotations

import base64

import pytest

from tests.middleware.knocking import owner_of, visitor
from tests.world import world


def read_by_anybody(token: str) -> str:
    segment = token.split(".")[1]
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode()


@pytest.mark.parametrize(
    ("claims", "cookies"),
    [
        pytest.param("", ("token", "refreshToken"), id="C-12 none when told so"),
        pytest.param("username,email", ("refreshToken",), id="C-12 never in the refresh token"),
    ],
)
async def test_cookies_can_be_without_personal_data(claims: str, cookies: tuple[str, ...]) -> None:
    """SECURITY C-12: of what people wrote into their account, nothing."""
    async with world(token_claims=claims) as here:
        tokens = await visitor(here)
        user = await owner_of(here, tokens)
        personal = (user.email, user.username, user.firstname, user.lastname)
        assert user.username == "ada"
        for cookie in cookies:
            said = read_by_anybody(tokens[cookie]).lower()
            for one in personal:
                assert f'"{one.lower()}"' not in said
            assert "@" not in said
        if claims:
            assert user.email in read_by_anybody(tokens["token"])
