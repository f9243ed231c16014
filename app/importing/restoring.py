"""The commands that undo what an import did to a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from domain import account, contact, fold, opportunity, user
from domain.errors import DomainError, VersionMismatch
from domain.event import Command, Recorded, State

CHANGED = "Something else changed this record since; it was left as it is."


def words(error: Exception) -> str:
    """Why a record was left as it is."""
    if isinstance(error, VersionMismatch):
        return CHANGED
    return f"It was left as it is: {error.detail}" if isinstance(error, DomainError) else "It was left as it is."


def deletion(kind: str) -> Command:
    commands: dict[str, Command] = {
        "opportunity": opportunity.Delete(),
        "account": account.Delete(),
        "contact": contact.Delete(),
        "user": user.Update(active=False),
    }
    return commands[kind]


def states(events: Sequence[Recorded], versions: Mapping[UUID, int]) -> dict[UUID, tuple[State | None, State]]:
    """Records by their events: each as it was at its version, None for version 0, and as it is."""
    then: dict[UUID, State] = {}
    now: dict[UUID, State] = {}
    fold.changes([one for one in events if one.version <= versions[one.stream_id]], then)
    fold.changes(events, now)
    return {id_: (then.get(id_), now[id_]) for id_ in versions}


def back(state: State, now: State) -> Command:
    """The command that gives a record the values of an earlier state."""
    match state:
        case opportunity.State():
            return opportunity.Update(**_deal(state, now))
        case account.State():
            return account.Replace(**{name: getattr(state, name) for name in account.AccountFields.__struct_fields__})
        case contact.State():
            names = ("first_name", "last_name", "email", "phone", "title", "account_id", "external_id")
            return contact.Replace(**{name: getattr(state, name) for name in names})
        case user.State():
            return user.Update(email=state.email, name=state.name, role=state.role, active=state.active)
    raise TypeError(type(state))


_DEAL = (
    "name", "account_id", "owner_id", "stage", "currency", "amount", "close_date", "next_step", "external_id", "stakeholder_ids",
    "tags",
)  # fmt: skip
_ENDING: dict[str, tuple[str, ...]] = {
    "open": ("probability",),
    "won": ("actual_amount", "actual_close_date"),
    "lost": ("actual_amount", "actual_close_date", "lost_reason"),
}


def _deal(state: opportunity.State, now: State) -> dict[str, Any]:
    """The fields of a deal; of its custom fields, those that came since are removed."""
    fields: dict[str, Any] = {name: getattr(state, name) for name in (*_DEAL, *_ENDING[state.status])}
    custom = dict.fromkeys(getattr(now, "custom_fields", {})) | dict(state.custom_fields)
    return fields | {"custom_fields": custom} if custom else fields
