"""The pages, as a browser without JavaScript has them: everything here is links and forms."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

import authkit_asgi.web
from authkit_asgi.features.login import Login
from tests.world import PASSWORD, Browser, World, registration, world

ASSETS = Path(authkit_asgi.web.__file__).parent / "assets"
NEW_PASSWORD = "another good phrase"

FOR_VISITORS = (
    "/login",
    "/register",
    "/verify",
    "/verify-token",
    "/verify-token?token=abc",
    "/reset-password",
    "/reset-password/verify",
    "/reset-password/verify?token=abc",
    "/change-email/verify",
    "/change-email/verify?token=abc",
    "/change-email/revert",
    "/change-email/revert?token=abc",
    "/logout",
)
FOR_MEMBERS = (
    "/dashboard",
    "/dashboard/settings",
    "/dashboard/settings/security",
    "/dashboard/settings/email",
    "/dashboard/settings/delete",
    "/dashboard/settings/sessions",
    "/dashboard/settings/sessions/others",
)
LINK_PAGES = (
    "/verify-token",
    "/reset-password/verify",
    "/change-email/verify",
    "/change-email/revert",
)


class Form:
    def __init__(self, attributes: dict[str, str]) -> None:
        self.method = attributes["method"]
        self.action = attributes["action"]
        self.values: dict[str, str] = {}
        self.ticks: set[str] = set()


class Document(HTMLParser):
    """What a page is made of: its elements, and its forms with what stands in them."""

    def __init__(self, page: httpx2.Response) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.inline: list[str] = []
        self._open = ""
        self._area = ""
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self._open = tag
        name = attributes.get("name", "")
        if tag == "form":
            self.forms.append(Form(attributes))
        elif tag == "input" and attributes.get("type") == "checkbox":
            self.forms[-1].ticks.add(name)
        elif tag in ("input", "textarea") and name:
            self.forms[-1].values[name] = attributes.get("value", "")
            self._area = name

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)
        if self._open == "textarea":
            self.forms[-1].values[self._area] = data.removeprefix("\n")

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str]:
        return [link["href"] for link in self.all("a")]

    def main_form(self) -> Form:
        return next(form for form in self.forms if not form.action.endswith("/logout"))


async def press(
    browser: Browser, page: httpx2.Response, form: Form | None = None, /, **typed: str
) -> httpx2.Response:
    """Fill in the page's form, and press its button. Follows the redirect, as browsers do."""
    form = form or Document(page).main_form()
    assert typed.keys() <= form.values.keys() | form.ticks
    assert form.method == "post"
    return await browser.post(form.action, data={**form.values, **typed}, follow_redirects=True)


async def sign_in(browser: Browser, path: str = "/user/login", **typed: str) -> httpx2.Response:
    page = await browser.get(path)
    return await press(browser, page, email="ada@example.test", **{"password": PASSWORD, **typed})


async def mailed_link(one: World) -> str:
    text = (await one.mails())[-1].text
    found = re.search(r"http://localhost:8000(/\S+token=\S+)", text)
    assert found, text
    return found[1]


def assert_is_a_good_page(page: httpx2.Response) -> None:
    document = Document(page)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "private, no-store"
    assert document.inline == []
    assert document.all("style") == []
    for _, attributes in document.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    for tag, name in (("script", "src"), ("link", "href"), ("a", "href"), ("form", "action")):
        for element in document.all(tag):
            assert element[name].startswith(("/user/", "#")), element
    assert len(document.all("h1")) == 1
    labelled = {label["for"] for label in document.all("label") if "for" in label}
    for field in document.all("input") + document.all("textarea"):
        if "hidden" not in (field.get("type"), *field) and field.get("type") != "checkbox":
            assert field["id"] in labelled
    described = {part for one in document.all("input") for part in _words(one, "aria-describedby")}
    assert described <= {attributes.get("id") for _, attributes in document.elements}


def _words(attributes: dict[str, str], name: str) -> list[str]:
    return attributes.get(name, "").split()


@pytest.mark.parametrize("path", FOR_VISITORS)
async def test_a_visitor_sees_a_page_with_nothing_inline_or_foreign(path: str) -> None:
    """SECURITY K-07, F-01, F-03."""
    async with world() as one, one.browser() as browser:
        page = await browser.get(f"/user{path}")
        assert page.status_code == 200
        assert_is_a_good_page(page)


async def test_every_page_of_a_member_is_good_and_lets_sign_out() -> None:
    """SECURITY F-05, K-07, F-01, F-03: the pages that are for anybody let sign out too."""
    async with world() as one, one.browser() as browser:
        await one.person()
        await sign_in(browser)
        listed = Document(await browser.get("/user/dashboard/settings/sessions")).links()
        ends = [link.removeprefix("/user") for link in listed if "/sessions/end/" in link]
        assert len(ends) == 1
        public = [path for path in FOR_VISITORS if path not in ("/login", "/register")]
        for path in (*FOR_MEMBERS, *ends, *public):
            page = await browser.get(f"/user{path}")
            assert page.status_code == 200, path
            assert_is_a_good_page(page)
            assert "/user/logout" in [form.action for form in Document(page).forms], path


@pytest.mark.parametrize(
    ("file", "media_type"),
    [("authkit.css", "text/css"), ("authkit-pages.js", "text/javascript")],
)
async def test_the_assets_are_there_for_anybody(file: str, media_type: str) -> None:
    async with world() as one, one.browser() as browser:
        asset = await browser.get(f"/user/assets/{file}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith(media_type)
        assert "http" not in asset.text  # nothing is loaded from elsewhere (SECURITY F-03)


async def test_the_life_of_an_account_needs_no_script() -> None:
    async with world() as one, one.browser() as browser:
        page = await press(browser, await browser.get("/user/register"), **registration())
        assert page.url.path == "/user/verify"
        assert "Check your mail" in page.text

        page = await press(browser, await browser.get(await mailed_link(one)))
        assert page.url.path == "/user/login"
        assert "Your e-mail address is confirmed." in page.text

        page = await press(
            browser, page, email="ada@example.test", password=PASSWORD, rememberMe="on"
        )
        assert page.url.path == "/user/dashboard"
        assert "Ada Lovelace" in page.text

        page = await browser.get("/user/dashboard/settings/security")
        page = await press(browser, page, currentPassword=PASSWORD, newPassword=NEW_PASSWORD)
        assert page.url.path == "/user/dashboard/settings/security"
        assert "Your password is changed." in page.text

        page = await browser.get("/user/dashboard/settings")
        page = await press(browser, page, bio="Counts.\nAnd how!")
        assert "Saved." in page.text
        assert Document(page).main_form().values["bio"] == "Counts.\nAnd how!"

        sign_out = Document(page).forms[0]
        page = await press(browser, page, sign_out)
        assert page.url.path == "/user/login"
        assert "You are signed out." in page.text
        assert (await browser.get("/user/dashboard")).status_code == 401


async def test_a_forgotten_password_is_set_anew() -> None:
    async with world() as one, one.browser() as browser:
        await one.person()
        page = await browser.get("/user/reset-password")
        page = await press(browser, page, email="ada@example.test")
        assert "Check your mail" in page.text
        page = await browser.get(await mailed_link(one))
        page = await press(browser, page, password=NEW_PASSWORD)
        assert "Your new password is set." in page.text
        assert (await sign_in(browser, password=NEW_PASSWORD)).url.path == "/user/dashboard"


async def test_an_address_is_moved_and_taken_back() -> None:
    async with world() as one, one.browser() as browser:
        await one.person()
        await sign_in(browser)
        page = await browser.get("/user/dashboard/settings/email")
        page = await press(browser, page, newEmail="eve@example.test", password=PASSWORD)
        assert "We have sent a link to your new address." in page.text
        [to_new] = [mail for mail in await one.mails() if mail.to == "eve@example.test"]
        path = re.search(r"/user/\S+token=\S+", to_new.text)
        assert path
        page = await press(browser, await browser.get(path[0]))
        assert page.url.path == "/user/dashboard"
        assert "eve@example.test" in page.text
        page = await press(browser, await browser.get(await mailed_link(one)))
        assert page.url.path == "/user/reset-password"
        assert (await browser.get("/user/dashboard")).status_code == 401


async def test_sessions_are_ended_one_by_one_and_all_at_once() -> None:
    async with world() as one, one.browser() as here:
        await one.person()
        await sign_in(here)
        elsewhere = [one.browser(user_agent=f"Firefox/15{number} Windows") for number in range(3)]
        for browser in elsewhere:
            await sign_in(browser)
        page = await here.get("/user/dashboard/settings/sessions")
        ends = [link for link in Document(page).links() if "/sessions/end/" in link]
        assert len(ends) == 4
        assert page.text.count("This device") == 1
        assert "Firefox on Windows" in page.text

        page = await press(here, await here.get(ends[-1]))  # this device is the first
        assert "That session is over." in page.text
        one.clock.pass_(seconds=2)
        left = [await browser.get("/user/dashboard") for browser in elsewhere]
        assert sorted(answer.status_code for answer in left) == [200, 200, 401]

        page = await press(here, await here.get("/user/dashboard/settings/sessions/others"))
        assert "Those sessions are over." in page.text
        one.clock.pass_(seconds=2)
        left = [await browser.get("/user/dashboard") for browser in (here, *elsewhere)]
        assert [answer.status_code for answer in left] == [200, 401, 401, 401]
        for browser in elsewhere:
            await browser.aclose()


async def test_an_account_is_deleted() -> None:
    async with world() as one, one.browser() as browser:
        await one.person()
        await sign_in(browser)
        page = await browser.get("/user/dashboard/settings/delete")
        page = await press(browser, page, password=PASSWORD)
        assert page.url.path == "/user/login"
        assert "Your account is deleted." in page.text
        assert (await sign_in(browser)).status_code == 401


REFUSED: list[Any] = [
    pytest.param(
        "/login",
        {"email": "ada@example.test", "password": "not-it-at-all"},
        (401, ""),
        id="login, wrong password",
    ),
    pytest.param(
        "/register",
        registration("eve", password="not-long"[:7]),
        (400, "password"),
        id="register, short password",
    ),
    pytest.param(
        "/register",
        registration("ada", email="x@example.test", password="not-it-at-all"),
        (409, "username"),
        id="register, username taken",
    ),
    pytest.param("/verify", {"email": "nobody"}, (400, "email"), id="verify, no address"),
    pytest.param(
        "/dashboard/settings/security",
        {"currentPassword": "not-it-at-all", "newPassword": NEW_PASSWORD},
        (400, "currentPassword"),
        id="change password, wrong one",
    ),
    pytest.param(
        "/dashboard/settings/security",
        {"currentPassword": PASSWORD, "newPassword": PASSWORD},
        (400, "newPassword"),
        id="change password, same one",
    ),
    pytest.param(
        "/dashboard/settings",
        {"username": "-"},
        (400, "username"),
        id="profile, bad username",
    ),
    pytest.param(
        "/dashboard/settings/email",
        {"newEmail": "new@example.test", "password": "not-it-at-all"},
        (400, "password"),
        id="change address, wrong password",
    ),
    pytest.param(
        "/dashboard/settings/delete",
        {"password": "not-it-at-all"},
        (400, "password"),
        id="delete, wrong password",
    ),
]


@pytest.mark.parametrize(("path", "typed", "told"), REFUSED)
async def test_a_refused_form_comes_back_with_the_reason_and_without_the_password(
    path: str, typed: dict[str, str], told: tuple[int, str]
) -> None:
    """SECURITY W-16. The field that is wrong is marked, and its reason is tied to it."""
    status, field = told
    async with world() as one, one.browser() as browser:
        await one.person()
        if path.startswith("/dashboard"):
            await sign_in(browser)
        page = await press(browser, await browser.get(f"/user{path}"), **typed)
        document = Document(page)
        assert page.status_code == status
        assert_is_a_good_page(page)
        assert 'role="alert"' in page.text
        marked = [one["name"] for one in document.all("input") if "aria-invalid" in one]
        assert marked == ([field] if field else [])
        for name, value in typed.items():
            if "assword" in name:
                assert value not in page.text
            else:
                assert document.main_form().values[name] == value


@pytest.mark.parametrize(
    ("wanted", "lands_on"),
    [
        pytest.param("/members?a=1", "/members", id="this site"),
        pytest.param("//evil.example/", "/user/dashboard", id="another site"),
        pytest.param("https://evil.example/", "/user/dashboard", id="another site in full"),
        pytest.param("/%5Cevil.example", "/user/dashboard", id="a backslash, encoded"),
        pytest.param("javascript:alert(1)", "/user/dashboard", id="no path at all"),
    ],
)
async def test_a_sign_in_leads_on_to_this_site_only(wanted: str, lands_on: str) -> None:
    async with world() as one, one.browser() as browser:
        await one.person()
        page = await browser.get("/user/login", params={"next": wanted})
        wrong = await press(browser, page, email="ada@example.test", password="not-it")
        page = await press(browser, wrong, email="ada@example.test", password=PASSWORD)
        assert (page.url.host, page.url.path) == ("localhost", lands_on)


async def test_looking_at_a_link_uses_nothing_up() -> None:
    """SECURITY V-09: programs that look through mails open every link, some of them twice."""
    async with world() as one, one.browser() as browser:
        await one.register()
        link = await mailed_link(one)
        for method in ("HEAD", "GET", "OPTIONS", "GET"):
            await browser.request(method, link)
        page = await press(browser, await browser.get(link))
        assert "Your e-mail address is confirmed." in page.text


async def test_a_used_link_says_so_and_offers_another() -> None:
    async with world() as one, one.browser() as browser:
        await one.register()
        link = await mailed_link(one)
        first = await browser.get(link)
        await press(browser, first)
        again = await press(browser, first)
        assert again.status_code == 400
        assert "This link is not valid" in again.text
        assert "/user/verify" in Document(again).links()
        assert Document(again).forms == []


@pytest.mark.parametrize("path", LINK_PAGES)
async def test_a_page_with_a_token_tells_nobody_and_one_without_says_what_to_do(path: str) -> None:
    """SECURITY K-05."""
    async with world() as one, one.browser() as browser:
        page = await browser.get(f"/user{path}", params={"token": "abc"})
        assert page.headers["referrer-policy"] == "no-referrer"
        assert Document(page).main_form().values["token"] == "abc"
        assert "abc" not in Document(page).main_form().action
        empty = await browser.get(f"/user{path}")
        assert Document(empty).forms == []
        assert "Open the link in the" in empty.text


async def test_an_unproved_address_is_offered_another_mail_at_sign_in() -> None:
    async with world() as one, one.browser() as browser:
        await one.register()
        page = await sign_in(browser)
        assert page.status_code == 403
        assert "/user/verify" in Document(page).links()


async def test_an_address_cannot_fill_in_somebodys_profile() -> None:
    async with world() as one, one.browser() as browser:
        await one.person()
        await sign_in(browser)
        for path in ("/dashboard/settings", "/dashboard/settings/email"):
            query = {"username": "mallory", "newEmail": "mallory@example.test"}
            assert "mallory" not in (await browser.get(f"/user{path}", params=query)).text


async def test_what_people_write_is_only_text() -> None:
    """SECURITY F-01."""
    async with world() as one, one.browser() as browser:
        await one.person(firstname="<b>Ada</b>", lastname='"><i onclick=x>')
        page = await sign_in(browser)
        settings = await browser.get("/user/dashboard/settings")
        assert "<b>Ada" not in page.text + settings.text
        assert "<i onclick" not in page.text + settings.text
        assert Document(settings).main_form().values["firstname"] == "<b>Ada</b>"


async def test_passwords_are_for_managers_to_fill_in() -> None:
    """SECURITY W-15."""
    async with world() as one, one.browser() as browser:
        await one.person()
        await sign_in(browser)
        pages = [
            await browser.get(f"/user{path}")
            for path in ("/dashboard/settings/security", "/reset-password/verify?token=abc")
        ]
        fields = [field for page in pages for field in Document(page).all("input")]
        secret = {one["name"]: one for one in fields if "assword" in one.get("name", "")}
        assert {name: one["autocomplete"] for name, one in secret.items()} == {
            "currentPassword": "current-password",
            "newPassword": "new-password",
            "password": "new-password",
        }
        assert all(one["type"] == "password" and "value" not in one for one in secret.values())


INKS = [
    ("ink", "ground"),
    ("ink", "card"),
    ("dim", "ground"),
    ("dim", "glow"),
    ("dim", "card"),
    ("dim", "tint"),
    ("link", "ground"),
    ("link", "glow"),
    ("link", "card"),
    ("link", "tint"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("on-accent", "bad-strong"),
    ("good", "good-ground"),
    ("bad", "bad-ground"),
    ("bad", "card"),
    ("warn", "warn-ground"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), INKS)
def test_text_can_be_read(scheme: str, ink: str, ground: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1."""
    colours = _colours(scheme)
    assert _contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edge_of_a_field_can_be_seen(scheme: str) -> None:
    """WCAG 2.2, 1.4.11: a contrast of 3 to 1."""
    colours = _colours(scheme)
    assert _contrast(colours["edge"], colours["card"]) >= 3


def _colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", (ASSETS / "authkit.css").read_text(), re.DOTALL)
    text = light if scheme == "light" else light + dark
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", text))


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at:end], 16) / 255 for at, end in pairwise((0, 2, 4, 6))]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


async def test_a_page_that_is_not_there_has_the_look_of_the_others() -> None:
    async with world() as w:
        await w.person()
        async with w.browser() as browser:
            await browser.sign_in()
            missing = await browser.navigate("/user/dashboard/nothing")
            assert missing.status_code == 404
            assert "authkit.css" in missing.text
            assert "There is nothing here." in missing.text
            refused = await browser.put("/user/dashboard")
            assert refused.status_code == 405
            assert refused.headers["allow"] == "GET, HEAD"


async def test_pages_link_to_no_feature_that_is_off() -> None:
    async with world(features=[Login()]) as w, w.browser() as browser:
        page = (await browser.navigate("/user/login")).text
        assert "/user/register" not in page
        assert "/user/reset-password" not in page
