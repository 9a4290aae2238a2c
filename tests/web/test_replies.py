"""Every answer of ours has one shape, goes into no cache, and is what it says it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from authkit_asgi import errors
from authkit_asgi.errors import (
    AuthError,
    ChallengeRequired,
    InvalidInput,
    MethodNotAllowed,
    NotSignedIn,
    StoreUnavailable,
    TokenExpired,
    TooMany,
    UsernameTaken,
)
from authkit_asgi.web.asgi import Message
from authkit_asgi.web.replies import Answer, fault, good, json_answer, redirect, refusal
from authkit_asgi.web.routes import Reply

Headers = dict[str, list[str]]


async def sent(answer: Answer, **scope: Any) -> tuple[list[Message], Headers]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("an answer reads nothing")

    await answer({"type": "http", "method": "GET", **scope}, receive, send)
    headers: Headers = {}
    for name, value in messages[0]["headers"]:
        assert isinstance(name, bytes)
        assert name == name.lower()
        headers.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return messages, headers


def kinds(kind: type[AuthError] = AuthError) -> Iterator[type[AuthError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__ and not child.__name__.startswith("_"):
            yield child
        yield from kinds(child)


def an_error(kind: type[AuthError]) -> AuthError:
    return ChallengeRequired("totp", "ticket") if kind is ChallengeRequired else kind()


@pytest.mark.parametrize("kind", dict.fromkeys(kinds()))
async def test_every_refusal_has_the_one_shape(kind: type[AuthError]) -> None:
    """SECURITY K-04, K-07, X-11."""
    error = an_error(kind)
    messages, headers = await sent(refusal(error))
    start, body = messages
    assert start["status"] == kind.status >= 400
    said = json.loads(body["body"])
    assert said["success"] is False
    assert (said["error"], said["code"]) == (kind.message, kind.code)
    assert said["error"].endswith(".")
    assert said.keys() <= {"success", "error", "code", "fields", "data"}
    assert headers["content-type"] == ["application/json; charset=utf-8"]
    assert headers["content-length"] == [str(len(body["body"]))]
    assert headers["cache-control"] == ["private, no-store"]
    assert headers["x-content-type-options"] == ["nosniff"]
    assert headers["vary"] == ["Cookie, Origin, Sec-Fetch-Site"]
    assert "set-cookie" not in headers


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        pytest.param(NotSignedIn(), "www-authenticate", 'Bearer realm="authkit"', id="401"),
        pytest.param(MethodNotAllowed("GET, POST"), "allow", "GET, POST", id="405"),
        pytest.param(TooMany(retry_after=900), "retry-after", "900", id="429"),
        pytest.param(StoreUnavailable(), "retry-after", "1", id="503"),
    ],
)
async def test_a_refusal_brings_the_header_that_its_status_needs(
    error: AuthError, name: str, value: str
) -> None:
    _, headers = await sent(refusal(error))
    assert headers[name] == [value]


async def test_a_client_that_may_refresh_is_told_so() -> None:
    """RFC 6750 section 3.1."""
    _, headers = await sent(refusal(TokenExpired()))
    (challenge,) = headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="authkit", error="invalid_token"')


@pytest.mark.parametrize(
    ("error", "more"),
    [
        pytest.param(InvalidInput(fields={"email": "No."}), {"fields": {"email": "No."}}, id="400"),
        pytest.param(InvalidInput(), {}, id="400 without fields"),
        pytest.param(UsernameTaken(), {"fields": {"username": UsernameTaken.message}}, id="409"),
        pytest.param(
            ChallengeRequired("totp", "t"), {"data": {"challenge": "totp", "ticket": "t"}}, id="401"
        ),
    ],
)
async def test_a_refusal_says_what_its_caller_needs_to_go_on(
    error: AuthError, more: dict[str, object]
) -> None:
    (_, body), _ = await sent(refusal(error))
    said = json.loads(body["body"])
    assert {key: value for key, value in said.items() if key in ("fields", "data")} == more


async def test_cookies_and_headers_go_along_each_on_its_own_line() -> None:
    answer = refusal(NotSignedIn(), cookies=["a=1", "b=2"], headers=[("HX-Redirect", "/login")])
    _, headers = await sent(answer)
    assert headers["set-cookie"] == ["a=1", "b=2"]
    assert headers["hx-redirect"] == ["/login"]


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        pytest.param(Reply(message="Done."), 200, {"success": True, "message": "Done."}, id="bare"),
        pytest.param(
            Reply(message="Made.", status=201, data={"id": "1"}),
            201,
            {"success": True, "message": "Made.", "data": {"id": "1"}},
            id="with data",
        ),
        pytest.param(
            Reply(message="None.", data={}),
            200,
            {"success": True, "message": "None.", "data": {}},
            id="with empty data",
        ),
        pytest.param(Reply(message="", document={"a": "é"}), 200, {"a": "é"}, id="a document"),
    ],
)
async def test_a_good_answer_has_the_one_shape_too(
    reply: Reply, status: int, said: dict[str, object]
) -> None:
    (start, body), headers = await sent(good(reply))
    assert start["status"] == status
    assert json.loads(body["body"].decode("utf-8")) == said
    assert headers["content-length"] == [str(len(body["body"]))]
    assert headers["cache-control"] == ["private, no-store"]


async def test_a_good_answer_sets_its_cookies() -> None:
    _, headers = await sent(good(Reply(message="In.", cookies=["token=x", "refreshToken=y"])))
    assert headers["set-cookie"] == ["token=x", "refreshToken=y"]


async def test_a_fault_tells_a_reference_and_nothing_else() -> None:
    """SECURITY A-07."""
    (start, body), headers = await sent(fault("abc123"))
    said = json.loads(body["body"])
    assert start["status"] == 500
    assert said.keys() == {"success", "error", "code", "reference"}
    assert (said["code"], said["reference"]) == ("internal", "abc123")
    assert "set-cookie" not in headers  # a fault of ours is no logout


async def test_a_redirect_is_see_other_and_for_no_cache() -> None:
    """SECURITY R-06, K-04."""
    (start, body), headers = await sent(redirect("/login?next=/x", cookies=["token="]))
    assert (start["status"], body["body"]) == (303, b"")
    assert headers["location"] == ["/login?next=/x"]
    assert headers["set-cookie"] == ["token="]
    assert headers["cache-control"] == ["private, no-store"]


async def test_the_answer_to_head_is_that_to_get_without_its_body() -> None:
    """RFC 9110 section 9.3.2."""
    (_, got), headers = await sent(refusal(NotSignedIn()))
    (_, body), headers_of_head = await sent(refusal(NotSignedIn()), method="HEAD")
    assert body["body"] == b""
    assert got["body"]
    assert headers_of_head == headers


async def test_a_handshake_is_denied_in_the_words_of_websockets() -> None:
    messages, headers = await sent(refusal(NotSignedIn()), type="websocket", method=None)
    assert [message["type"] for message in messages] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert messages[0]["status"] == 401
    assert json.loads(messages[1]["body"])["code"] == "not_signed_in"
    assert headers["cache-control"] == ["private, no-store"]


def test_no_cookie_is_in_a_repr() -> None:
    """SECURITY A-03."""
    assert "s3cr3t" not in repr(redirect("/", cookies=["token=s3cr3t"]))


async def test_text_of_any_script_arrives_as_it_is() -> None:
    (_, body), headers = await sent(json_answer({"name": "Ада 🦀 </script>"}))
    assert json.loads(body["body"]) == {"name": "Ада 🦀 </script>"}
    assert headers["content-length"] == [str(len(body["body"]))]
