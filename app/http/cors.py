"""Cross-origin requests: pages of the origins in a setting may read the API from a browser, with a token of theirs.

An origin is compared exactly. Refuses ``*``, and cookies: whoever asks sends a token.
"""

from __future__ import annotations

from app.http.response import Header

SAFE = "ETag, Location, Retry-After, X-Request-Id, Idempotent-Replayed"
SENT = "Authorization, Content-Type, Content-Encoding, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, X-Request-Id"
_EXPOSED: Header = (b"access-control-expose-headers", SAFE.encode())
PREFLIGHT: list[Header] = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", SENT.encode()),
    (b"access-control-max-age", b"600"),
]
"""What the answer says besides, by which a browser learns whether it may ask."""


def allowing(origin: str) -> list[Header]:
    """What every answer to a page of an allowed origin says."""
    return [(b"access-control-allow-origin", origin.encode()), _EXPOSED]
