"""An account: the company that deals are made with. It cannot be deleted while live deals refer to it."""

from __future__ import annotations

from typing import Any, assert_never

from msgspec import UNSET, UnsetType, field, structs

from domain import adoption, custom_value, event, external_id
from domain.context import Context
from domain.errors import Conflict, Errors, Invalid, NotFound
from domain.external_id import ExternalId
from domain.facts import References
from domain.fields import CustomFields, Line, limit_errors
from domain.permissions import require_manager, require_writer
from domain.text import normalised


class Created(event.Event, frozen=True):
    name: str
    domain: str | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)
    external_id: str | None = None


class Updated(event.Event, frozen=True):
    """``custom_fields`` merges by key; None removes a key."""

    name: str | UnsetType = UNSET
    domain: str | UnsetType | None = UNSET
    custom_fields: dict[str, Any] | UnsetType = UNSET
    external_id: str | UnsetType | None = UNSET


class Deleted(event.Event, frozen=True):
    pass


class State(event.State, frozen=True):
    name: str
    domain: str | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    deleted: bool = False


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Created):
        return State(**recorded.initial_fields(), **event.set_fields(happened))  # type: ignore[arg-type]
    assert state is not None
    if isinstance(happened, Deleted):
        return structs.replace(state, **recorded.updated_fields(), deleted=True)
    assert isinstance(happened, Updated)
    new = event.set_fields(happened)
    if "custom_fields" in new:
        new["custom_fields"] = custom_value.merged(state.custom_fields, new["custom_fields"])
    return structs.replace(state, **recorded.updated_fields(), **new)


class AccountFields(event.Command, frozen=True):
    """All of an account that a user sets."""

    name: Line
    domain: Line | None = None
    custom_fields: CustomFields | None = None
    external_id: ExternalId | None = None


class Create(AccountFields, frozen=True):
    pass


class Update(event.Command, frozen=True):
    """Changes the fields given; null clears a field. ``custom_fields`` merges by key, and null removes a key."""

    name: Line | UnsetType = UNSET
    domain: Line | UnsetType | None = UNSET
    custom_fields: CustomFields | UnsetType | None = UNSET
    external_id: ExternalId | UnsetType | None = UNSET


class Replace(AccountFields, frozen=True):
    """Replaces the whole account (PUT): what is left out is cleared."""


class Delete(event.Command, frozen=True):
    pass


class Adopt(adoption.Adopt, event.Command, frozen=True):
    """An account of another org with its past."""


Command = Create | Update | Replace | Delete | Adopt


def references(command: Command) -> References:
    if isinstance(command, Adopt):
        return References(external_ids=external_id.of_events("account", command))
    if isinstance(command, Delete):
        return References(deals="account")
    return References(external_ids=external_id.named("account", command.external_id))


def permit(state: State | None, command: event.Command, context: Context) -> None:
    (require_manager if isinstance(command, Delete) else require_writer)(context.actor)


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Create | Adopt):
        if state is not None:
            raise Conflict("exists", "This account already exists.")
        if isinstance(command, Adopt):
            return _adopted(command, context)
        created = _checked(normalised(event.set_fields(command)), {})
        external_id.require_free("account", created["external_id"], None, context.facts)
        return (Created(**created),)
    if state is None or state.deleted:
        raise NotFound("No such account.")
    match command:
        case Update():
            return _changed(state, event.set_fields(command), context)
        case Replace():
            wanted = event.set_fields(command)
            wanted["custom_fields"] = dict.fromkeys(state.custom_fields) | (wanted["custom_fields"] or {})
            return _changed(state, wanted, context)
        case Delete():
            if context.facts.deals:
                raise Conflict(
                    "in_use",
                    f"{context.facts.deals} deals belong to this account: move or delete them first.",
                    deals=context.facts.deals,
                )
            return (Deleted(),)
        case _:
            assert_never(command)


def _changed(state: State, wanted: dict[str, Any], context: Context) -> tuple[event.Event, ...]:
    changes = _checked(event.changed_fields(state, wanted), state.custom_fields)
    if not changes.get("custom_fields", True):
        del changes["custom_fields"]
    external_id.require_free("account", changes.get("external_id"), state.id, context.facts)
    return (Updated(**changes),) if changes else ()


def _checked(values: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The values; of the custom fields, those that differ from ``kept``. Raises ``Invalid``."""
    errors: Errors = limit_errors(values, AccountFields)
    if "custom_fields" in values:
        wanted = dict.fromkeys(kept) if values["custom_fields"] is None else values["custom_fields"]
        values["custom_fields"] = custom_value.checked({}, kept, wanted, errors)
    if errors:
        raise Invalid(errors)
    return values


def _adopted(command: Adopt, context: Context) -> tuple[event.Event, ...]:
    adoption.require_whole(command, context)

    def look(before: State | None, happened: Any, errors: Errors) -> event.Event:
        values = normalised(event.set_fields(happened))
        errors |= limit_errors(values, AccountFields)
        given = values.get("custom_fields", {})
        errors |= custom_value.history_errors(before.custom_fields if before else None, given)
        looked_at: event.Event = structs.replace(happened, **values)
        return looked_at

    events, last = adoption.events(command, context, Created, evolve, look)
    if not last.deleted:
        external_id.require_free("account", last.external_id, None, context.facts)
    return events
