"""A row as an account, a contact or a user."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from app.importing.cells import Cells
from app.importing.date_form import Moment
from app.importing.deals import EPOCH, AccountName, custom_fields
from app.importing.options import Kind
from app.importing.separated import Row
from app.importing.vocabulary import Vocabulary
from domain.permissions import ROLES


class Entry(Struct, frozen=True):
    """``values`` are fields of a create; empty ones are left out."""

    line: int
    values: dict[str, Any]
    account: AccountName | None
    created: Moment | None


def read(kind: Kind, cells: Cells, row: Row, vocabulary: Vocabulary, now: datetime) -> Entry | None:
    """None if something is wrong with the row, which ``cells.faults`` says."""
    cells.turn_to(row)
    created = cells.moment("created_at")
    if created is not None and not EPOCH <= created.instant <= now:
        cells.fault("created_at", "This time is in the future, or before 1970.")
    values = _READERS[kind](cells, vocabulary)
    external_id, name = cells.text("account_external_id"), cells.text("account")
    account = AccountName(external_id, name) if kind == "contacts" and (external_id or name) else None
    found = {field: value for field, value in values.items() if value not in (None, {})}
    return None if cells.faults else Entry(row.line, found, account, created)


def _account(cells: Cells, vocabulary: Vocabulary) -> dict[str, Any]:
    if not cells.text("name"):
        cells.fault("name", "An account needs a name.")
    texts = {name: cells.text(name) for name in ("name", "external_id", "domain")}
    return texts | {"custom_fields": custom_fields(cells, vocabulary)}


def _contact(cells: Cells, vocabulary: Vocabulary) -> dict[str, Any]:
    values = {name: cells.text(name) for name in ("first_name", "last_name", "email", "phone", "title", "external_id")}
    if not (values["first_name"] or values["last_name"]) and (name := cells.text("name")):
        values["first_name"], values["last_name"] = names(name)
    if not values["first_name"] and not values["last_name"]:
        cells.fault("last_name", "A contact needs a name.")
    return values | {name: values[name] or "—" for name in ("first_name", "last_name")}


def names(name: str) -> tuple[str, str]:
    """First and last name: what comes before the last space, and what comes after it."""
    first, _, last = name.strip().rpartition(" ")
    return (first, last) if first else (last, "—")


def _user(cells: Cells, vocabulary: Vocabulary) -> dict[str, Any]:
    email, role = cells.text("email"), cells.text("role")
    if not email:
        cells.fault("email", "A user needs an email.")
    if role is not None and role not in ROLES:
        cells.fault("role", f"This is none of {', '.join(ROLES)}: say under values.role which one it means.")
    return {
        "email": email,
        "name": cells.text("name") or (email or "").partition("@")[0],
        "role": role,
        "active": cells.truth("active"),
    }


_READERS = {"accounts": _account, "contacts": _contact, "users": _user}
