"""The files of our own exports: their headers, and the apostrophes that keep their cells from being formulas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.importing.options import Kind

TABLE, LINES = "opportunities", "opportunities-ndjson"
"""The names of the presets: of CSV and XLSX, and of NDJSON."""
TABLE_MARKS: Mapping[Kind, Sequence[str]] = {
    "opportunities": ("id", "owner_id", "stakeholder_ids", "stage_entered_at", "version"),
    "accounts": ("id", "external_id", "domain", "updated_at", "version"),
    "contacts": ("id", "external_id", "first_name", "account_id", "updated_at", "version"),
}
LINES_MARKS: Mapping[Kind, Sequence[str]] = {"opportunities": ("id", "account.id", "owner.id", "stage_entered_at", "version")}
_DEALS: Mapping[str, Sequence[str]] = {
    "contacts": ("stakeholders",),
    **{
        name: (name,)
        for name in (
            "external_id", "name", "amount", "currency", "stage", "probability", "close_date", "tags", "next_step", "actual_amount",
            "actual_close_date", "lost_reason", "created_at", "closed_at",
        )
    },
}  # fmt: skip
TABLE_FIELDS: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    "opportunities": {**_DEALS, "account": ("account",), "owner": ("owner",)},
    "accounts": {name: (name,) for name in ("external_id", "name", "domain", "created_at")},
    "contacts": {
        name: (name,) for name in ("external_id", "first_name", "last_name", "email", "phone", "title", "account", "created_at")
    },
}
LINES_FIELDS: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    "opportunities": {**_DEALS, "account": ("account.name",), "owner": ("owner.email",)},
}
_CUSTOM = re.compile(r"(?:cf_|custom_fields\.)([a-z][a-z0-9_]*)")
_APOSTROPHE = re.compile(r"'+[=+\-@\t\r]")


def custom_fields(columns: Iterable[str]) -> dict[str, str]:
    """The columns that are of custom fields, by field."""
    found = ((_CUSTOM.fullmatch(column), column) for column in columns)
    return {f"cf_{match[1]}": column for match, column in found if match}


def plain(cell: Any) -> Any:
    """A cell without the apostrophe that an export has put before it."""
    return cell[1:] if isinstance(cell, str) and cell[:1] == "'" and _APOSTROPHE.match(cell) else cell
