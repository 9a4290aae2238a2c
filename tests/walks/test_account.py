"""From the first form to the last sign-out: whole stories of one account, over HTTP."""

from __future__ import annotations

from tests.world import PASSWORD, registration, world

NEW_PASSWORD = "a quite different phrase"


async def test_a_day_with_an_account() -> None:
    async with world() as w, w.browser() as ada:
        registered = await ada.api("POST", "/register", registration())
        assert registered.status_code == 201
        too_early = await ada.sign_in()
        assert too_early.json()["code"] == "email_not_verified"
        token = await w.mailed_token()
        assert (await ada.api("POST", "/user-verify", {"token": token})).status_code == 200
        assert (await ada.api("POST", "/user-verify", {"token": token})).status_code == 400

        before = await ada.navigate("/members/area?tab=2")
        assert before.status_code == 303
        assert before.headers["location"] == "/user/login?next=/members/area%3Ftab%3D2"
        assert (await ada.sign_in()).status_code == 200
        here = (await ada.navigate("/members/area")).json()
        assert (here["name"], here["signedIn"]) == ("ada", True)
        assert here["scopes"] == ["authenticated", "verified"]
        dashboard = await ada.navigate("/user/dashboard")
        assert dashboard.status_code == 200
        assert "ada" in dashboard.text

        first = ada.tokens()
        w.clock.pass_(hours=5)
        silently = await ada.navigate("/members/area")
        assert silently.json()["signedIn"]
        assert ada.tokens().keys() == first.keys()
        assert all(ada.tokens()[name] != first[name] for name in first)
        assert silently.json()["cookies"] == ada.tokens()  # the app sees the new ones
        assert silently.headers["cache-control"] == "private, no-store"

        assert (await ada.api("POST", "/logout")).status_code == 200
        assert ada.tokens() == {}
        assert (await ada.navigate("/members/area")).status_code == 303
        assert w.ear.names() == [
            "Registered",
            "SignInFailed",
            "EmailVerified",
            "SignedIn",
            "SessionRefreshed",
            "SignedOut",
        ]


async def test_a_forgotten_password_ends_everything_that_was() -> None:
    async with world() as w, w.browser() as laptop, w.browser() as phone:
        await w.person()
        assert (await laptop.sign_in()).status_code == 200
        assert (await phone.sign_in()).status_code == 200

        await laptop.api("POST", "/forgot-password/sent", {"email": "ada@example.test"})
        old_link = await w.mailed_token()
        await laptop.api("POST", "/forgot-password/sent", {"email": "ada@example.test"})
        link = await w.mailed_token()
        body = {"token": old_link, "password": NEW_PASSWORD}
        refused = await laptop.api("POST", "/forgot-password/verify", body)
        assert refused.json()["code"] == "link_invalid"
        reset = await laptop.api("POST", "/forgot-password/verify", {**body, "token": link})
        assert reset.status_code == 200
        again = await laptop.api("POST", "/forgot-password/verify", {**body, "token": link})
        assert again.json()["code"] == "link_invalid"

        for browser in (laptop, phone):
            assert (await browser.get("/members")).status_code == 401
            assert browser.tokens() == {}
        assert (await laptop.sign_in(password=PASSWORD)).status_code == 401
        assert (await laptop.sign_in(password=NEW_PASSWORD)).status_code == 200
        assert (await laptop.get("/members")).status_code == 200
        assert (await w.mails())[-1].subject == "Your AuthKit password was changed"


async def test_a_stolen_address_is_taken_back() -> None:
    """A thief who knows the password moves the account away; its owner reads the old mailbox."""
    async with world() as w, w.browser() as thief, w.browser() as owner:
        await w.person()
        assert (await thief.sign_in()).status_code == 200
        body = {"newEmail": "eve@example.test", "password": PASSWORD}
        assert (await thief.api("POST", "/change-email", body)).status_code == 200
        told = {mail.to for mail in (await w.mails())[-2:]}
        assert told == {"eve@example.test", "ada@example.test"}
        (to_eve,) = [mail for mail in await w.mails() if mail.to == "eve@example.test"]
        w.mailbox.mails.append(to_eve)  # the newest mail, to be read next
        token = await w.mailed_token()
        assert (
            await thief.api("POST", "/change-email/verify", {"token": token})
        ).status_code == 200
        profile = await thief.api("GET", "/profile")
        assert profile.json()["data"]["user"]["email"] == "eve@example.test"
        assert (await thief.get("/members")).status_code == 200

        w.clock.pass_(hours=48)
        token = await w.mailed_token()  # the last mail went to the old address
        assert (await w.mails())[-1].to == "ada@example.test"
        reverted = await owner.api("POST", "/change-email/revert", {"token": token})
        assert reverted.status_code == 200
        assert (await thief.get("/members")).status_code == 401
        assert (await thief.sign_in("eve@example.test")).status_code == 401
        assert (await thief.sign_in("ada@example.test")).status_code == 401

        await owner.api("POST", "/forgot-password/sent", {"email": "ada@example.test"})
        link = {"token": await w.mailed_token(), "password": NEW_PASSWORD}
        assert (await owner.api("POST", "/forgot-password/verify", link)).status_code == 200
        assert (await owner.sign_in(password=NEW_PASSWORD)).status_code == 200
        assert (await owner.get("/members")).status_code == 200
