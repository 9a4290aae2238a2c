"""Where a request came from, by what cannot be made up: the connection, and proxies of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from authkit_asgi.events import Visitor
from authkit_asgi.web.asgi import Headers, Scope

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_USER_AGENT = 256
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# `192.0.2.1:5000` and `[2001:db8::1]:5000`: some proxies add the port.
WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")


def visitor_of(scope: Scope, trusted: Sequence[Network], *, unix: bool = False) -> Visitor:
    """The client's address and user agent; the address is empty when nobody can tell.

    X-Forwarded-For is read from its right end, where our own proxies write, and only as long as
    the hop that vouches for the next is trusted. All to the left of that is a stranger's word.
    `unix`: a connection without address, which comes by a Unix socket, is a proxy's of ours.
    """
    client = scope.get("client")
    hop = _address(client[0]) if client else None
    if unix if hop is None else _is_trusted(hop, trusted):
        hop = _first_stranger(hop, scope["headers"], trusted)
    return Visitor(ip=str(hop or ""), user_agent=_user_agent(scope["headers"]))


def limit_key(ip: str) -> str:
    """Under which an address is counted: whoever has one IPv6 address has a /64 of them.

    Those whose address is not known share one key; no address must not mean no limit.
    """
    address = _address(ip)
    if address is None:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def _first_stranger(
    hop: Address | None, headers: Headers, trusted: Sequence[Network]
) -> Address | None:
    for forwarded in _forwarded_for(headers):
        address = _address(forwarded)
        if address is None:
            return hop
        hop = address
        if not _is_trusted(hop, trusted):
            return hop
    return hop


def _forwarded_for(headers: Headers) -> Iterator[str]:
    """The hops, the nearest first."""
    chain = b",".join([value for name, value in headers if name == b"x-forwarded-for"])
    for hop in reversed(chain.split(b",")):
        text = hop.decode("latin-1").strip(" \t")
        found = WITH_PORT.fullmatch(text)
        yield (found["v6"] or found["v4"]) if found else text


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _address(text: object) -> Address | None:
    """One spelling for one address: `::ffff:192.0.2.1` is 192.0.2.1, and a zone is left out."""
    try:
        address = ip_address(str(text).partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _user_agent(headers: Headers) -> str:
    sent = next((value for name, value in headers if name == b"user-agent"), b"")
    return CONTROLS.sub("", sent.decode("latin-1"))[:MAX_USER_AGENT].strip()
