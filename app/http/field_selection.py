"""The fields of the records in a list, as ``?fields=`` selects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from domain.did_you_mean import MAX_HINTS, suggestion
from domain.errors import Errors


def parse_fields(text: str | None, known: Sequence[str], errors: Errors) -> tuple[str, ...]:
    """Parse ``id,name``; empty for all fields."""
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        errors["fields"] = [f"No field {name[:100]!r}.{suggestion(name, known)}" for name in unknown[:MAX_HINTS]]
        return ()
    return tuple(name for name in known if name in names)


_items = msgspec.json.Decoder(list[dict[str, Raw]])


def select_fields(results: Sequence[Any], names: Sequence[str]) -> list[dict[str, Raw]]:
    """Keep only the named fields of results."""
    rows = _items.decode(msgspec.json.encode(results))
    return [{name: row[name] for name in row if name in names} for row in rows]
