"""The owner's own account: names, password, address, end; and somebody who is not the owner."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from authkit_asgi.accounts import USERS
from authkit_asgi.kit import default_features
from authkit_asgi.links import LINKS
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.store.sqlite import SqliteStore
from tests.features.stories import (
    NEW_PASSWORD,
    WatchedStore,
    at_once,
    can_sign_in,
    code_of,
    post,
    seen,
    signed_in,
    user_of,
    works,
)
from tests.world import PASSWORD, Browser, World, world

OLD, NEW = "ada@example.test", "lovelace@example.test"
CHANGE = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
SHOWN = {
    "id",
    "firstname",
    "lastname",
    "username",
    "email",
    "bio",
    "isVerified",
    "isAdmin",
    "createdAt",
    "lastLoginAt",
}


async def mailed_to(town: World, email: str) -> str:
    """The token of the newest mail with one to this address."""
    mails = [mail for mail in await town.mails() if mail.to == email]
    found = [re.search(r"token=([\w-]+)", mail.text) for mail in mails]
    return [one[1] for one in found if one][-1]


async def move(town: World, browser: Browser, target: str = NEW) -> httpx2.Response:
    """Change the address, proof of the new one included."""
    asked = await browser.api("POST", "/change-email", {"newEmail": target, "password": PASSWORD})
    assert asked.status_code == 200, asked.text
    return await post(town, "/change-email/verify", {"token": await mailed_to(town, target)})


# --- names ----------------------------------------------------------------------------------


async def test_an_account_shows_its_listed_fields_and_nothing_else() -> None:
    """G-07."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            for method, path, body in (
                ("GET", "/profile", None),
                ("GET", "/session", None),
                ("PATCH", "/profile", {"bio": "x"}),
            ):
                answer = await browser.api(method, path, body)
                assert set(answer.json()["data"]["user"]) == SHOWN, path


async def test_only_what_is_given_is_changed_and_the_next_token_says_it() -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            body = {"username": "countess", "bio": "Notes\nand numbers"}
            changed = (await browser.api("PATCH", "/profile", body)).json()["data"]["user"]
            assert changed["username"] == "countess"
            assert changed["bio"] == "Notes\nand numbers"
            assert changed["firstname"] == "Ada"
            assert (await browser.get("/members")).json()["name"] == "countess"
        assert (await town.register("ada", email="two@example.test")).status_code == 201


async def test_a_username_that_is_taken_is_told() -> None:
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        async with signed_in(town, "bob") as browser:
            answer = await browser.api("PATCH", "/profile", {"username": "ADA"})
            assert code_of(answer) == (409, "username_taken")
            own = await browser.api("PATCH", "/profile", {"username": "BOB"})
            assert own.status_code == 200


@pytest.mark.parametrize(
    "planted",
    [
        {"isAdmin": True},
        {"is_admin": True},
        {"isVerified": False},
        {"id": "chosen"},
        {"email": "eve@example.test"},
        {"email_key": "eve@example.test"},
        {"password_hash": None},
        {"epoch": -1},
        {"deleted_at": 1},
        {"username_key": "root"},
        {"createdAt": "1970-01-01T00:00:00Z"},
        {"sessions": []},
    ],
    ids=lambda planted: next(iter(planted)),
)
async def test_nobody_edits_more_than_the_fields(planted: dict[str, Any]) -> None:
    """N-04."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            before = await user_of(town)
            await browser.api("PATCH", "/profile", planted)
            assert await user_of(town) == before


# --- password -------------------------------------------------------------------------------


async def test_a_new_password_ends_the_other_sessions_and_renews_this_one() -> None:
    """S-11, V-16."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as mine, signed_in(town) as other, town.browser() as copy:
            before = mine.tokens()
            answer = await mine.api("POST", "/change-password", CHANGE)
            assert answer.status_code == 200
            assert mine.tokens()["token"] != before["token"]
            assert mine.tokens()["refreshToken"] != before["refreshToken"]
            assert not await works(town, other)
            assert (await other.api("POST", "/token", {})).status_code == 401
            town.clock.pass_(hours=2)
            assert await works(town, mine)
            # A copy of this session's old tokens is worth nothing once the new ones were seen.
            copy.take_tokens(before)
            assert not await works(town, copy)
        assert not await can_sign_in(town, PASSWORD)
        assert await can_sign_in(town, NEW_PASSWORD)
        assert any("password was changed" in mail.subject for mail in await town.mails())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({**CHANGE, "currentPassword": "wrong horse"}, "wrong_password", id="wrong"),
        pytest.param({**CHANGE, "newPassword": PASSWORD}, "same_password", id="same"),
        pytest.param({**CHANGE, "newPassword": "short12"}, "invalid_input", id="short"),
        pytest.param({**CHANGE, "newPassword": "password"}, "invalid_input", id="common"),
        pytest.param({**CHANGE, "newPassword": "Lovelace99"}, "invalid_input", id="own name"),
        pytest.param({**CHANGE, "newPassword": "AuthKit2026"}, "invalid_input", id="site's name"),
        pytest.param({"newPassword": NEW_PASSWORD}, "invalid_input", id="none"),
        pytest.param({**CHANGE, "currentPassword": ""}, "invalid_input", id="empty"),
    ],
)
async def test_a_password_changes_for_its_owner_alone_and_to_a_good_one(
    body: dict[str, str], code: str
) -> None:
    """W-11, W-13, W-18."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, signed_in(town) as other:
            answer = await browser.api("POST", "/change-password", body)
            assert code_of(answer) == (400, code)
            assert "set-cookie" not in answer.headers
            assert await works(town, other)
        assert await can_sign_in(town, PASSWORD)


async def test_a_wrong_guess_never_learns_what_the_new_password_was_worth() -> None:
    """W-13: the current password is looked at first."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            body = {"currentPassword": "wrong horse", "newPassword": "wrong horse"}
            answer = await browser.api("POST", "/change-password", body)
            assert code_of(answer) == (400, "wrong_password")


async def test_of_two_changes_at_once_one_holds() -> None:
    """S-11."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as one, signed_in(town) as other:
            tabs = iter((one, other))
            passwords = iter(("the first staple", "the second staple"))

            async def ask() -> httpx2.Response:
                body = {**CHANGE, "newPassword": next(passwords)}
                return await next(tabs).api("POST", "/change-password", body)

            answers = await at_once(2, ask)
            assert sorted(answer.status_code for answer in answers) in ([200, 400], [200, 401])
            assert [await works(town, one), await works(town, other)].count(True) == 1


async def test_an_outage_leaves_the_old_password_with_all_sessions_or_the_new_with_one() -> None:
    """S-11."""
    for calls in range(12):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.person("ada")
            async with signed_in(town) as mine, signed_in(town) as other:
                store.unplug_after(calls)
                answer = await mine.api("POST", "/change-password", CHANGE)
                store.plug_in()
                assert answer.status_code in (200, 503)
                is_new = await can_sign_in(town, NEW_PASSWORD)
                assert await can_sign_in(town, PASSWORD) != is_new
                assert await works(town, other) != is_new, calls
                assert await works(town, mine), calls
                assert (await mine.api("POST", "/token", {})).status_code == 200


# --- address --------------------------------------------------------------------------------


async def test_nothing_changes_before_the_new_address_is_proved() -> None:
    """V-13: the old address is told of the wish already."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            before = await user_of(town)
            body = {"newEmail": NEW, "password": PASSWORD}
            assert (await browser.api("POST", "/change-email", body)).status_code == 200
            assert await user_of(town) == before
            assert not await can_sign_in(town, PASSWORD, NEW)
        told = [mail.to for mail in await town.mails()]
        assert sorted(told[-2:]) == [OLD, NEW]


async def test_a_proved_address_replaces_the_old_one_which_is_told() -> None:
    """V-13, V-16."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            assert (await move(town, browser)).status_code == 200
            assert await works(town, browser)
        assert await can_sign_in(town, PASSWORD, NEW)
        assert not await can_sign_in(town, PASSWORD, OLD)
        last = (await town.mails())[-1]
        assert last.to == OLD
        assert "/user/change-email/revert?token=" in last.text
        assert NEW not in last.text


async def test_a_change_needs_the_password() -> None:
    """S-18, V-13."""
    async with world() as town:
        await town.person("ada")
        mails = len(await town.mails())
        async with signed_in(town) as browser:
            answer = await browser.api("POST", "/change-email", {"newEmail": NEW, "password": "no"})
            assert code_of(answer) == (400, "wrong_password")
            same = {"newEmail": "ADA@example.test", "password": PASSWORD}
            assert code_of(await browser.api("POST", "/change-email", same))[1] == "invalid_input"
        assert len(await town.mails()) == mails


async def test_whether_the_new_address_has_an_account_is_told_to_nobody() -> None:
    """E-03, E-06."""
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        async with signed_in(town) as browser:
            answers = [
                await browser.api("POST", "/change-email", {"newEmail": to, "password": PASSWORD})
                for to in ("bob@example.test", NEW)
            ]
            assert seen(answers[0]) == seen(answers[1])
        assert [mail.to for mail in await town.mails()].count("bob@example.test") == 1


async def test_a_pending_change_never_tells_whether_the_next_address_has_an_account() -> None:
    """E-03, V-07: asking for another address voids the first link, taken or not."""
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        for other in ("bob@example.test", "free@example.test"):
            async with signed_in(town) as browser:
                for to in (NEW, other):
                    body = {"newEmail": to, "password": PASSWORD}
                    assert (await browser.api("POST", "/change-email", body)).status_code == 200
                token = await mailed_to(town, NEW)
                answer = await post(town, "/change-email/verify", {"token": token})
                assert code_of(answer) == (400, "link_invalid"), other


async def test_an_address_that_somebody_took_meanwhile_stays_theirs() -> None:
    """V-13."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await browser.api("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD})
            token = await mailed_to(town, NEW)
            await town.person("eve", email=NEW)
            answer = await post(town, "/change-email/verify", {"token": token})
            assert code_of(answer) == (400, "link_invalid")
        assert (await user_of(town, NEW)).username == "eve"
        assert (await user_of(town, OLD)).username == "ada"


async def moved_on(town: World, browser: Browser) -> None:
    body = {"newEmail": "further@example.test", "password": PASSWORD}
    assert (await browser.api("POST", "/change-email", body)).status_code == 200
    token = await mailed_to(town, "further@example.test")
    assert (await post(town, "/change-email/verify", {"token": token})).status_code == 200


async def ended_all(town: World, browser: Browser) -> None:
    assert (await browser.api("DELETE", "/sessions")).status_code == 200


async def changed_password(town: World, browser: Browser) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "the thief's own phrase"}
    assert (await browser.api("POST", "/change-password", body)).status_code == 200


async def squatted(town: World, browser: Browser) -> None:
    assert (await town.register("squatter", email=OLD)).status_code == 201


@pytest.mark.parametrize("trick", [moved_on, ended_all, changed_password, squatted])
async def test_no_trick_of_the_thief_voids_the_way_back(
    trick: Callable[[World, Browser], Awaitable[None]],
) -> None:
    """V-13: the thief knows the password, and has moved the account away."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as thief:
            assert (await move(town, thief)).status_code == 200
            back = await mailed_to(town, OLD)
            await trick(town, thief)
            answer = await post(town, "/change-email/revert", {"token": back})
            assert answer.status_code == 200, answer.text
            town.clock.pass_(seconds=2)
            assert not await works(town, thief)
        owner = await user_of(town, OLD)
        assert (owner.username, owner.password_hash) == ("ada", None)


async def test_the_older_way_back_wins() -> None:
    """V-13: from the second move on the thief holds a way back, too."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as thief:
            await move(town, thief)
            owners = await mailed_to(town, OLD)
            town.clock.pass_(seconds=1)
            await moved_on(town, thief)
            thiefs = await mailed_to(town, NEW)
        assert (await post(town, "/change-email/revert", {"token": owners})).status_code == 200
        answer = await post(town, "/change-email/revert", {"token": thiefs})
        assert code_of(answer) == (400, "link_invalid")
        assert (await user_of(town, OLD)).username == "ada"


async def test_an_account_that_proved_nothing_blocks_no_address() -> None:
    """V-14: whoever proves the mailbox has it."""
    async with world() as town:
        await town.person("ada")
        assert (await town.register("squatter", email=NEW)).status_code == 201
        async with signed_in(town) as browser:
            assert (await move(town, browser)).status_code == 200
        assert (await user_of(town, NEW)).username == "ada"


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_many_proofs_by_one_link_one_counts(kind: str, tmp_path: Path) -> None:
    """V-04: and the way back that was mailed still leads back."""
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "rows.db")
    features = [feature for feature in default_features() if feature.name != "limits"]
    async with world(store=store, features=features) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await browser.api("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD})
        token = await mailed_to(town, NEW)
        answers = await at_once(100, lambda: post(town, "/change-email/verify", {"token": token}))
        assert [answer.status_code for answer in answers].count(200) == 1
        back = await mailed_to(town, OLD)
        answers = await at_once(100, lambda: post(town, "/change-email/revert", {"token": back}))
        assert [answer.status_code for answer in answers].count(200) == 1
        assert (await user_of(town, OLD)).username == "ada"


async def test_the_proof_of_one_account_changes_no_cookie_of_another() -> None:
    async with world() as town:
        await town.person("ada")
        await town.person("bob")
        async with signed_in(town) as browser, signed_in(town, "bob") as bob:
            await browser.api("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD})
            token = await mailed_to(town, NEW)
            answer = await bob.api("POST", "/change-email/verify", {"token": token})
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            assert (await bob.get("/members")).json()["name"] == "bob"


async def test_a_change_of_address_voids_every_open_link() -> None:
    """V-06, V-08."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await post(town, "/forgot-password/sent", {"email": OLD})
            reset = await mailed_to(town, OLD)
            assert (await move(town, browser)).status_code == 200
            body = {"token": reset, "password": NEW_PASSWORD}
            answer = await post(town, "/forgot-password/verify", body)
            assert code_of(answer) == (400, "link_invalid")


@pytest.mark.parametrize("way", ["change-password", "reset", "log out everywhere", "delete"])
async def test_whatever_ends_all_sessions_voids_a_pending_change(way: str) -> None:
    """V-08."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await browser.api("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD})
            pending = await mailed_to(town, NEW)
            if way == "change-password":
                await browser.api("POST", "/change-password", CHANGE)
            elif way == "reset":
                await post(town, "/forgot-password/sent", {"email": OLD})
                body = {"token": await mailed_to(town, OLD), "password": NEW_PASSWORD}
                await post(town, "/forgot-password/verify", body)
            elif way == "delete":
                await browser.api("POST", "/delete-account", {"password": PASSWORD})
            else:
                await browser.api("DELETE", "/sessions?all=true")
        answer = await post(town, "/change-email/verify", {"token": pending})
        assert code_of(answer) == (400, "link_invalid")


async def test_the_way_back_ends_every_session_and_the_password_of_whoever_moved_it() -> None:
    """V-13: who changed the address knew the password, so the password goes as well."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as thief:
            await move(town, thief)
            back = await mailed_to(town, OLD)
            town.clock.pass_(hours=48)
            answer = await post(town, "/change-email/revert", {"token": back})
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            assert not await works(town, thief)
            assert (await thief.api("POST", "/token", {})).status_code == 401
        for email in (OLD, NEW):
            assert not await can_sign_in(town, PASSWORD, email)
        await post(town, "/forgot-password/sent", {"email": OLD})
        body = {"token": await mailed_to(town, OLD), "password": NEW_PASSWORD}
        assert (await post(town, "/forgot-password/verify", body)).status_code == 200
        assert await can_sign_in(town, NEW_PASSWORD)
        again = await post(town, "/change-email/revert", {"token": back})
        assert code_of(again) == (400, "link_invalid")


async def test_an_outage_leaves_the_old_address_or_the_new_one() -> None:
    """S-11, V-13: whole accounts, at one address, that open with the password."""
    for calls in range(12):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.person("ada")
            async with signed_in(town) as browser:
                store.unplug_after(calls)
                body = {"newEmail": NEW, "password": PASSWORD}
                asked = await browser.api("POST", "/change-email", body)
                store.plug_in()
                if asked.status_code != 200:
                    assert (await browser.api("POST", "/change-email", body)).status_code == 200
                token = await mailed_to(town, NEW)
                store.unplug_after(calls)
                await post(town, "/change-email/verify", {"token": token})
                store.plug_in()
                at_new = await can_sign_in(town, PASSWORD, NEW)
                assert await can_sign_in(town, PASSWORD, OLD) != at_new, calls
                assert await works(town, browser)
                again = await post(town, "/change-email/verify", {"token": token})
                assert (again.status_code == 200) != at_new


# --- end ------------------------------------------------------------------------------------


async def test_a_deleted_account_leaves_no_trace_and_frees_both_names() -> None:
    """V-08, S-12, G-07."""
    store = MemoryStore()
    async with world(store=store) as town:
        await town.person("ada")
        user = await user_of(town)
        async with signed_in(town) as mine, signed_in(town) as other:
            await mine.api("PATCH", "/profile", {"bio": "I wrote the notes"})
            await mine.api("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD})
            await post(town, "/forgot-password/sent", {"email": OLD})
            reset = await mailed_to(town, OLD)
            answer = await mine.api("POST", "/delete-account", {"password": PASSWORD})
            assert answer.status_code == 200
            assert not mine.tokens()
            assert not await works(town, other)
            assert (await other.api("POST", "/token", {})).status_code == 401
        [shell] = await store.find(USERS, {})
        for trace in (
            "Ada",
            "Lovelace",
            "ada",
            OLD,
            NEW,
            "notes",
            "$bcrypt",
            "127.0.0.1",
            "Firefox",
        ):
            assert trace not in f"{shell!r}{shell.email}{shell.email_key}{shell.password_hash}"
        for table in (SESSIONS, LINKS):
            assert await store.count(table, {"user_id": user.id}) == 0
        body = {"token": reset, "password": NEW_PASSWORD}
        assert (await post(town, "/forgot-password/verify", body)).status_code == 400
        assert not await can_sign_in(town, PASSWORD)
        farewell = (await town.mails())[-1]
        assert (farewell.to, "deleted" in farewell.subject) == (OLD, True)
        await town.person("ada")
        assert (await user_of(town)).id != user.id


async def test_an_account_is_deleted_by_its_owner_alone() -> None:
    """S-18."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            answer = await browser.api("POST", "/delete-account", {"password": "wrong horse"})
            assert code_of(answer) == (400, "wrong_password")
            assert await works(town, browser)


async def test_an_outage_leaves_the_account_or_nothing_of_it() -> None:
    """S-11."""
    for calls in range(10):
        store = WatchedStore(MemoryStore())
        async with world(store=store) as town:
            await town.person("ada")
            async with signed_in(town) as browser, signed_in(town) as other:
                store.unplug_after(calls)
                answer = await browser.api("POST", "/delete-account", {"password": PASSWORD})
                store.plug_in()
                assert answer.status_code in (200, 503)
                is_gone = answer.status_code == 200
                assert await can_sign_in(town, PASSWORD) != is_gone
                assert await works(town, other) != is_gone, calls
                if is_gone:
                    await town.person("ada")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/profile", None),
        ("PATCH", "/profile", {"bio": "x"}),
        ("POST", "/change-password", CHANGE),
        ("POST", "/change-email", {"newEmail": NEW, "password": PASSWORD}),
        ("POST", "/delete-account", {"password": PASSWORD}),
    ],
)
async def test_what_is_the_owners_needs_a_session(
    method: str, path: str, body: dict[str, str] | None
) -> None:
    """P-01: also when the API is mounted without the middleware."""
    async with world() as town:
        await town.person("ada")
        async with town.browser() as visitor:
            assert code_of(await visitor.api(method, path, body)) == (401, "not_signed_in")
        async with Browser(town.kit.api) as bare:
            answer = await bare.request(method, path, json=body)
            assert code_of(answer) == (401, "not_signed_in")
        assert await can_sign_in(town, PASSWORD)
