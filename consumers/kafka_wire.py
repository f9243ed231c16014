"""Kafka's protocol on a socket, as little of it as it takes to ask a broker what is wrong."""

from __future__ import annotations

import socket
import struct

LARGEST_ANSWER = 1024 * 1024
HANDSHAKE, VERSIONS, AUTHENTICATE = 17, 18, 36
"""Requests by their number."""


def request(connection: socket.socket, kind: int, version: int, body: bytes = b"") -> bytes:
    """The answer without its header. Raises ``OSError``, ``ValueError`` for one that is too large."""
    head = struct.pack(">hhi", kind, version, 1) + text("opportunities")
    connection.sendall(struct.pack(">i", len(head + body)) + head + body)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not 4 <= size <= LARGEST_ANSWER:
        raise ConnectionError("not an answer of Kafka's protocol")
    return _read(connection, size)[4:]


def _read(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError("closed")
        got += part
    return got


def text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded


def texts(data: bytes) -> list[str]:
    (count,) = struct.unpack_from(">i", data)
    found, at = [], 4
    for _ in range(count):
        (length,) = struct.unpack_from(">h", data, at)
        found.append(data[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return found
