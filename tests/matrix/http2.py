"""HTTP/2 without TLS, by prior knowledge: one request a connection, as the matrix asks.

The fields are written as they are given, in that order, for a client that keeps no rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = tuple[tuple[bytes, bytes], ...]


def asked(fields: Fields, *, stream: int = 1, is_open: bool = False) -> bytes:
    """The bytes of a whole connection; `is_open` leaves room for a body."""
    headers = HeadersFrame(stream, data=Encoder().encode(fields, huffman=False))
    headers.flags.add("END_HEADERS")
    if not is_open:
        headers.flags.add("END_STREAM")
    return PREFACE + SettingsFrame(0).serialize() + headers.serialize()


def is_over(answer: bytes) -> bool:
    """Whether nothing more is to come."""
    # A GOAWAY without an error only tells the client to open no more streams.
    return any(
        "END_STREAM" in frame.flags
        or type(frame).__name__ == "RstStreamFrame"
        or (isinstance(frame, GoAwayFrame) and frame.error_code)
        for frame in _frames(answer)
    )


def as_http1(answer: bytes) -> bytes:
    """The same answer, as the older version would spell it."""
    decoder = Decoder()
    return b"".join(
        _told(decoder.decode(frame.data, raw=True))
        if isinstance(frame, HeadersFrame)
        else frame.data
        for frame in _frames(answer)
        if isinstance(frame, HeadersFrame | DataFrame)
    )


def _told(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [
        b"HTTP/1.1 " + value if name == b":status" else name + b": " + value
        for name, value in fields
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _frames(answer: bytes) -> Iterator[Frame]:
    """Those that have come whole."""
    while len(answer) >= 9 and not answer.startswith(b"HTTP"):
        frame, size = Frame.parse_frame_header(memoryview(answer[:9]))
        if len(answer) < 9 + size:
            return
        frame.parse_body(memoryview(answer[9 : 9 + size]))
        answer = answer[9 + size :]
        yield frame
