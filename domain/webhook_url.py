"""Which addresses an endpoint may have: the rules of a deployment, and why a URL or an IP address breaks them.

Names are not resolved here: once a name's addresses are known, ``address_error`` checks them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

MAX_URL = 2048
PORTS = frozenset({443, 80, 8443})

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Rules:
    """``http`` allows URLs without TLS; ``ports`` is None for any; ``networks`` are allowed although not public."""

    http: bool = False
    ports: frozenset[int] | None = PORTS
    networks: tuple[Network, ...] = ()


STRICT = Rules()


def rules(http: bool, ports: str, networks: str) -> Rules:
    """Parse ports separated by commas, or ``any``, and networks as ``10.1.0.0/16``. Raises ``ValueError`` with a sentence."""
    numbers: frozenset[int] | None = None
    if ports.strip() != "any":
        texts = [text.strip() for text in ports.split(",")]
        if any(not text.isdecimal() or not 0 < int(text) < 65_536 for text in texts):
            raise ValueError(f"The ports are {ports!r}, but must be numbers separated by commas, or any.")
        numbers = frozenset(map(int, texts))
    try:
        allowed = tuple(ip_network(text.strip()) for text in networks.split(",") if text.strip())
    except ValueError as error:
        raise ValueError(f"The networks must be like 10.1.0.0/16, separated by commas: {error}.") from None
    return Rules(http, numbers, allowed)


# Special-purpose and other networks in which no endpoint can be, whatever this Python's ``is_global`` says.
_CLOSED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
        # Public by number, but clouds' own services for their machines: Azure's host, IBM's infrastructure and endpoints.
        "168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14",
    )
)  # fmt: skip
_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")

_PRINTABLE = re.compile(r"[!-~]+")
_PLACE = re.compile(r"(\[[0-9a-f:.]*:[0-9a-f:.]*\]|[^\[\]:@]+)(:\d{1,5})?", re.IGNORECASE)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.IGNORECASE)
# What resolvers accept as an address though it is not written as one: 2130706433, 0177.0.0.1, 0x7f.1, 127.1.
_NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def url_error(url: str, rules: Rules) -> str | None:
    """Why nothing can be sent to the URL."""
    if len(url) > MAX_URL:
        return f"Must have at most {MAX_URL} characters; got {len(url)}."
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        return "Must be a URL of printable ASCII characters; percent-encode others, and write the host in its xn-- form."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "Must be a URL such as https://example.com/hooks."
    if "#" in url:
        return "Must not have a fragment (#…)."
    return _scheme_error(parts, rules) or _port_error(parts, port, rules) or _host_error(parts.hostname or "", rules)


def _scheme_error(parts: SplitResult, rules: Rules) -> str | None:
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "Must be a URL such as https://example.com/hooks."
    if parts.scheme == "http" and not rules.http:
        return "Must begin with https://."
    if "@" in parts.netloc:
        return "Must not contain a user or password: requests are signed instead."
    return None if _PLACE.fullmatch(parts.netloc) else "The host is neither a name nor an address."


def _port_error(parts: SplitResult, port: int | None, rules: Rules) -> str | None:
    number = port if port is not None else 443 if parts.scheme == "https" else 80
    if number == 0 or (rules.ports is not None and number not in rules.ports):
        allowed = f" Allowed: {', '.join(map(str, sorted(rules.ports)))}." if rules.ports else ""
        return f"Must not use port {number}.{allowed}"
    return None


def _host_error(host: str, rules: Rules) -> str | None:
    try:
        address = ip_address(host)
    except ValueError:
        if _NUMERIC.fullmatch(host) or ":" in host:
            return "Write an address as four decimal numbers, or as IPv6 in brackets; a name is better."
        if len(host) > 253 or not _NAME.fullmatch(host):
            return "The host is not a valid name."
        local = host.lower().rstrip(".")
        loopback = local == "localhost" or local.endswith(".localhost")
        return address_error(ip_address("127.0.0.1"), rules) if loopback else None
    return address_error(address, rules)


def address_error(address: Address, rules: Rules) -> str | None:
    """Why nothing can be sent to an IP address: it is not public, nor in a network that the rules allow."""
    if isinstance(address, IPv6Address) and address.scope_id:
        return "Must not have a scope id (%…)."
    inner = unwrapped(address)
    if any(each in network for network in rules.networks for each in (address, inner) if each.version == network.version):
        return None
    closed = any(inner in network for network in _CLOSED if network.version == inner.version)
    if closed or inner.is_multicast or not inner.is_global or (inner.version == 6 and inner not in _UNICAST):
        return "Must be a public address: private, loopback, link-local and reserved ones are refused."
    return None


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
