from __future__ import annotations

import json
import time
from collections.abc import Iterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_asgi.errors import InvalidInput, TooLarge, WrongMediaType
from authkit_asgi.web.asgi import Message, Scope
from authkit_asgi.web.bodies import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_FIELDS,
    content_type,
    parse_form,
    parse_json,
    read_body,
)

UTF8 = "application/json; charset=utf-8"


def announced(length: str | None = None) -> Scope:
    headers = [] if length is None else [(b"content-length", length.encode())]
    return {"type": "http", "headers": headers}


class Client:
    """Sends these chunks, the last one as the last, and counts what was asked for."""

    def __init__(self, *chunks: bytes) -> None:
        self._messages = self._of(chunks)
        self.asked = 0

    async def __call__(self) -> Message:
        self.asked += 1
        return next(self._messages)

    def _of(self, chunks: tuple[bytes, ...]) -> Iterator[Message]:
        for left, chunk in zip(reversed(range(len(chunks))), chunks, strict=True):
            yield {"type": "http.request", "body": chunk, "more_body": left > 0}


async def test_a_body_arrives_in_pieces() -> None:
    assert await read_body(announced("6"), Client(b"ab", b"", b"cd", b"ef")) == b"abcdef"
    assert await read_body(announced(), Client(b"")) == b""


async def test_a_message_may_leave_out_what_is_empty() -> None:
    async def receive() -> Message:
        return {"type": "http.request"}

    assert await read_body(announced(), receive) == b""


async def test_a_body_of_exactly_the_cap_is_read() -> None:
    body = b"x" * MAX_BODY
    assert await read_body(announced(str(MAX_BODY)), Client(body)) == body


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 30, "9" * 10_000])
async def test_an_announced_body_over_the_cap_is_not_waited_for(length: str) -> None:
    """SECURITY N-06."""
    client = Client(b"x")
    with pytest.raises(TooLarge):
        await read_body(announced(length), client)
    assert client.asked == 0


@pytest.mark.parametrize("length", [None, "5", "-1", "nonsense"])
async def test_a_body_over_the_cap_is_refused_while_it_streams(length: str | None) -> None:
    """SECURITY N-06: with or without Content-Length, and whatever that says."""
    client = Client(b"x" * 4, b"x" * 4, b"x" * 4, b"x" * 4)
    with pytest.raises(TooLarge):
        await read_body(announced(length), client, cap=6)
    assert client.asked == 2


async def test_a_body_that_trickles_in_is_given_up() -> None:
    async def receive() -> Message:
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(InvalidInput, match="did not arrive in time"):
        await read_body(announced(), receive, seconds=0.03)


async def test_a_body_that_never_comes_is_given_up() -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(InvalidInput, match="did not arrive in time"):
        await read_body(announced(), receive, seconds=0.01)


async def test_a_connection_that_closes_leaves_no_half_body() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"a":', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(InvalidInput, match="connection closed"):
        await read_body(announced(), receive)


@pytest.mark.parametrize(
    ("sent", "media_type"),
    [
        pytest.param("application/json", "application/json", id="plain"),
        pytest.param("Application/JSON", "application/json", id="capitals"),
        pytest.param(" application/json \t; x=y", "application/json", id="spaces"),
        pytest.param(UTF8, "application/json", id="UTF-8"),
        pytest.param('application/json;CHARSET="UTF-8"', "application/json", id="UTF-8, quoted"),
        pytest.param("application/json; charset=utf8", "application/json", id="UTF-8, misspelt"),
        pytest.param("text/plain; application/json", "text/plain", id="X-06 text that says JSON"),
        pytest.param("multipart/form-data; boundary=a", "multipart/form-data", id="with files"),
        pytest.param("", "", id="empty"),
    ],
)
def test_the_media_type_is_without_parameters(sent: str, media_type: str) -> None:
    assert content_type([(b"content-type", sent.encode())]) == media_type


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([b"application/json; charset=utf-16"], id="N-06 UTF-16"),
        pytest.param([b"application/json; charset=latin1"], id="N-06 Latin-1"),
        pytest.param([b"application/json; charset=utf-8; charset=utf-7"], id="N-06 two charsets"),
        pytest.param([b"application/json; charset="], id="N-06 an empty charset"),
        pytest.param([b"application/json", b"text/plain"], id="X-06 two types"),
        pytest.param([b"application/json", b"application/json"], id="X-06 one type twice"),
    ],
)
def test_text_is_utf8_and_of_one_type(headers: list[bytes]) -> None:
    with pytest.raises(WrongMediaType):
        content_type([(b"content-type", value) for value in headers])


def test_no_content_type_is_an_empty_one() -> None:
    assert content_type([(b"host", b"app.example.com")]) == ""


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def wide(fields: int) -> bytes:
    return json.dumps({f"f{number}": number for number in range(fields)}).encode()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"{}", {}, id="nothing"),
        pytest.param(b' {"a": "b"}\r\n\t', {"a": "b"}, id="spaces around"),
        pytest.param('{"ü": "日本 👋"}'.encode(), {"ü": "日本 👋"}, id="UTF-8"),
        pytest.param(rb'{"a": "\ud83d\udc4b \u0041"}', {"a": "👋 A"}, id="a whole pair"),
        pytest.param(rb'{"a": "\\ud800"}', {"a": "\\ud800"}, id="a backslash and letters"),
        pytest.param(b'{"a": "[[[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 22}, id="brackets as text"),
        pytest.param(rb'{"a": "\"[[[[[[[[[[[[[[[["}', {"a": '"' + "[" * 16}, id="after a quote"),
        pytest.param(b'{"a": "%s"}' % (b":" * 200), {"a": ":" * 200}, id="colons as text"),
        pytest.param(nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH)), id="N-06 16 levels"),
        pytest.param(wide(MAX_FIELDS), json.loads(wide(MAX_FIELDS)), id="N-06 100 fields"),
        pytest.param(b'{"a": 9007199254740992}', {"a": 2**53}, id="N-06 the largest integer"),
        pytest.param(b'{"a": -9007199254740992}', {"a": -(2**53)}, id="N-06 the smallest"),
        pytest.param(b'{"a": 1.5e3, "b": -0}', {"a": 1500.0, "b": 0}, id="other numbers"),
        pytest.param(b'{"a": {"b": 1}, "b": 2}', {"a": {"b": 1}, "b": 2}, id="one name, two homes"),
    ],
)
def test_json_is_read(raw: bytes, value: object) -> None:
    assert parse_json(raw) == value


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b'{"a": 1', "not valid JSON", id="cut off"),
        pytest.param(b'{"a": "', "not valid JSON", id="cut off in a string"),
        pytest.param(b'{"a": "\\', "not valid JSON", id="cut off at a backslash"),
        pytest.param(b'{"a": 1} {}', "not valid JSON", id="two values"),
        pytest.param(b"{'a': 1}", "not valid JSON", id="Python"),
        pytest.param(b'{"a": 1,}', "not valid JSON", id="a comma too many"),
        pytest.param(b'{"a": "b\nc"}', "not valid JSON", id="a line feed in a string"),
        pytest.param(b'{"a": 01}', "not valid JSON", id="a leading zero"),
        pytest.param(b"]]]]}}}}", "not valid JSON", id="only closing"),
        pytest.param(b"[]", "must be a JSON object", id="a list"),
        pytest.param(b'"a"', "must be a JSON object", id="text"),
        pytest.param(b"null", "must be a JSON object", id="nothing at all"),
        pytest.param(b'{"a": 1, "a": 1}', "more than once", id="N-05 a field twice"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', "more than once", id="N-05 twice, spelt otherwise"),
        pytest.param(b'{"x": [{"a": 1, "a": 2}]}', "more than once", id="N-05 twice, deep inside"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="N-06 a byte order mark"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not UTF-8", id="N-06 UTF-16"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), "not valid JSON", id="N-06 UTF-16, no mark"),
        pytest.param('{"a": "ü"}'.encode("latin-1"), "not UTF-8", id="N-06 Latin-1"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "not UTF-8", id="N-06 half a character, raw"),
        pytest.param(b'{"a": "\xc0\xaf"}', "not UTF-8", id="N-06 overlong"),
        pytest.param(rb'{"a": "\ud800"}', "half a character", id="N-06 half a character"),
        pytest.param(rb'{"\udc00": 1}', "half a character", id="N-06 half a character as a name"),
        pytest.param(rb'{"a": ["\udc00\ud800"]}', "half a character", id="N-06 halves turned"),
        pytest.param(b'{"a": NaN}', "NaN", id="N-06 NaN"),
        pytest.param(b'{"a": -Infinity}', "-Infinity", id="N-06 Infinity"),
        pytest.param(b'{"a": 1e999}', "number that is too large", id="N-06 infinite by size"),
        pytest.param(b'{"a": 9007199254740993}', "integer that is too large", id="N-06 2^53 + 1"),
        pytest.param(b'{"a": -9007199254740993}', "integer", id="N-06 -2^53 - 1"),
        pytest.param(b'{"a": %s}' % (b"9" * 5000), "integer", id="N-06 5000 digits"),
        pytest.param(nested(MAX_DEPTH + 1), "16 levels", id="N-06 17 levels"),
        pytest.param(wide(MAX_FIELDS + 1), "100 fields", id="N-06 101 fields"),
        pytest.param(
            b'{"a": [' + b",".join([b'{"b": 1}'] * MAX_FIELDS) + b"]}",
            "100 fields",
            id="N-06 101 fields in all",
        ),
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(raw: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"[" * MAX_BODY, id="N-06 nothing but brackets"),
        pytest.param(b'{"a":' * 13_000, id="N-06 objects in objects"),
        pytest.param(b'"' * MAX_BODY, id="nothing but quotes"),
        pytest.param(b'"' + b'\\"' * 32_000, id="nothing but escaped quotes"),
        pytest.param(b"\\" * MAX_BODY, id="nothing but backslashes"),
        pytest.param(b'{"a": "' + b"x" * MAX_BODY, id="a string without end"),
        pytest.param(b'{"a": -' + b"1" * MAX_BODY + b"}", id="N-06 digits without end"),
        pytest.param(b'{"a": 1.' + b"1" * MAX_BODY + b"e999}", id="N-06 decimals without end"),
    ],
)
def test_no_body_within_the_cap_costs_much(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInput):
        parse_json(raw)
    assert time.process_time() - began < 0.25


@given(st.binary(max_size=200) | st.text(st.sampled_from('{}[]":,\\u0d8a1eE-. ')).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except InvalidInput:
        return
    assert json.loads(raw.decode()) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=8))
def test_plain_json_comes_through_unchanged(value: dict[str, object]) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        pytest.param(b"", {}, id="nothing"),
        pytest.param(b"a=1&b=", {"a": "1", "b": ""}, id="an empty field"),
        pytest.param(b"a=x+y%20z&b=%C3%BC", {"a": "x y z", "b": "ü"}, id="encoded"),
        pytest.param(b"a=1;b=2", {"a": "1;b=2"}, id="a semicolon parts nothing"),
    ],
)
def test_a_form_is_read(raw: bytes, fields: dict[str, str]) -> None:
    assert parse_form(raw) == fields


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(b"a=1&a=2", "more than once", id="N-15 a field twice"),
        pytest.param(b"a=1&%61=1", "more than once", id="N-15 a field twice, encoded"),
        pytest.param(b"a=%FF", "not UTF-8", id="N-06 encoded bytes"),
        pytest.param(b"a=%ED%A0%80", "not UTF-8", id="N-06 half a character"),
        pytest.param(b"a=\xff", "not UTF-8", id="N-06 raw bytes"),
        pytest.param(b"&".join([b"a=1"] * 101), "100 fields", id="N-07 too many fields"),
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(raw: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse_form(raw)
