"""Bodies: an object of ours or a refusal, and read as any strict parser reads it."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import parse_qsl

from authkit_asgi.errors import InvalidInput
from authkit_asgi.web.bodies import parse_form, parse_json
from tests.fuzz.mutating import mutations, without_growth

JSON_WORDS = (
    b'{"a":',
    b"[" * 20,
    b"}",
    b'"email"',
    b'"email":"b@example.com"',
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"true",
    b"null",
    b'"\\ud800"',
    b"\\u0000",
    b',"a":1' * 120,
    b'"' + b"\\" * 300,
)
FORM_WORDS = (b"&", b"=", b"+", b"%", b"%ff", b"email=", b"&email=x", b"&a=1" * 120)
FOUND = [b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b"[" * 1000, b'{"a":"\\ud800"}', b"{}{}"]
GOOD = [b'{"email":"ada@example.com","password":"correct horse","rememberMe":true}', b"{}"]
FORM = [b"email=ada%40example.com&password=correct+horse&rememberMe=on", b"", b"a=1&b=2"]


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_json_is_read_as_others_read_it_or_not_at_all() -> None:
    """N-01, N-05, N-06, and B-09."""
    read = 0
    with without_growth():
        for raw in mutations("json", [*GOOD, *FOUND], JSON_WORDS):
            with suppress(InvalidInput):
                assert parse_json(raw) == json.loads(raw, object_pairs_hook=once), raw
                read += 1
    assert read


def test_a_form_is_read_as_others_read_it_or_not_at_all() -> None:
    """N-07, N-15, and B-09."""
    read = 0
    with without_growth():
        for raw in mutations("form", FORM, FORM_WORDS):
            with suppress(InvalidInput):
                fields = parse_form(raw)
                assert list(fields.items()) == parse_qsl(raw.decode(), keep_blank_values=True), raw
                read += 1
    assert read
