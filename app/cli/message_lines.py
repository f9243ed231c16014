"""A message of the topic as a line: its JSON for programs, a few words for people."""

from __future__ import annotations

from datetime import datetime

import msgspec

from consumers import message
from consumers.kafka import Fetched


def raw(record: Fetched) -> str:
    return (record.value or b"").decode(errors="replace")


def line(record: Fetched) -> str:
    """A line with time, position, type, record, actor and old values."""
    try:
        decoded = message.decode(record.value or b"")
    except msgspec.DecodeError:
        return f"?  {raw(record)}"
    shown = msgspec.json.decode(next(iter(decoded.data.values()), b"null"))
    of = shown.get("name") or shown.get("subject") or shown.get("id") or "" if isinstance(shown, dict) else ""
    by = decoded.actor.email if decoded.actor else "the operator"
    changed = bytes(decoded.previous).decode()
    at = _local(decoded.recorded_at)
    return f"{at}  {decoded.position:>8}  {decoded.type:<26}  {of}  by {by}" + (f"  was {changed}" if changed != "{}" else "")


def _local(instant: datetime) -> str:
    return instant.astimezone().strftime("%H:%M:%S")
