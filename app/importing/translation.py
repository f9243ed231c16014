"""The events of another org in the words of this one: its ids, its users, its stages; and an external id where there was none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, structs

from app.importing.people import People
from domain import account, activity, contact, exchange_rate, opportunity
from domain.event import Event
from projections.imports.ids import Known


class Unknown(Exception):
    """An event names something that is not there. ``field`` is where, ``value`` what."""

    def __init__(self, field: str, value: str, message: str) -> None:
        super().__init__(message)
        self.field, self.value = field, value


class Translation(Struct, frozen=True):
    """``known`` are the records that came so far, by their ids in the file."""

    known: Mapping[UUID, Known]
    people: People
    stages: Mapping[str, str]

    def event(self, given: Event, old: UUID) -> Event:
        """Raises ``Unknown``."""
        match given:
            case account.Created() | account.Updated():
                return structs.replace(given, **_external_id(given, old))
            case contact.Created() | contact.Updated():
                return structs.replace(given, **_external_id(given, old), **self._record(given, "account", "account_id"))
            case activity.Logged():
                return structs.replace(given, **self._record(given, "opportunity", "opportunity_id"))
            case opportunity.Created():
                return opportunity.Created(changes=self._changes(given.changes, old, new=True))
            case exchange_rate.Quoted() | account.Deleted() | contact.Deleted() | opportunity.Deleted() | opportunity.Restored():
                return given
        changes = getattr(given, "changes", None)
        if not isinstance(changes, opportunity.Changes):
            raise Unknown("type", type(given).__name__, "Events of this kind are not imported.")
        return structs.replace(given, changes=self._changes(changes, old, new=False))

    def _changes(self, changes: opportunity.Changes, old: UUID, *, new: bool) -> opportunity.Changes:
        found = _external_id(changes, old, new=new) | self._record(changes, "account", "account_id")
        if isinstance(owner := changes.owner_id, UUID):
            found["owner_id"] = self._user(owner)
        if isinstance(changes.stakeholder_ids, tuple):
            found["stakeholder_ids"] = tuple(self._new("contact", id_, "stakeholder_ids") for id_ in changes.stakeholder_ids)
        if isinstance(changes.stage, str):
            found["stage"] = self.stages.get(changes.stage, changes.stage)
        return structs.replace(changes, **found)

    def _record(self, given: Any, kind: str, field: str) -> dict[str, Any]:
        old = getattr(given, field)
        return {field: self._new(kind, old, field)} if isinstance(old, UUID) else {}

    def _new(self, kind: str, old: UUID, field: str) -> UUID:
        found = self.known.get(old)
        if found is None or found.kind != kind:
            raise Unknown(field, str(old), f"The file has no {kind} with this id before this line, or it was refused.")
        return found.new

    def _user(self, old: UUID) -> UUID:
        found = self.people.user(old)
        if found is None:
            email = self.people.email(old)
            if email is None:
                raise Unknown("owner_id", str(old), "The file has no user with this id.")
            raise Unknown(
                "owner_id", email, "The org has no user with this email: say under values.owner who it is, or give defaults.owner."
            )
        return found


def _external_id(given: Any, old: UUID, *, new: bool | None = None) -> dict[str, Any]:
    """The old id in the place of none, wherever an event says that there is none."""
    is_new = type(given).__name__ == "Created" if new is None else new
    empty = given.external_id is None or (is_new and given.external_id is UNSET)
    return {"external_id": str(old)} if empty else {}
