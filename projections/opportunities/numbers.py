"""The term of a number in a custom field."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from projections.terms import term


def number_value(org_id: UUID, key: str, number: Decimal) -> int:
    plain = format(number, "f") if number else "0"
    return term(org_id, f"#{key}", plain.rstrip("0").rstrip(".") if "." in plain else plain)
