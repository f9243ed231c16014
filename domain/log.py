"""What subscribers of an org are told of the log itself: that it was restored. One stream for each org.

The events that they saw after ``last_good_position`` and before this one are lost, unless they are of the new epoch.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from msgspec import structs

from domain import event
from domain.context import Context
from domain.epoch import Epoch
from domain.errors import Forbidden
from domain.facts import no_references


class Restored(event.Event, frozen=True):
    epoch: UUID
    last_good_position: int
    first_position: int


class State(event.State, frozen=True):
    """``epoch`` is the log's present one, which began with events at ``first_position``."""

    epoch: UUID
    last_good_position: int
    first_position: int


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    assert isinstance(happened, Restored)
    if state is None:
        return State(**recorded.initial_fields(), **event.set_fields(happened))  # type: ignore[arg-type]
    return structs.replace(state, **recorded.updated_fields(), **event.set_fields(happened))


class Restore(event.Command, frozen=True):
    """Given by the operator, after the database was restored."""

    epoch: Epoch


def stream_id(org_id: UUID) -> UUID:
    return uuid5(org_id, "log")


references = no_references


def permit(state: State | None, command: event.Command, context: Context) -> None:
    if context.actor.user_id is not None:
        raise Forbidden("Only the operator may do that.")


def decide(state: State | None, command: Restore, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    begun = command.epoch
    told = Restored(epoch=begun.id, last_good_position=begun.last_good_position, first_position=begun.first_position)
    return () if state is not None and state.epoch == begun.id else (told,)
