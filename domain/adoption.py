"""A record that is taken over from another org with all that happened to it there: one command, one stream, all or nothing.

What was allowed then is not asked again: neither the pipeline's moves nor required fields nor roles. What is checked is what a
stream must be for everything that reads it: the events follow from each other, their values are within limits, what they name
exists, and their times go on and lie in the past. And what the record is in the end must fit the org as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from msgspec import Struct

from domain import event
from domain.context import Context
from domain.errors import Errors, Invalid
from domain.event import Event, Meta, Origin, Recorded
from domain.fields import MAX_EMAIL, line_error, text_error
from domain.permissions import require_admin

MAX_EVENTS = 5_000
"""Of a record; more would keep the log from others for too long."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOBODY = UUID(int=0)

S = TypeVar("S", bound=event.State)


class Happened(Struct, frozen=True, kw_only=True):
    """An event of the record, with the ids of this org."""

    event: Event
    at: datetime
    origin: Origin
    comment: str | None = None


class Adopt(Struct, frozen=True, kw_only=True):
    """``happened``: every event of the record, from its creation on."""

    happened: tuple[Happened, ...]


Look = Callable[[S | None, Any, Errors], Any]
"""Looks at an event and the state before it: adds what is wrong by field, and returns the event with its texts in normal form."""


def require_whole(command: Adopt, context: Context) -> None:
    """What every kind of record needs before its events are looked at. Raises ``DomainError``."""
    require_admin(context.actor)
    if not command.happened:
        raise Invalid({"events": ["A record has one event at least."]})
    if len(command.happened) > MAX_EVENTS:
        raise Invalid({"events": [f"A record has at most {MAX_EVENTS:,} events here; this has {len(command.happened):,}."]})


def events(
    command: Adopt, context: Context, creation: type[Event] | None, evolve: Callable[[S | None, Recorded], S], look: Look[S]
) -> tuple[tuple[Event, ...], S]:
    """The events, and what they come to. ``creation`` is what alone can be first, and only there; None where all are alike.

    Raises ``Invalid`` for the first event that is wrong, by its number and its fields.
    """
    state: S | None = None
    found: list[Event] = []
    for number, one in enumerate(command.happened):
        wrong = _order_errors(state, one, creation) or _time_errors(state, one, context.now) or _text_errors(one)
        happened = one.event if wrong else look(state, one.event, wrong)
        if wrong:
            raise Invalid({f"{number}.{name}": messages for name, messages in wrong.items()})
        found.append(happened)
        meta = Meta(org_id=NOBODY, command_id=NOBODY, occurred_at=one.at, recorded_at=one.at)
        state = evolve(state, Recorded(NOBODY, number + 1, happened, meta))
    assert state is not None
    return tuple(found), state


def require_end(command: Adopt, errors: Errors) -> None:
    """Raises ``Invalid`` for what is wrong with the record in the end."""
    if errors:
        raise Invalid({f"{len(command.happened) - 1}.{name}": messages for name, messages in errors.items()})


def missing(kind: str, ids: Iterable[Any], context: Context) -> list[str]:
    """What to say of ids that no record of this kind ever had in the org."""
    unknown = [str(id_) for id_ in ids if isinstance(id_, UUID) and (kind, id_) not in context.facts.known]
    return [f"There is no {kind} {', '.join(unknown)}."] if unknown else []


def _order_errors(state: event.State | None, one: Happened, creation: type[Event] | None) -> Errors:
    name = type(one.event).__name__
    if creation is not None and isinstance(one.event, creation) != (state is None):
        wrong = "comes first, and once" if isinstance(one.event, creation) else "cannot be the first"
        return {"type": [f"{name} {wrong}."]}
    deleted = getattr(state, "deleted", False)
    if state is not None and deleted != (name == "Restored"):
        is_ = "deleted" if deleted else "not deleted"
        return {"type": [f"{name} cannot follow: the record is {is_}."]}
    return {}


def _time_errors(state: event.State | None, one: Happened, now: datetime) -> Errors:
    if one.at.tzinfo is None:
        return {"occurred_at": ["Must have a time zone."]}
    if one.at > now:
        return {"occurred_at": ["This time is in the future."]}
    if one.at < EPOCH:
        return {"occurred_at": ["This time is before 1970."]}
    if state is not None and one.at < state.updated_at:
        return {"occurred_at": ["This time is before that of the event before it."]}
    return {}


def _text_errors(one: Happened) -> Errors:
    texts = {"comment": text_error(one.comment, blank=True), "origin.actor": line_error(one.origin.actor, MAX_EMAIL)}
    return {name: [message] for name, message in texts.items() if message}
