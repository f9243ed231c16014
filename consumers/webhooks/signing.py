"""Secrets of endpoints and Standard Webhooks signatures. Secrets are not stored: they are derived when needed."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from uuid import UUID

PREFIX = "whsec_"
OVERLAP = timedelta(hours=24)
"""How long the previous secret signs as well."""


def secret(key: bytes, endpoint_id: UUID, generation: int) -> bytes:
    """32 bytes that cannot be derived without the installation's key."""
    return hmac.digest(key, f"{endpoint_id}:{generation}".encode(), "sha256")


def shown(secret: bytes) -> str:
    """As a receiver enters it."""
    return PREFIX + base64.b64encode(secret).decode()


def in_force(key: bytes, endpoint_id: UUID, generation: int, rotated_at: datetime | None, now: datetime) -> list[bytes]:
    """The secrets that sign at this instant, the current one first."""
    secrets = [secret(key, endpoint_id, generation)]
    if generation > 1 and rotated_at is not None and now < rotated_at + OVERLAP:
        secrets.append(secret(key, endpoint_id, generation - 1))
    return secrets


def headers(secrets: list[bytes], event_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers: id, time of this attempt, and for each secret a signature of id, time and body."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((event_id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(each, signed, "sha256")).decode() for each in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
