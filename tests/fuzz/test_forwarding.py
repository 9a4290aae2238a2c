"""Forwarding headers: a stranger chooses no address, whatever is written in them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from authkit_asgi.web.visitor import limit_key, visitor_of
from tests.fuzz.mutating import mutations, without_growth

PROXY, CLIENT = "10.0.0.5", "198.51.100.9"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
WORDS = (
    b"10.0.0.5",
    b"10.0.0.9",
    b"127.0.0.1",
    b"::1",
    b"fd00::1",
    b"[fd00::1]:80",
    b"::ffff:10.0.0.1",
    b"192.0.2.7:5000",
    b"unknown",
    b"_hidden",
    b"for=",
    b",",
    b", ",
    b";",
    b"010.0.0.1",
    b"0x0a000001",
    b"1.2.3.4%25eth0",
)
FOUND = [b"6.6.6.6", b"6.6.6.6, 10.0.0.9", b"", b",", b"10.0.0.5, ", b"[::1", b"::ffff:6.6.6.6"]
CORPUS = [*FOUND, b"203.0.113.7, 10.0.0.9", b"2001:db8::7, fd00::2, 10.0.0.5"]
NAMES = (b"x-forwarded-for", b"x-real-ip", b"forwarded", b"client-ip", b"x_forwarded_for")


def address(headers: list[tuple[bytes, bytes]], connection: str) -> str:
    return visitor_of({"client": (connection, 5000), "headers": headers}, TRUSTED).ip


def test_a_stranger_chooses_no_address() -> None:
    """I-07, L-04, and B-09: what our proxy writes at the end counts, and nothing before it."""
    with without_growth():
        for said in mutations("forwarding", CORPUS, WORDS):
            everywhere = [(name, said) for name in NAMES]
            assert address(everywhere, CLIENT) == CLIENT, said
            # As proxies do it: at the end of the header, or as one more header.
            appended = [*everywhere[1:], (b"x-forwarded-for", said + b", " + CLIENT.encode())]
            assert address(appended, PROXY) == CLIENT, said
            added = [*everywhere, (b"x-forwarded-for", CLIENT.encode())]
            assert address(added, PROXY) == CLIENT, said
            # A proxy that says nothing of its own: whatever it is, it is an address.
            passed_on = address(everywhere, PROXY)
            assert str(ip_address(passed_on)) == passed_on, said
            assert limit_key(passed_on) != "unknown", said
