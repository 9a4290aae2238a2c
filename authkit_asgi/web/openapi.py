"""`GET /openapi.json`: OpenAPI 3.1 of all mounted routes, made of what the routes say of
themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from authkit_asgi.core.paths import Access
from authkit_asgi.settings import Settings
from authkit_asgi.web.routes import Call, Reply, Route

ACCESS = {
    Access.EXCLUDED: "Anyone may call it; it reads the cookies itself.",
    Access.PUBLIC: "Anyone may call it.",
    Access.AUTH: "For visitors who are not signed in.",
    Access.PROTECTED: "Whoever is signed in may call it.",
}
REFUSAL = {
    "type": "object",
    "required": ["success", "error", "code"],
    "properties": {
        "success": {"const": False},
        "error": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A stable code for programs."},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}},
        "data": {"type": "object"},
    },
}
SUCCESS = {
    "type": "object",
    "required": ["success", "message"],
    "properties": {
        "success": {"const": True},
        "message": {"type": "string"},
        "data": {"type": "object"},
    },
}


def openapi_route(routes: Iterable[Route], settings: Settings, *, version: str) -> Route:
    routes = list(routes)
    document: dict[str, Any] = {}

    async def show(call: Call[None]) -> Reply:
        if not document:
            document.update(openapi(routes, settings, version=version))
        return Reply(message="", document=document)

    return Route(
        method="GET",
        path="/openapi.json",
        handler=show,
        summary="This description",
        access=Access.PUBLIC,
    )


def openapi(routes: Iterable[Route], settings: Settings, *, version: str) -> dict[str, Any]:
    routes = list(routes)
    models = list(dict.fromkeys(route.body for route in routes if route.body is not None))
    names, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route)
        if route.body is not None:
            schema = names[(route.body, "validation")]
            content = {"application/json": {"schema": schema}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    cookie = {"type": "apiKey", "in": "cookie", "name": settings.prefix + settings.access_cookie}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{settings.app_name} accounts", "version": version},
        "servers": [{"url": settings.base_url + settings.api_path}],
        "paths": paths,
        "components": {
            "schemas": {
                **definitions.get("$defs", {}),
                "Success": SUCCESS,
                "Refusal": REFUSAL,
            },
            "securitySchemes": {"session": cookie},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): _response("Done.", "Success")}
    by_status: dict[int, list[str]] = {}
    for refusal in route.refusals:
        by_status.setdefault(refusal.status, []).append(f"`{refusal.code}`: {refusal.message}")
    for status, sentences in sorted(by_status.items()):
        responses[str(status)] = _response("\n\n".join(sentences), "Refusal")
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "summary": route.summary,
        "description": ACCESS[route.access],
        "responses": responses,
        "security": [{"session": []}] if route.access is Access.PROTECTED else [],
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if parameters:
        operation["parameters"] = parameters
    return operation


def _response(description: str, schema: str) -> dict[str, Any]:
    ref = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": ref}}}
