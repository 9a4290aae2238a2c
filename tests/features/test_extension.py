"""A feature that is not ours: added by this test alone, through the door that every feature uses.

`Pin` asks for a number after the password. It brings a table, a gate with a challenge, a route that
answers it, a page, a panel, a listener, a claim and a limit; no file of the library knows of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from authkit_asgi import AuthKit
from authkit_asgi.accounts import User
from authkit_asgi.core.paths import Access
from authkit_asgi.core.tokens import ACCESS
from authkit_asgi.errors import BadCredentials, CrossSite, Forbidden, TicketInvalid, TooMany
from authkit_asgi.events import Event
from authkit_asgi.features import Plug, Services
from authkit_asgi.features.login import Login
from authkit_asgi.kit import default_features
from authkit_asgi.settings import MINUTE
from authkit_asgi.signin import Attempt
from authkit_asgi.store import Table
from authkit_asgi.store.memory import MemoryStore
from authkit_asgi.web.routes import Call, Limit, Page, Panel, Reply, Route
from tests.features.stories import code_of, post, signed_in
from tests.world import Browser, settings, world


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRow:
    id: str  # the user's
    digest: str = field(repr=False)


PINS = Table(name="pins", record=PinRow)


class PinBody(BaseModel):
    pin: str


class AnswerBody(BaseModel):
    ticket: str
    pin: str


@dataclass(frozen=True)
class Pin:
    templates: Path
    diary: list[str] = field(default_factory=list, compare=False)

    name = "pin"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services, self.diary)
        choose = Route(
            method="POST",
            path="/pin",
            handler=desk.choose,
            summary="Choose a PIN",
            body=PinBody,
            refusals=(Forbidden,),
        )
        answer = Route(
            method="POST",
            path="/pin/answer",
            handler=desk.answer,
            summary="Answer with the PIN",
            access=Access.EXCLUDED,
            body=AnswerBody,
            refusals=(TicketInvalid, BadCredentials, CrossSite, TooMany),
            limits=(Limit(times=8, per=10 * MINUTE, by="ip"),),
        )
        return Plug(
            routes=[choose, answer],
            pages=[
                Page(
                    path="/dashboard/pin",
                    template="pin.html",
                    title="PIN",
                    data=desk.page,
                    submit=choose,
                    then="/dashboard",
                )
            ],
            panels=[Panel(label="My PIN", path="/dashboard/pin", order=50)],
            tables=[PINS],
            gates=[desk.gate],
            checks=[desk.check],
            listeners=[desk.hear],
            claims=lambda user: {"initial": user.firstname[:1], "sub": "nobody", "exp": 0},
            templates=self.templates,
        )


def digest_of(pin: str) -> str:
    return hashlib.sha256(pin.encode()).hexdigest()


@dataclass(frozen=True)
class _Desk:
    services: Services
    diary: list[str]

    async def gate(self, attempt: Attempt) -> str | None:
        row = await self.services.store.get(PINS, attempt.user.id)
        return "pin" if row and "pin" not in attempt.methods else None

    async def hear(self, event: Event) -> None:
        self.diary.append(type(event).__name__)
        raise RuntimeError("a listener of a stranger fails, and that goes no further")

    async def check(self, route: Route, call: Call[Any]) -> None:
        if call.visitor.user_agent == "Barred":
            raise Forbidden

    async def page(self, call: Call[Any]) -> Mapping[str, Any]:
        row = await self.services.store.get(PINS, call.identity.id)
        return {"has_pin": row is not None}

    async def choose(self, call: Call[PinBody]) -> Reply:
        row = PinRow(id=call.identity.id, digest=digest_of(call.body.pin))
        await self.services.store.insert(PINS, row)
        return Reply(message="Your PIN is set.")

    async def answer(self, call: Call[AnswerBody]) -> Reply:
        async def prove(user: User) -> str:
            row = await self.services.store.get(PINS, user.id)
            if row is None or row.digest != digest_of(call.body.pin):
                raise BadCredentials
            return "pin"

        opened = await self.services.signin.answer(
            call.body.ticket, "pin", prove, visitor=call.visitor, now=call.now
        )
        cookies = self.services.jar.set_pair(opened.pair, now=call.now)
        return Reply(message="Signed in.", cookies=cookies)


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    (tmp_path / "pin.html").write_text(
        '{% extends "dashboard_layout.html" %}'
        "{% block main %}<p>PIN: {{ 'yes' if has_pin else 'no' }}</p>{% endblock %}"
    )
    return Pin(templates=tmp_path)


async def challenged(browser: Browser) -> str:
    answer = await browser.sign_in()
    assert code_of(answer) == (401, "challenge_required")
    assert answer.json()["data"]["challenge"] == "pin"
    return str(answer.json()["data"]["ticket"])


async def test_a_feature_of_somebody_else_takes_part_in_signing_in(pin: Pin) -> None:
    """M-01, M-04: a table, a gate, a ticket and a route, all of its own."""
    async with world(more=[pin]) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            chosen = await browser.api("POST", "/pin", {"pin": "2718"})
            assert chosen.json() == {"success": True, "message": "Your PIN is set."}
        async with town.browser() as browser:
            ticket = await challenged(browser)
            wrong = await browser.api("POST", "/pin/answer", {"ticket": ticket, "pin": "0000"})
            assert code_of(wrong) == (401, "bad_credentials")
            assert (await browser.api("GET", "/session")).status_code == 401
            right = await browser.api("POST", "/pin/answer", {"ticket": ticket, "pin": "2718"})
            assert code_of(right) == (200, "")
            assert (await browser.api("GET", "/session")).status_code == 200
            again = await browser.api("POST", "/pin/answer", {"ticket": ticket, "pin": "2718"})
            assert code_of(again) == (401, "ticket_invalid")


async def test_its_routes_are_guarded_limited_and_described_like_ours(pin: Pin) -> None:
    """L-11, X-04, N-01."""
    async with world(more=[pin]) as town:
        assert code_of(await post(town, "/pin", {"pin": "1"})) == (401, "not_signed_in")
        foreign = {"headers": {"sec-fetch-site": "cross-site"}}
        body = {"ticket": "x", "pin": "1"}
        assert code_of(await post(town, "/pin/answer", body, **foreign)) == (403, "cross_site")
        broken = await post(town, "/pin/answer", {**body, "pin": {"$gt": ""}})
        assert code_of(broken) == (400, "invalid_input")
        for _ in range(8):
            assert code_of(await post(town, "/pin/answer", body)) == (401, "ticket_invalid")
        assert code_of(await post(town, "/pin/answer", body)) == (429, "rate_limited")
        async with town.browser() as browser:
            described = (await browser.api("GET", "/openapi.json")).json()
        assert {"/pin", "/pin/answer"} <= set(described["paths"])


async def test_its_claim_reaches_the_app_and_overrides_nothing_of_ours(pin: Pin) -> None:
    """T-06."""
    async with world(more=[pin]) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            who = await browser.get("/members")
            assert who.json()["signedIn"]
            assert who.json()["id"] != "nobody"
            token = browser.tokens()["token"].encode()
            read = town.kit.guard.tokens.read(ACCESS, token, now=town.clock())
            assert read is not None
            assert read.profile["initial"] == "A"


async def test_its_page_and_panel_are_in_the_dashboard(pin: Pin) -> None:
    async with world(more=[pin]) as town:
        await town.person("ada")
        async with signed_in(town) as browser:
            dashboard = await browser.navigate("/user/dashboard")
            assert 'href="/user/dashboard/pin"' in dashboard.text
            assert "My PIN" in dashboard.text
            assert "PIN: no" in (await browser.navigate("/user/dashboard/pin")).text
        async with town.browser() as visitor:
            assert (await visitor.navigate("/user/dashboard/pin")).status_code == 303


async def test_its_listener_hears_and_changes_nothing(pin: Pin) -> None:
    async with world(more=[pin]) as town:
        await town.person("ada")
        async with signed_in(town):
            pass
        assert pin.diary == ["Registered", "EmailVerified", "SignedIn"]


async def test_its_check_runs_before_every_handler(pin: Pin) -> None:
    async with world(more=[pin]) as town:
        async with town.browser(user_agent="Barred") as browser:
            assert code_of(await browser.sign_in()) == (403, "forbidden")
        assert pin.diary == []


def test_a_feature_that_lacks_what_it_needs_is_told_at_once(pin: Pin) -> None:
    with pytest.raises(ValueError, match="needs 'login'"):
        AuthKit(settings(), store=MemoryStore(), features=[pin])
    with pytest.raises(ValueError, match="'login' is there twice"):
        AuthKit(settings(), store=MemoryStore(), features=[Login(), Login()])


def test_two_features_do_not_share_a_route() -> None:
    class Twin(Login):
        name = "twin"

    with pytest.raises(ValueError, match="POST /login"):
        AuthKit(settings(), store=MemoryStore(), features=[Login(), Twin()])


@pytest.mark.parametrize("left_out", [feature.name for feature in default_features()])
async def test_what_is_left_out_is_missed_by_name_or_not_at_all(left_out: str) -> None:
    kept = [feature for feature in default_features() if feature.name != left_out]
    if any(left_out in feature.needs for feature in kept):
        with pytest.raises(ValueError, match=left_out):
            AuthKit(settings(), store=MemoryStore(), features=kept)
        return
    async with world(features=kept, require_verified_email=False) as town:
        assert (await post(town, "/login", {"email": "a@b.test", "password": "x" * 9})).status_code
        async with town.browser() as browser:
            assert (await browser.api("GET", "/openapi.json")).status_code == 200
