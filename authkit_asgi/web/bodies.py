"""Request bodies: read within limits, and parsed so that two parsers cannot disagree about them."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn, TypeVar
from urllib.parse import parse_qsl

import anyio

from authkit_asgi.errors import InvalidInput, TooLarge, WrongMediaType
from authkit_asgi.web.asgi import Headers, Receive, Scope

V = TypeVar("V")

MAX_BODY = 64 * 1024
MAX_SECONDS = 10.0
MAX_DEPTH = 16
MAX_FIELDS = 100
MAX_INTEGER = 2**53  # beyond it JSON integers are not exact everywhere (RFC 8259 section 6)

# Also matches a string that never ends, so that every quote is looked at once: in linear time.
STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
CHARSET = re.compile(r"\s*charset\s*=\s*\"?([^\"]*)\"?\s*", re.IGNORECASE)


async def read_body(
    scope: Scope, receive: Receive, *, cap: int = MAX_BODY, seconds: float = MAX_SECONDS
) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to be over `cap` bytes.

    A body that trickles in is given up after `seconds` in all, so that nobody holds a
    request open for free.
    """
    announced = dict(scope["headers"]).get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > cap):
        raise TooLarge
    try:
        with anyio.fail_after(seconds):
            return await _collected(receive, cap)
    except TimeoutError:
        raise InvalidInput("The body did not arrive in time.") from None


async def _collected(receive: Receive, cap: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidInput("The connection closed before the body was complete.")
        body += message.get("body", b"")
        if len(body) > cap:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)


def content_type(headers: Headers) -> str:
    """The media type in lower case and without parameters; empty if none was sent.

    Raises WrongMediaType for two at once, and for text that is said not to be UTF-8.
    """
    sent = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
    if len(sent) > 1:
        raise WrongMediaType("Send one Content-Type.")
    media_type, *parameters = "".join(sent).split(";")
    charsets = [found[1].lower() for found in map(CHARSET.fullmatch, parameters) if found]
    if any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise WrongMediaType("Send the body as UTF-8.")
    return media_type.strip(" \t").lower()


def parse_json(raw: bytes) -> dict[str, object]:
    """The JSON object in `raw`. Raises InvalidInput for anything that two parsers read in two ways.

    Size is judged on the brackets and colons alone, before there is anything to build: neither a
    deep nor a wide body costs more than a look at it.
    """
    text = _text(raw)
    _check_size(STRING.sub("", text))
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_not_a_number,
        )
        # `"\ud800"` is half a character: it passes as text until somebody encodes it.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput("The body holds half a character (a lone surrogate).") from None
    except ValueError:
        raise InvalidInput("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.")
    return value


def parse_form(raw: bytes) -> dict[str, str]:
    """The fields of an urlencoded form, each once: of two, one reader takes the first."""
    try:
        pairs = parse_qsl(
            _text(raw), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeDecodeError:
        raise InvalidInput("The form is not UTF-8.") from None
    except ValueError:
        raise InvalidInput(f"The form has more than {MAX_FIELDS} fields.") from None
    return _once(pairs)


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8.") from None
    if text.startswith("\ufeff"):
        raise InvalidInput("The body starts with a byte order mark; leave it out.")
    return text


def _check_size(skeleton: str) -> None:
    """`skeleton` is the JSON text without its strings."""
    if skeleton.count(":") > MAX_FIELDS:
        raise InvalidInput(f"The body has more than {MAX_FIELDS} fields.")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", skeleton):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _once(pairs: list[tuple[str, V]]) -> dict[str, V]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidInput("A field was sent more than once.")
    return fields


def _integer(text: str) -> int:
    # Length first: Python refuses to read more than 4300 digits, and reads fewer in square time.
    if len(text) > len(str(-MAX_INTEGER)) or abs(int(text)) > MAX_INTEGER:
        raise InvalidInput("The body holds an integer that is too large.")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput("The body holds a number that is too large.")
    return number


def _not_a_number(name: str) -> NoReturn:
    raise InvalidInput(f"The body holds {name}, which is not JSON.")
