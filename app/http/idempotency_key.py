"""``Idempotency-Key``: which request a key stands for. Refuses keys that are empty, too long or not visible ASCII.

The committer stores the first response in the transaction of its events, and replays it.
"""

from __future__ import annotations

import hashlib
import re

from app.http.problems import Refused

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def parse(header: str) -> str:
    if not _KEY.fullmatch(header):
        raise Refused(400, "bad_header", "Idempotency-Key must be 1 to 255 visible ASCII characters.")
    return header


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """A hash of what two requests must share to count as the same."""
    return hashlib.sha256(f"{method} {path.rstrip('/')}\n".encode() + body).digest()
