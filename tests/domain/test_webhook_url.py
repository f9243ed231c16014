"""Which addresses an endpoint may have, as a table of what has been tried against others."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from domain.webhook_url import STRICT, Rules, address_error, rules, url_error
from tests.support.domain import is_sentence

OPEN = rules(True, "any", "0.0.0.0/0,::/0")

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1",
    "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1", "fe80::5efe:127.0.0.1", "fd00:ec2::254",
    # Services of clouds to their machines.
    "168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::168.63.129.16", "2002:a83f:8110::", "100.100.100.200", "192.0.0.192",
    "161.26.0.7", "166.8.0.1", "166.11.255.254", "fd20:ce::254", "64:ff9b:1::a9fe:a9fe", "2002:c0a8:101::",
]  # fmt: skip
PUBLIC = [
    "168.63.129.17",
    "166.12.0.1",
    "1.1.1.1",
    "93.184.215.14",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
]

REFUSED = [
    "",
    "hooks",
    "/hooks",
    "//example.com/hooks",
    "http://example.com/hooks",
    "ftp://example.com/hooks",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "https://",
    "https:///hooks",
    "https://:443/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://@example.com/",
    "https://example.com@169.254.169.254/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:65536/",
    "https://example.com:x/",
    "https://example.com/#fragment",
    "https://example.com/#",
    "https://exam ple.com/",
    "https://example.com/\n",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/a\\b",
    "https://exämple.com/",
    "https://%31%32%37.0.0.1/",
    "https://-example.com/",
    "https://example..com/",
    "https://" + "a" * 64 + ".com/",
    "https://example." + "a" * 64 + "/",
    "https://example.com:008443/",
    "https://example.com/" + "a" * 2_048,
    "https://localhost/",
    "https://LOCALHOST./",
    "https://hooks.localhost/",
    # Other ways to write 127.0.0.1 and friends.
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0.1/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://127.0.0.1./",
    "https://1.1.1.1.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1/",
    "https://[v1.x]/",
    "https://[1.1.1.1]/",
    "https://[::1]example.com/",
    "https://[2606:4700::1]x:443/",
    "https://example.com:/",
    "https://example.com:+443/",
    *(f"https://[{address}]/" if ":" in address else f"https://{address}/" for address in PRIVATE),
]
ACCEPTED = [
    "https://example.com",
    "https://example.com/hooks?token=a%20b&x=1",
    "https://EXAMPLE.com:443/",
    "https://example.com:8443/",
    "https://xn--exmple-cua.com/hooks",
    "https://my_host.example.com./hooks",
    "https://1.1.1.1/hooks",
    "https://[2606:4700:4700::1111]/hooks",
    "https://3com.com/",
    "https://0x.example.com/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_leads_inside_or_nowhere_is_refused(url: str) -> None:
    assert is_sentence(url_error(url, STRICT))


@pytest.mark.parametrize("url", ACCEPTED)
def test_a_public_address_is_accepted(url: str) -> None:
    assert url_error(url, STRICT) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused_in_every_guise(address: str) -> None:
    assert is_sentence(address_error(ip_address(address), STRICT))
    assert address_error(ip_address(address), OPEN) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not(address: str) -> None:
    assert address_error(ip_address(address), STRICT) is None


def test_a_setting_opens_one_network_and_no_other() -> None:
    opened = rules(False, "443", "10.1.0.0/16")
    assert address_error(ip_address("10.1.2.3"), opened) is None
    assert address_error(ip_address("::ffff:10.1.2.3"), opened) is None
    assert address_error(ip_address("10.2.0.1"), opened)
    assert address_error(ip_address("fd00::1"), opened)


def test_settings_allow_http_ports_and_loopback() -> None:
    assert url_error("http://127.0.0.1:9999/hooks", OPEN) is None
    assert url_error("http://localhost:1/", OPEN) is None
    assert url_error("http://localhost:65535/", OPEN) is None
    assert url_error("http://user@localhost:1/", OPEN)
    assert url_error("http://2130706433/", OPEN)
    assert url_error("https://example.com:9000/", Rules(ports=frozenset({9000}))) is None
    assert url_error("https://example.com/", Rules(ports=frozenset({9000})))


@pytest.mark.parametrize(
    ("ports", "networks"), [("", ""), ("443,", ""), ("https", ""), ("0", ""), ("65536", ""), ("443", "10.0.0.1/8"), ("443", "lan")]
)
def test_settings_that_cannot_be_read_say_so(ports: str, networks: str) -> None:
    with pytest.raises(ValueError, match=r"ports|networks"):
        rules(False, ports, networks)


def test_settings_are_read_with_the_space_in_them() -> None:
    assert rules(True, " any ", "") == Rules(True, None, ())
    networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert rules(False, "443, 1,65535", "10.1.0.0/16, fd00::/8,") == Rules(False, frozenset({443, 1, 65_535}), networks)


def test_a_url_without_a_port_uses_that_of_its_scheme() -> None:
    for allowed, passing, other in ((80, "http", "https"), (443, "https", "http")):
        only = Rules(http=True, ports=frozenset({allowed}))
        assert url_error(f"{passing}://example.com/", only) is None
        assert url_error(f"{other}://example.com/", only)


def test_a_port_that_is_refused_is_named_with_those_that_are_not() -> None:
    assert (url_error("https://example.com:22/", STRICT) or "").endswith(" port 22. Allowed: 80, 443, 8443.")
    assert (url_error("https://example.com:0/", OPEN) or "").endswith(" port 0.")


def test_a_url_with_a_password_hears_why() -> None:
    assert "password" in (url_error("https://user:password@example.com/", STRICT) or "")


def test_an_address_of_one_link_is_refused_whatever_the_rules() -> None:
    assert is_sentence(address_error(ip_address("fe80::1%eth0"), OPEN))
    assert address_error(ip_address("fe80::1"), OPEN) is None
