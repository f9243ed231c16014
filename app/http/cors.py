"""Cross-origin requests: pages of the origins in a setting may call the API from a browser, with a token.

Origins are compared exactly. There is no ``*``, and no cookies are used: every request sends a token.
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
"""Headers of the response to a preflight request."""


def allowing(origin: str) -> list[Header]:
    """Headers of every response to a page of an allowed origin."""
    return [(b"access-control-allow-origin", origin.encode()), _EXPOSED]
