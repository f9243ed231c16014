"""Cross-origin requests: pages of the origins in a setting may read the API from a browser, with a token of theirs.

An origin is compared exactly. Refuses ``*``, and cookies: whoever asks sends a token.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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
_HOST = re.compile(r"(?!-)[a-z0-9.-]+|\[[0-9a-f:]+\]")
_PORTS = {"http": 80, "https": 443}


def origins(text: str) -> frozenset[str]:
    """From a comma-separated list. Raises ``ValueError`` with a sentence about what is no origin as a browser sends it."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    for origin in found:
        if origin == "*":
            raise ValueError("* is not possible: name each origin, such as https://app.example.com.")
        if not _is_origin(origin):
            raise ValueError(
                f"{origin!r} is not an origin as a browser sends it: http or https, the host in small letters and a port where"
                " it is not the usual one, and nothing behind that, such as https://app.example.com."
            )
    return frozenset(found)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _PORTS or port == _PORTS[parts.scheme]:
        return False
    host, _, _ = parts.netloc.rpartition(":") if port is not None else (parts.netloc, "", "")
    return bool(_HOST.fullmatch(host)) and text == f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def allowing(origin: str) -> list[Header]:
    """What every answer to a page of an allowed origin says."""
    return [(b"access-control-allow-origin", origin.encode()), _EXPOSED]
