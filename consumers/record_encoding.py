"""Records in Kafka's format 2, as they stand in a batch: what comes before and after every field is its length."""

from __future__ import annotations

from functools import lru_cache

from consumers.message import Headers

_SMALL = 1 << 14


def varint(number: int) -> bytes:
    """A length or an offset, which are not negative, in the zigzag form: seven bits a byte, the lowest first."""
    return _VARINTS[number] if number < _SMALL else _varint(number)


def _varint(number: int) -> bytes:
    left, encoded = number << 1, bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


_VARINTS = [_varint(number) for number in range(_SMALL)]


@lru_cache(maxsize=1_000)
def _name(name: str) -> bytes:
    encoded = name.encode()
    return varint(len(encoded)) + encoded


def record(offset: int, key: bytes, value: bytes, headers: Headers) -> bytes:
    """One at an offset within its batch, and of the batch's instant."""
    parts = [b"\0\0", varint(offset), varint(len(key)), key, varint(len(value)), value, varint(len(headers))]
    for name, content in headers:
        parts += (_name(name), varint(len(content)), content)
    body = b"".join(parts)
    return varint(len(body)) + body
