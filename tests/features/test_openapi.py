"""`/openapi.json`: what it says is what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from authkit_asgi.core.paths import Access
from tests.world import World, world

ROWS = {
    "/register": {"post"},
    "/login": {"post"},
    "/logout": {"post"},
    "/token": {"post"},
    "/profile": {"get", "patch"},
    "/change-password": {"post"},
    "/user-verify/sent": {"post"},
    "/user-verify": {"post"},
    "/forgot-password/sent": {"post"},
    "/forgot-password/verify": {"post"},
    "/change-email": {"post"},
    "/change-email/verify": {"post"},
    "/change-email/revert": {"post"},
    "/session": {"get"},
    "/sessions": {"get", "delete"},
    "/sessions/{id}": {"delete"},
    "/delete-account": {"post"},
}


async def described(town: World) -> dict[str, Any]:
    async with town.browser() as browser:
        answer = await browser.api("GET", "/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_every_route_is_described() -> None:
    async with world() as town:
        document = await described(town)
        assert document["openapi"].startswith("3.1.")
        paths = {path: set(methods) for path, methods in document["paths"].items()}
        assert {path: paths.get(path) for path in ROWS} == ROWS
        own = {(route.path, route.method.lower()) for route in town.kit.routes}
        told = {(path, method) for path, method, _ in operations(document)}
        assert own - told <= {("/openapi.json", "get")}


async def test_every_reference_leads_somewhere_and_every_id_is_its_own() -> None:
    async with world() as town:
        document = await described(town)
        for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
            place: Any = document
            for step in reference.split("/"):
                place = place[step]
        ids = [operation["operationId"] for _, _, operation in operations(document)]
        assert len(set(ids)) == len(ids)


async def test_refusals_and_access_are_those_of_the_routes() -> None:
    async with world() as town:
        document = await described(town)
        for route in town.kit.routes:
            if route.path == "/openapi.json":
                continue
            operation = document["paths"][route.path][route.method.lower()]
            for refusal in route.refusals:
                assert refusal.code in operation["responses"][str(refusal.status)]["description"]
            assert bool(operation["security"]) is (route.access is Access.PROTECTED)
            assert str(route.status) in operation["responses"]
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            assert names == re.findall(r"{(\w+)}", route.path)


async def test_the_document_holds_no_secret_and_marks_passwords() -> None:
    """A-03."""
    async with world() as town:
        document = await described(town)
        text = json.dumps(document)
        for secret in (*town.kit.settings.token_secret, *town.kit.settings.refresh_token_secret):
            assert secret not in text
        login = document["components"]["schemas"]["LoginBody"]["properties"]
        assert login["password"]["format"] == "password"
        assert login["password"]["writeOnly"] is True
