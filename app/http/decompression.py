"""Decompression of request bodies, never beyond the size that a body may have."""

from __future__ import annotations

import zlib

from app.http.problems import Refused

MAX_MEMBERS = 16
_GZIP = 31
_MAGIC = b"\x1f\x8b"
_REFUSED = "Send the body as it is, or with Content-Encoding: gzip."


def inflated(raw: bytes, content_encoding: str, limit: int) -> bytes:
    """Decompress a request body. Raises ``Refused``: 415, 413 beyond ``limit`` bytes, 400 for invalid gzip."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    if names == ["identity"] or not raw:
        return raw
    if names not in (["gzip"], ["x-gzip"]):
        raise Refused(415, "unsupported_content_encoding", _REFUSED, {"accept-encoding": "gzip"})
    parts: list[bytes] = []
    room = limit
    for _ in range(MAX_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(raw, room + 1)
        except zlib.error:
            raise _broken("it is damaged or not gzip") from None
        room -= len(part)
        if room < 0:
            raise Refused(413, "too_large", f"The request body is larger than this server accepts: {limit} bytes uncompressed.")
        if not member.eof:
            raise _broken("it is truncated")
        parts.append(part)
        raw = member.unused_data
        if not raw:
            return b"".join(parts)
        if not raw.startswith(_MAGIC):
            raise _broken("there is data after its end")
    raise _broken(f"it has more than {MAX_MEMBERS} members")


def _broken(how: str) -> Refused:
    return Refused(400, "malformed_body", f"The body is not valid gzip: {how}.")
