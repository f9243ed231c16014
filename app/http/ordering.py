"""The order of a list, as ``?ordering=`` asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from domain.did_you_mean import suggestion
from domain.errors import Errors
from projections.conditions import Order


def parse_order(text: str | None, allowed: Sequence[str], default: tuple[Order, ...], errors: Errors) -> tuple[Order, ...]:
    """Parse ``-close_date,name``."""
    if text is None:
        return default
    found: list[Order] = []
    for part in text.split(","):
        name = part.strip().removeprefix("-")
        if name not in allowed:
            errors["ordering"] = [
                f"Cannot order by {name[:100]!r}.{suggestion(name, allowed)} Possible: {', '.join(sorted(allowed))}."
            ]
            return default
        if all(name != earlier.field for earlier in found):
            found.append(Order(name, part.strip().startswith("-")))
    return tuple(found)
