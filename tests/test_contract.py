"""The HTTP contract, row by row: each route's good answer and each refusal that it names.

The rows are those of DESIGN section 8. What is wrong with a request before a handler sees it is
tried on every route, those of features to come included.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import httpx2
import pytest

from authkit_asgi import AuthKit
from authkit_asgi.core.paths import Access
from authkit_asgi.store import Range, Store, Table
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.routes import Route
from tests.features.stories import (
    NEW_PASSWORD,
    WatchedStore,
    code_of,
    deep,
    post,
    raw,
    seen,
    signed_in,
    user_of,
)
from tests.world import PASSWORD, Browser, registration, settings, world

FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site"},
    "a sister domain": {"sec-fetch-site": "same-site"},
    "an old browser": {"origin": "https://evil.test"},
    "a sandboxed frame": {"origin": "null"},
    "only a referer": {"referer": "https://evil.test/page"},
    "nothing but a form's type": {"content-type": "text/plain"},
    "a Host of its choice": {"host": "evil.test", "origin": "https://evil.test"},
}


def routes() -> list[Route]:
    return AuthKit(settings(), store=MemoryStore()).routes


ROUTES = routes()
UNSAFE = [route for route in ROUTES if route.method != "GET"]
WITH_BODY = [route for route in ROUTES if route.body is not None]
FIELDS = [
    pytest.param(route, field, id=f"{route.name} {field}")
    for route in WITH_BODY
    if route.body
    for field in route.body.model_fields
]
GOOD: dict[str, Any] = {
    **registration("grace"),
    "currentPassword": PASSWORD,
    "newPassword": NEW_PASSWORD,
    "newEmail": "new@example.test",
    "rememberMe": False,
    "bio": "",
    "token": "A" * 43,
}
NOT_TEXT: list[Any] = [
    {"$gt": ""},
    {"$ne": None},
    {"$where": "sleep(1000)"},
    ["ada@example.test", "eve@example.test"],
    [],
    {},
    0,
    1.5,
    10**15,
    None,
]


def named(these: Iterable[Route]) -> list[Any]:
    return [pytest.param(route, id=route.name) for route in these]


def body_of(route: Route) -> dict[str, Any] | None:
    return {name: GOOD[name] for name in route.body.model_fields} if route.body else None


async def call(browser: Browser, route: Route, **more: Any) -> httpx2.Response:
    return await browser.api(route.method, route.path.replace("{id}", "x"), **more)


# --- what is true of every route ------------------------------------------------------------


@pytest.mark.parametrize("route", named(UNSAFE))
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
async def test_another_site_changes_nothing(route: Route, headers: dict[str, str]) -> None:
    """X-01, X-02, X-04, X-09: with the owner's cookies, and without any."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as owner, town.browser() as visitor:
            await owner.api("GET", "/session")  # from now on the guard knows enough for a second
            for browser in (owner, visitor):
                del browser.headers["sec-fetch-site"]
                if route.method != "POST" and "content-type" in headers:
                    continue  # no form sends such a method
                store.asked.clear()
                content = json.dumps(body_of(route)).encode()
                sent = {"content-type": "application/json", **headers}
                answer = await call(browser, route, content=content, headers=sent)
                if browser is visitor and route.access is Access.PROTECTED:
                    assert code_of(answer) == (401, "not_signed_in")
                else:
                    assert code_of(answer) == (403, "cross_site")
                    assert town.ear.names()[-1] == "CrossSiteRefused"
                assert store.verbs == []
                assert "set-cookie" not in answer.headers


# Where strangers ask for mail. A row is written for nobody, too: time must not tell who is known.
MAILED = {"/register", "/user-verify/sent", "/forgot-password/sent"}


@pytest.mark.parametrize("route", named(ROUTES))
async def test_strangers_make_no_rows_but_by_registering(route: Route) -> None:
    """D-05: none by an address that nobody has, none by a made-up token or ticket."""
    async with world() as town, town.browser() as visitor:
        await town.kit.start()
        await call(visitor, route, json=body_of(route))
        rows = {table.name for table in town.kit.tables if await town.kit.store.count(table, {})}
    assert rows <= ({"users", "links"} if route.path in MAILED else set())


@pytest.mark.parametrize(("route", "field"), FIELDS)
async def test_what_is_no_text_reaches_no_store(route: Route, field: str) -> None:
    """N-01, N-02, V-12: in every field of every route."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            await browser.api("GET", "/session")  # from now on the guard knows enough for a second
            for value in NOT_TEXT:
                store.asked.clear()
                body = {**(body_of(route) or {}), field: value}
                answer = await call(browser, route, json=body)
                assert answer.status_code == 400, (value, answer.text)
                expected = "link_invalid" if field == "token" else "invalid_input"
                assert answer.json()["code"] in (expected, "link_invalid")
                if field != "token":
                    assert store.verbs == []
                    assert list(answer.json()["fields"]) == [field]
                assert_only_plain_values(store)


def assert_only_plain_values(store: WatchedStore) -> None:
    """No operator, no list: whatever a client sends, filters hold our own plain values."""
    for _, args, options in store.asked:
        filters = [arg for arg in (*args, *options.values()) if isinstance(arg, dict)]
        for one in filters:
            assert all(name.isidentifier() for name in one)
            values = one.values()
            assert all(v is None or isinstance(v, (str, int, float, Range, tuple)) for v in values)


BODIES = {
    "two of one key": '{"email": "ada@example.test", "email": "eve@example.test"}',
    "two of one key, one escaped": '{"email": "ada@example.test", "\\u0065mail": "x"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "not UTF-8": b'{"email": "\xff"}',
    "too deep": deep(17),
    "very deep": deep(20_000),
    "NaN": '{"email": NaN}',
    "Infinity": '{"email": -Infinity}',
    "a huge number": '{"email": 1e999}',
    "a huge integer": '{"email": 9007199254740993}',
    "half a character": '{"email": "\\ud800"}',
    "too many fields": json.dumps({str(number): 1 for number in range(101)}),
    "a list": "[]",
    "a string": '"x"',
    "null": "null",
    "nothing": "",
    "two values": "{}{}",
    "half a value": '{"email": "ada',
    "a comment": "{/* */}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_two_could_read_in_two_ways_is_read_in_none(body: str | bytes) -> None:
    """N-05, N-06."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.kit.start()
        for route in WITH_BODY:
            if route.access is Access.PROTECTED:
                continue
            answer = await post(town, route.path, **raw(body))
            assert code_of(answer) == (400, "invalid_input"), route.name
        assert store.verbs == []


@pytest.mark.parametrize("route", named(WITH_BODY))
async def test_a_body_is_json_and_small(route: Route) -> None:
    """N-06, X-06: 415 and 413."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            content = json.dumps(body_of(route))
            for content_type in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json; charset=utf-16",
                "application/jsonp",
                "",
            ):
                answer = await call(browser, route, **raw(content, content_type))
                assert code_of(answer) == (415, "wrong_media_type"), content_type
            padded = content[:-1] + " " * 65536 + "}"
            assert code_of(await call(browser, route, **raw(padded))) == (413, "too_large")


async def test_other_methods_are_refused_with_those_that_are_not() -> None:
    """N-16, X-05, X-07: no GET, HEAD or OPTIONS does what a POST is for."""
    allowed: dict[str, set[str]] = {}
    for route in ROUTES:
        allowed.setdefault(route.path, set()).add(route.method)
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            for path, methods in allowed.items():
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                    if method in methods:
                        continue
                    answer = await browser.api(method, path.replace("{id}", "x"))
                    assert code_of(answer) == (405, "method_not_allowed"), (method, path)
                    assert set(answer.headers["allow"].split(", ")) == methods
                if "GET" not in methods:
                    assert (await browser.api("HEAD", path)).status_code == 405


@pytest.mark.parametrize("path", ["/nothing", "/login/", "/sessions/x/y", "/Login", "/profile/"])
async def test_what_is_not_there_is_not_found_in_the_one_shape(path: str) -> None:
    """N-16, R-04: and nobody is sent on to a host that the request named."""
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            answer = await browser.api("GET", path, headers={"host": "evil.test"})
            assert code_of(answer) == (404, "not_found")
            assert set(answer.json()) == {"success", "error", "code"}
            assert "evil" not in str(answer.headers)
        async with Browser(town.kit.api) as bare:
            bare_answer = await bare.get(path)
            assert code_of(bare_answer) == (404, "not_found")


@pytest.mark.parametrize("route", named(ROUTES))
async def test_every_answer_has_the_one_shape_and_no_cache_keeps_it(route: Route) -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            for answer in (
                await call(browser, route, json=body_of(route)),
                await call(browser, route, **raw("{", "application/json")),
            ):
                assert "no-store" in answer.headers["cache-control"]
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["content-type"] == "application/json; charset=utf-8"
                told = answer.json()
                if route.path == "/openapi.json":
                    continue
                if told["success"]:
                    assert set(told) <= {"success", "message", "data"}
                else:
                    assert set(told) <= {"success", "error", "code", "fields", "data"}
                    assert told["error"]


@pytest.mark.parametrize("route", named(ROUTES))
async def test_a_refusal_that_comes_is_one_that_the_route_names(route: Route) -> None:
    """What `/openapi.json` says of a route is what programs meet."""
    known = {refusal.code for refusal in route.refusals}
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as visitor:
            answers = [
                await call(browser, route, json=body_of(route)),
                await call(visitor, route, json=body_of(route)),
            ]
            store.unplug_after(0)
            answers.append(await call(browser, route, json=body_of(route)))
            store.plug_in()
            for answer in answers:
                if not answer.is_success:
                    assert answer.json()["code"] in known, answer.text


@pytest.mark.parametrize("route", named(r for r in ROUTES if r.access is Access.PROTECTED))
async def test_a_401_tells_whether_a_refresh_would_help(route: Route) -> None:
    async with world() as town:
        await town.person("ada")
        async with signed_in(town) as browser, town.browser() as visitor:
            nobody = await call(visitor, route, json=body_of(route))
            assert code_of(nobody) == (401, "not_signed_in")
            assert nobody.headers["www-authenticate"].startswith("Bearer")
            tokens = browser.tokens()
            town.clock.pass_(hours=2)
            visitor.take_tokens({"token": tokens["token"]})
            over = await call(visitor, route, json=body_of(route))
            assert over.status_code == 401


# --- the rows -------------------------------------------------------------------------------


async def test_the_whole_life_of_an_account() -> None:
    """Each row's good answer, in the order in which a person meets them."""
    async with world() as town, town.browser() as browser:
        assert code_of(await browser.api("POST", "/register", registration("ada"))) == (201, "")
        assert code_of(await browser.sign_in()) == (403, "email_not_verified")
        sent = await browser.api("POST", "/user-verify/sent", {"email": "ada@example.test"})
        assert code_of(sent) == (200, "")
        token = await town.mailed_token()
        assert code_of(await browser.api("POST", "/user-verify", {"token": token})) == (200, "")
        assert code_of(await browser.sign_in(password="wrong horse")) == (401, "bad_credentials")

        entered = await browser.sign_in()
        assert code_of(entered) == (200, "")
        assert entered.json()["data"]["user"]["email"] == "ada@example.test"
        assert set(browser.tokens()) == {"token", "refreshToken"}
        assert set((await browser.api("POST", "/token", {})).json()["data"]) == {
            "accessTokenExpiresAt"
        }
        assert set((await browser.api("GET", "/session")).json()["data"]) == {
            "user",
            "accessTokenExpiresAt",
            "sessionExpiresAt",
        }
        assert set((await browser.api("GET", "/sessions")).json()["data"]) == {"sessions"}
        assert code_of(await browser.api("DELETE", "/sessions")) == (200, "")
        profile = await browser.api("PATCH", "/profile", {"bio": "Poet of numbers"})
        assert profile.json()["data"]["user"]["bio"] == "Poet of numbers"

        change = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
        assert code_of(await browser.api("POST", "/change-password", change)) == (200, "")
        forgot = await browser.api("POST", "/forgot-password/sent", {"email": "ada@example.test"})
        assert code_of(forgot) == (200, "")
        reset = {"token": await town.mailed_token(), "password": PASSWORD}
        assert code_of(await browser.api("POST", "/forgot-password/verify", reset)) == (200, "")
        town.clock.pass_(seconds=2)
        assert code_of(await browser.api("GET", "/session")) == (401, "not_signed_in")

        await browser.sign_in()
        moved = {"newEmail": "new@example.test", "password": PASSWORD}
        assert code_of(await browser.api("POST", "/change-email", moved)) == (200, "")
        to_new = [mail for mail in await town.mails() if mail.to == "new@example.test"]
        token = to_new[-1].text.partition("token=")[2].split()[0]
        proof = await browser.api("POST", "/change-email/verify", {"token": token})
        assert code_of(proof) == (200, "")
        assert (await user_of(town, "new@example.test")).email == "new@example.test"

        assert code_of(await browser.api("POST", "/logout", {})) == (200, "")
        assert not browser.tokens()
        await browser.sign_in("new@example.test")
        gone = await browser.api("POST", "/delete-account", {"password": PASSWORD})
        assert code_of(gone) == (200, "")
        assert code_of(await browser.sign_in("new@example.test")) == (401, "bad_credentials")


async def test_answers_say_that_a_part_is_down_and_when_to_come_back() -> None:
    """Q-06: 503 with Retry-After, and no cookie is touched."""
    store = WatchedStore(MemoryStore())
    async with world(store=store) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            store.unplug_after(0)
            for route in ROUTES:
                if route.path in ("/openapi.json", "/logout", "/token"):
                    continue
                answer = await call(browser, route, json=body_of(route))
                assert code_of(answer) == (503, "unavailable"), route.name
                assert answer.headers["retry-after"].isdigit()
                assert "set-cookie" not in answer.headers


# --- what must not be said ------------------------------------------------------------------


async def test_no_secret_is_in_a_log_an_event_an_answer_or_a_row(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A-03, W-16, V-19, G-07: canaries in every field that takes one, and every log read."""
    caplog.set_level(0)
    password, wrong, new = "canary-one-11", "canary-two-22", "canary-three-33"
    memory = MemoryStore()
    store = WatchedStore(memory)
    async with world(store=store) as town:
        answers = [await town.register("ada", password=password)]
        links = [await town.mailed_token()]
        async with town.browser() as browser:

            async def ask(path: str, body: dict[str, Any]) -> None:
                answers.append(await browser.api("POST", path, body))

            await ask("/user-verify", {"token": links[0]})
            await ask("/login", {"email": "ada@example.test", "password": wrong})
            await ask("/login", {"email": password, "password": wrong})
            await ask("/login", {"email": {"$gt": password}, "password": {"$gt": wrong}})
            await ask("/login", {"email": "ada@example.test", "password": password})
            tokens = list(browser.tokens().values())
            await ask("/change-password", {"currentPassword": wrong, "newPassword": new})
            await ask("/change-password", {"currentPassword": password, "newPassword": new})
            tokens += browser.tokens().values()
            await ask("/forgot-password/sent", {"email": "ada@example.test"})
            links.append(await town.mailed_token())
            await ask("/forgot-password/verify", {"token": links[1], "password": [password]})
            for calls in range(6):
                store.unplug_after(calls)
                await ask("/login", {"email": "ada@example.test", "password": new})
                store.plug_in()
            await ask("/forgot-password/verify", {"token": links[1], "password": password})
        told = "".join(answer.text for answer in answers)
        kept = "".join([str(await all_rows(memory, table)) for table in town.kit.tables])
        kept += str(memory._counters)
        logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
        for canary in (password, wrong, new, *links, *tokens):
            for place in (told, kept, logged, repr(town.ear.heard)):
                assert canary not in place
        assert "bcrypt" not in told


async def all_rows(store: Store, table: Table[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in await store.find(table, {})]


async def test_a_fault_of_ours_tells_a_reference_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A-03: what happened stands in the log alone."""

    class Broken(WatchedStore):
        def _watched(self, name: str, verb: Any) -> Any:
            async def call(*args: Any, **options: Any) -> Any:
                raise ZeroDivisionError("row 7 of users")

            return call

    async with world(store=Broken(MemoryStore())) as town:
        answer = await post(town, "/login", {"email": "a@b.test", "password": "canary-one-11"})
    assert code_of(answer) == (500, "internal")
    assert "row 7" not in answer.text
    assert answer.json()["reference"] in caplog.text
    assert "canary" not in caplog.text
    assert "set-cookie" not in answer.headers


async def test_a_404_and_a_refusal_look_the_same_to_all() -> None:
    """N-16: a visitor learns nothing about which paths exist."""
    async with world() as here, here.browser() as visitor:
        there = await visitor.api("GET", "/sessions")
        nowhere = await visitor.api("GET", "/nothing")
        assert seen(there) == seen(nowhere)
