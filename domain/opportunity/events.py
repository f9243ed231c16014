"""The events of an opportunity, and the state that follows from them. The rules are in ``decisions``."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field, structs

from domain import event
from domain.pipeline import StageType

Status = StageType
"""Of a deal: the type of the stage that it is in."""
ProbabilitySource = Literal["stage", "manual"]


class Changes(Struct, frozen=True, kw_only=True):
    """The new values of the fields that changed; the others keep theirs. ``custom_fields`` merges by key; None removes a key.
    ``status`` is the type of ``stage`` under the policy that allowed the move."""

    name: str | UnsetType = UNSET
    account_id: UUID | UnsetType = UNSET
    amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    probability: int | UnsetType = UNSET
    probability_source: ProbabilitySource | UnsetType = UNSET
    close_date: date | UnsetType | None = UNSET
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: tuple[UUID, ...] | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    custom_fields: dict[str, Any] | UnsetType = UNSET
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: date | UnsetType | None = UNSET
    lost_reason: str | UnsetType | None = UNSET
    lost_reason_code: str | UnsetType | None = UNSET
    next_step: str | UnsetType | None = UNSET
    external_id: str | UnsetType | None = UNSET


class Created(event.Event, frozen=True):
    changes: Changes


class Updated(event.Event, frozen=True):
    """Fields other than the stage."""

    changes: Changes


class StageChanged(event.Event, frozen=True):
    """From one open stage to another."""

    changes: Changes


class Won(event.Event, frozen=True):
    changes: Changes


class Lost(event.Event, frozen=True):
    changes: Changes


class Reopened(event.Event, frozen=True):
    """From a won or lost stage back to an open one; the actual fields and the lost reason are cleared."""

    changes: Changes


class Deleted(event.Event, frozen=True):
    pass


class Restored(event.Event, frozen=True):
    pass


Changing = Created | Updated | StageChanged | Won | Lost | Reopened
OpportunityEvent = Changing | Deleted | Restored


class State(event.State, frozen=True):
    name: str
    account_id: UUID
    currency: str
    stage: str
    status: Status
    probability: int
    probability_source: ProbabilitySource
    owner_id: UUID
    stage_entered_at: datetime
    closed_at: datetime | None = None
    amount: Decimal | None = None
    close_date: date | None = None
    stakeholder_ids: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()
    custom_fields: dict[str, Any] = field(default_factory=dict)
    actual_amount: Decimal | None = None
    actual_close_date: date | None = None
    lost_reason: str | None = None
    lost_reason_code: str | None = None
    next_step: str | None = None
    external_id: str | None = None
    deleted: bool = False


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Created):
        return State(**recorded.initial_fields(), **_moved(event.set_fields(happened.changes), recorded))  # type: ignore[arg-type]
    assert state is not None, f"{recorded.stream_id} does not begin with its creation"
    if isinstance(happened, Deleted | Restored):
        return structs.replace(state, **recorded.updated_fields(), deleted=isinstance(happened, Deleted))
    assert isinstance(happened, Changing)
    new = event.set_fields(happened.changes)
    if "custom_fields" in new:
        merged = state.custom_fields | new["custom_fields"]
        new["custom_fields"] = {key: value for key, value in merged.items() if value is not None}
    return structs.replace(state, **recorded.updated_fields(), **_moved(new, recorded))


def _moved(new: dict[str, Any], recorded: event.Recorded) -> dict[str, Any]:
    """The new values with the instants of the move, if it is one. From one won stage to another a deal stays closed as it was."""
    at = recorded.meta.occurred_at
    if "stage" in new:
        new["stage_entered_at"] = at
    if "status" in new:
        new["closed_at"] = None if new["status"] == "open" else at
    return new
