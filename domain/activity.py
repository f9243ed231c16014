"""An activity on a deal: a call, email, meeting, note or task. Activities cannot be edited."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import structs

from domain import adoption, event
from domain.context import Context
from domain.errors import Conflict, Errors, Invalid, NotFound
from domain.facts import References
from domain.fields import Line, Note, instant_error, limit_errors
from domain.permissions import require_deal_writer, require_writer
from domain.text import normal

Type = Literal["call", "email", "meeting", "note", "task"]


class Logged(event.Event, frozen=True):
    opportunity_id: UUID
    type: Type
    subject: str
    occurred_at: datetime
    body: str | None = None


class State(event.State, frozen=True):
    """``actor_id`` is who logged it, None for the operator."""

    opportunity_id: UUID
    type: Type
    subject: str
    body: str | None
    occurred_at: datetime
    actor_id: UUID | None


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    assert state is None
    assert isinstance(happened, Logged)
    return State(**recorded.initial_fields(), **event.set_fields(happened), actor_id=recorded.meta.actor_id)  # type: ignore[arg-type]


class Log(event.Command, frozen=True):
    """``occurred_at`` defaults to now. It may be in the past, for what is logged later, or in the future, for what is planned."""

    opportunity_id: UUID
    type: Type
    subject: Line
    body: Note | None = None
    occurred_at: datetime | None = None


class Adopt(adoption.Adopt, event.Command, frozen=True):
    """An activity of another org."""


Command = Log | Adopt


def references(command: Command) -> References:
    if isinstance(command, Adopt):
        return References(known=frozenset(one.event.opportunity_id for one in command.happened if isinstance(one.event, Logged)))
    return References(opportunity_id=command.opportunity_id)


def permit(state: State | None, command: event.Command, context: Context) -> None:
    require_writer(context.actor)
    if context.facts.opportunities:
        require_deal_writer(context.actor, context.facts.owner_id)


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Adopt):
        if state is not None:
            raise Conflict("exists", "This activity is already logged.")
        return _adopted(command, context)
    if command.opportunity_id not in context.facts.opportunities:
        raise NotFound("No such opportunity.")
    if state is not None:
        raise Conflict("exists", "This activity is already logged.")
    subject, body = normal(command.subject), normal(command.body or "")
    errors = limit_errors({"subject": subject, "body": body}, Log)
    if message := instant_error(command.occurred_at):
        errors["occurred_at"] = [message]
    if errors:
        raise Invalid(errors)
    logged = Logged(
        opportunity_id=command.opportunity_id,
        type=command.type,
        subject=subject,
        occurred_at=(command.occurred_at or context.now).astimezone(UTC),
        body=body or None,
    )
    return (logged,)


def _adopted(command: Adopt, context: Context) -> tuple[event.Event, ...]:
    adoption.require_whole(command, context)

    def look(before: State | None, happened: Logged, errors: Errors) -> event.Event:
        subject, body = normal(happened.subject), normal(happened.body or "")
        errors |= limit_errors({"subject": subject, "body": body}, Log)
        if message := instant_error(happened.occurred_at):
            errors["occurred_at"] = [message]
        if messages := adoption.missing("opportunity", [happened.opportunity_id], context):
            errors["opportunity_id"] = messages
        at = happened.occurred_at if errors else happened.occurred_at.astimezone(UTC)
        return structs.replace(happened, subject=subject, occurred_at=at, body=body or None)

    return adoption.events(command, context, Logged, evolve, look)[0]
