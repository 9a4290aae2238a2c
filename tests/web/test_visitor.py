from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_asgi.events import NOBODY, Visitor
from authkit_asgi.web.asgi import Scope
from authkit_asgi.web.visitor import MAX_USER_AGENT, limit_key, visitor_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def scope(client: Any, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "client": client, "headers": list(headers)}


def seen(client: Any, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return visitor_of(scope(client, *headers), PROXIES).ip


@pytest.mark.parametrize(
    ("client", "ip"),
    [
        pytest.param(("192.0.2.7", 5000), "192.0.2.7", id="an address"),
        pytest.param(["192.0.2.7", 5000], "192.0.2.7", id="a list, as daphne has it"),
        pytest.param(("2001:DB8:0::7", 5000), "2001:db8::7", id="L-03 IPv6 in one spelling"),
        pytest.param(("::ffff:192.0.2.7", 5000), "192.0.2.7", id="L-03 IPv4 within IPv6"),
        pytest.param(("fe80::1%eth0", 5000), "fe80::1", id="a zone"),
        pytest.param(None, "", id="no client"),
        pytest.param(("", 0), "", id="a unix socket"),
        pytest.param(("/run/app.sock", None), "", id="a unix socket by its path"),
        pytest.param((None, None), "", id="a client without address"),
        pytest.param(("testclient", 50000), "", id="a test client"),
    ],
)
def test_the_connection_tells_the_address(client: Any, ip: str) -> None:
    assert seen(client) == ip
    if not ip:
        assert seen(client, "192.0.2.1") == "", "nobody vouches for the header"


def test_a_scope_without_client_is_nobody() -> None:
    assert visitor_of({"type": "websocket", "headers": []}, PROXIES) == NOBODY


@pytest.mark.parametrize(
    ("client", "forwarded", "ip"),
    [
        pytest.param("192.0.2.7", ["198.51.100.1"], "192.0.2.7", id="I-07 a stranger's word"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="I-07 a proxy that says nothing"),
        pytest.param("10.0.0.1", ["192.0.2.7"], "192.0.2.7", id="I-07 one proxy"),
        pytest.param("10.0.0.1", ["192.0.2.7, 10.0.0.2"], "192.0.2.7", id="I-07 two proxies"),
        pytest.param("fd00::1", ["2001:db8::7"], "2001:db8::7", id="I-07 by IPv6"),
        pytest.param("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7", id="I-07 a proxy, folded"),
        pytest.param(
            "10.0.0.1",
            ["1.1.1.1, 192.0.2.7"],
            "192.0.2.7",
            id="I-07 L-04 a client that makes it up",
        ),
        pytest.param(
            "10.0.0.1", ["10.9.9.9, 192.0.2.7"], "192.0.2.7", id="I-07 L-04 it says it is a proxy"
        ),
        pytest.param(
            "10.0.0.1",
            ["1.1.1.1", "192.0.2.7"],
            "192.0.2.7",
            id="I-07 L-04 two headers, last counts",
        ),
        pytest.param("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3", id="I-07 proxies all along"),
        pytest.param("10.0.0.1", ["192.0.2.7, nonsense"], "10.0.0.1", id="I-07 malformed"),
        pytest.param("10.0.0.1", ["x, 10.0.0.2"], "10.0.0.2", id="I-07 malformed further out"),
        pytest.param("10.0.0.1", ["192.0.2.7,"], "10.0.0.1", id="I-07 an empty hop"),
        pytest.param("10.0.0.1", [""], "10.0.0.1", id="I-07 an empty header"),
        pytest.param("10.0.0.1", ["unknown"], "10.0.0.1", id="I-07 a proxy that does not know"),
        pytest.param("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7", id="a port"),
        pytest.param("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7", id="a port and IPv6"),
        pytest.param("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7", id="brackets"),
        pytest.param("10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7", id="L-03 folded"),
        pytest.param("10.0.0.1", ["192.0.2.07"], "10.0.0.1", id="a leading zero is octal to some"),
    ],
)
def test_forwarding_is_believed_as_far_as_our_proxies_reach(
    client: str, forwarded: list[str], ip: str
) -> None:
    assert seen((client, 5000), *forwarded) == ip


def test_without_proxies_of_ours_no_header_is_believed() -> None:
    """SECURITY I-07, L-04."""
    headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"forwarded", b"for=1.1.1.1")]
    assert visitor_of(scope(("127.0.0.1", 1), *headers), ()).ip == "127.0.0.1"


@pytest.mark.parametrize("client", [None, ("", 0), ["", "0"], ("/run/app.sock", None)])
def test_a_proxy_at_a_unix_socket_vouches_where_that_is_said(client: Any) -> None:
    """I-07: uvicorn, hypercorn and daphne tell no client of such a connection, granian an empty
    one."""
    headers = [(b"x-forwarded-for", b"1.1.1.1, 192.0.2.7, 10.0.0.2")]
    assert visitor_of(scope(client, *headers), PROXIES, unix=True).ip == "192.0.2.7"
    assert visitor_of(scope(client, *headers), (), unix=True).ip == "10.0.0.2"
    assert visitor_of(scope(client), PROXIES, unix=True).ip == ""
    assert visitor_of(scope(client, *headers), PROXIES).ip == ""
    stranger = scope(("192.0.2.9", 1), *headers)
    assert visitor_of(stranger, PROXIES, unix=True).ip == "192.0.2.9"


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_header_can_be_read(values: list[bytes]) -> None:
    headers = [(b"x-forwarded-for", value) for value in values]
    assert visitor_of(scope(("10.0.0.1", 1), *headers), PROXIES).ip


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(b"Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)", id="as it is"),
        pytest.param(b"x" * 5000, "x" * MAX_USER_AGENT, id="a long one"),
        pytest.param(b"a\x00b\r\nc\x1b[31md\x7f\x9b", "abc[31md", id="control characters"),
        pytest.param(b"  curl  ", "curl", id="spaces around"),
        pytest.param(b"\xe9", "\u00e9", id="Latin-1"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_a_user_agent_is_short_and_printable(sent: bytes, kept: str) -> None:
    request = scope(("192.0.2.7", 1), (b"user-agent", sent), (b"user-agent", b"second"))
    assert visitor_of(request, ()) == Visitor(ip="192.0.2.7", user_agent=kept)


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", id="L-03 IPv4"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="L-03 IPv4 within IPv6"),
        pytest.param("2001:db8:1:2::7", "2001:db8:1:2::/64", id="L-03 IPv6"),
        pytest.param("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64", id="L-03 its end"),
        pytest.param("2001:db8:1:3::7", "2001:db8:1:3::/64", id="L-03 the next network"),
        pytest.param("", "unknown", id="L-04 nobody knows"),
        pytest.param("testclient", "unknown", id="L-04 no address"),
    ],
)
def test_an_address_is_counted_under_one_key(ip: str, key: str) -> None:
    assert limit_key(ip) == key
