"""Mails that tell an owner what happened: often the only warning of a theft."""

from __future__ import annotations

from itertools import pairwise

from authkit_asgi.mail import Mail
from tests.features.stories import NEW_PASSWORD, post, signed_in
from tests.world import PASSWORD, World, world


async def news(town: World, since: int) -> list[Mail]:
    return (await town.mails())[since:]


async def test_a_changed_password_is_told_with_the_place_it_came_from() -> None:
    """V-16."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
            await browser.api("POST", "/change-password", body)
        [mail] = await news(town, 1)
        assert mail.to == "ada@example.test"
        assert mail.subject == "Your AuthKit password was changed"
        assert "(2027-01-15 08:00:00 UTC from 127.0.0.1)" in " ".join(mail.text.split())
        assert "http://localhost:8000/user/reset-password" in mail.text


async def test_a_copied_session_is_told_once_to_its_owner() -> None:
    """S-04, V-16."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as thief:
            stolen = browser.tokens()
            for _ in range(2):
                town.clock.pass_(hours=2)
                await browser.api("POST", "/token", {})
            for _ in range(3):
                thief.take_tokens(stolen)
                assert (await thief.api("POST", "/token", {})).status_code == 401
        [mail] = await news(town, 1)
        assert mail.subject == "We ended a session of your AuthKit account"


async def test_a_name_is_text_and_nothing_else_in_a_mail() -> None:
    """V-17."""
    async with world() as town:
        await town.person("ada", firstname='<a href="//x.test">')
        async with signed_in(town) as browser:
            body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
            await browser.api("POST", "/change-password", body)
        for mail in await town.mails():
            assert '<a href="//x.test">' not in mail.html
            assert "\n" not in mail.subject
            assert mail.to == "ada@example.test"


async def test_each_notice_has_a_key_of_its_own() -> None:
    """V-18."""
    async with world() as town:
        await town.person("ada")
        passwords = [PASSWORD, NEW_PASSWORD, PASSWORD]
        async with signed_in(town) as browser:
            for old, new in pairwise(passwords):
                town.clock.pass_(seconds=1)
                body = {"currentPassword": old, "newPassword": new}
                assert (await browser.api("POST", "/change-password", body)).status_code == 200
        keys = [mail.key for mail in await town.mails()]
        assert len(set(keys)) == len(keys)


async def test_nothing_is_told_of_what_did_not_happen() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            for path in ("/change-password", "/change-email", "/delete-account"):
                await browser.api("POST", path, {"currentPassword": "x", "password": "x"})
            body = {"currentPassword": "wrong horse", "newPassword": NEW_PASSWORD}
            await browser.api("POST", "/change-password", body)
        await post(town, "/forgot-password/verify", {"token": "x", "password": NEW_PASSWORD})
        assert await news(town, 1) == []


async def test_no_mail_holds_a_password() -> None:
    """W-16."""
    async with world() as town:
        await town.person("ada")
        await town.register("mallory", email="ada@example.test", password="mallory knows this")
        async with signed_in(town) as browser:
            body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
            await browser.api("POST", "/change-password", body)
        for mail in await town.mails():
            for password in (PASSWORD, NEW_PASSWORD, "mallory knows this"):
                assert password not in mail.text + mail.html + mail.subject
