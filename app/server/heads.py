"""The head of a request: where it ends, what it holds, and why a well-formed one may be refused."""

from __future__ import annotations

import re

from app.http.problems import Refused

MAX_HEAD = 65_536
MAX_LINES = 100

_ONCE = frozenset({b"host", b"authorization", b"content-length", b"transfer-encoding", b"content-type", b"expect"})
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]+")
_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}( |\Z)")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_NOT_OURS = "This is not HTTP/1.1: lines end in CRLF, and the first one is METHOD PATH HTTP/1.1."


class Head:
    """What the parser found in a head. ``single`` has the headers that may occur once, ``twice`` one that was repeated."""

    __slots__ = ("complete", "headers", "single", "twice", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.single: dict[bytes, bytes] = {}
        self.twice = b""
        self.complete = False

    def add(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name in _ONCE:
            if name in self.single:
                self.twice = name
            self.single[name] = value


def malformed(detail: str) -> Refused:
    return Refused(400, "bad_request", detail)


def without_upgrade(head: bytes | bytearray) -> bytes:
    """The head without its offer to switch protocols, at which the parser would stop."""
    return _UPGRADE.sub(b"\r\nx-upgrade:", head)


def size_refusal(data: bytes | bytearray, at: int, length: int) -> Refused | None:
    """Why the head that begins at ``at`` is too large, with ``length`` bytes so far."""
    if length > MAX_HEAD or data.count(b"\n", at, at + length) > MAX_LINES + 2:
        return Refused(431, "head_too_large", f"A request's head has at most {MAX_HEAD} bytes and {MAX_LINES} lines.")
    return None


def start_refusal(data: bytes | bytearray, at: int) -> Refused | None:
    """Why the incomplete data at ``at`` cannot become a head."""
    if not _START.match(data, at) or data.find(b"\n\n", at) >= 0:
        return malformed(_NOT_OURS)
    return None


def refusal(head: Head, version: str, expect: bytes, known_host: bytes | None) -> Refused | None:
    """Why a well-formed request is refused. ``known_host`` was checked before."""
    if version not in ("1.0", "1.1"):
        return malformed(f"HTTP/{version} is not supported: send HTTP/1.1.")
    if head.twice:
        return malformed(f"There are two {head.twice.decode().title()} headers: send one.")
    host = head.single.get(b"host")
    if host is None:
        if version == "1.1":
            return malformed("There is no Host header: send one.")
    elif host != known_host and not _HOST.fullmatch(host):
        return malformed("The Host header is not a host and port.")
    if coding := head.single.get(b"transfer-encoding"):
        if b"content-length" in head.single or version == "1.0":
            return malformed("Send Content-Length, or with HTTP/1.1 Transfer-Encoding: not both.")
        if coding.lower().strip() != b"chunked":
            return malformed("The only Transfer-Encoding supported is chunked.")
    if expect not in (b"", b"100-continue"):
        return Refused(417, "expectation_failed", "The only expectation supported is 100-continue.")
    return None
