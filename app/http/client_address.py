"""The client's address, by which requests without a valid token are limited. Only trusted proxies may name it in a header."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from domain.webhook_url import Address, Network

ONE_SITE = 64
"""Prefix length of an IPv6 site: whoever has one address there has them all."""


def from_scope(scope: Any, trusted: Sequence[Network]) -> str:
    """The client's address; for IPv6 its /64 network. It is the last address on the way that is not a trusted proxy."""
    client = scope.get("client")
    address = _parsed(client[0]) if client else None
    if address is not None and _among(address, trusted):
        hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1").split(",")
        while hops and _among(address, trusted) and (hop := _parsed(hops.pop())) is not None:
            address = hop
    if address is None:
        return ""
    return str(IPv6Network((address, ONE_SITE), strict=False) if isinstance(address, IPv6Address) else address)


def _parsed(text: str) -> Address | None:
    """Parse ``1.2.3.4``, ``1.2.3.4:80``, ``::1`` or ``[::1]:80``. An IPv4 address mapped to IPv6 becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
