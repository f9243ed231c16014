"""A contact: a person, with or without an account, who can be a stakeholder of deals.

It cannot be deleted while live deals name it. Deals that were deleted earlier keep its id, but no longer show it when they are
restored.
"""

from __future__ import annotations

from typing import Any, assert_never
from uuid import UUID

from msgspec import UNSET, UnsetType, structs

from domain import adoption, event, external_id
from domain.context import Context
from domain.errors import Conflict, Errors, Invalid, NotFound
from domain.external_id import ExternalId
from domain.facts import References, to_records
from domain.fields import Email, Line, limit_errors
from domain.permissions import require_manager, require_writer
from domain.text import normalised


class Created(event.Event, frozen=True):
    first_name: str
    last_name: str
    email: str | None = None
    phone: str | None = None
    title: str | None = None
    account_id: UUID | None = None
    external_id: str | None = None


class Updated(event.Event, frozen=True):
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    title: str | UnsetType | None = UNSET
    account_id: UUID | UnsetType | None = UNSET
    external_id: str | UnsetType | None = UNSET


class Deleted(event.Event, frozen=True):
    pass


class State(event.State, frozen=True):
    first_name: str
    last_name: str
    email: str | None = None
    phone: str | None = None
    title: str | None = None
    account_id: UUID | None = None
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
    return structs.replace(state, **recorded.updated_fields(), **event.set_fields(happened))


class ContactFields(event.Command, frozen=True):
    """All of a contact that a user sets."""

    first_name: Line
    last_name: Line
    email: Email | None = None
    phone: Line | None = None
    title: Line | None = None
    account_id: UUID | UnsetType | None = UNSET
    account_external_id: ExternalId | UnsetType | None = UNSET
    external_id: ExternalId | None = None


class Create(ContactFields, frozen=True):
    pass


class Update(event.Command, frozen=True):
    """Changes the fields given; null clears a field."""

    first_name: Line | UnsetType = UNSET
    last_name: Line | UnsetType = UNSET
    email: Email | UnsetType | None = UNSET
    phone: Line | UnsetType | None = UNSET
    title: Line | UnsetType | None = UNSET
    account_id: UUID | UnsetType | None = UNSET
    account_external_id: ExternalId | UnsetType | None = UNSET
    external_id: ExternalId | UnsetType | None = UNSET


class Replace(ContactFields, frozen=True):
    """Replaces the whole contact (PUT): what is left out is cleared."""


class Delete(event.Command, frozen=True):
    pass


NAMES = {"account_external_id": "account_id"}


class Adopt(adoption.Adopt, event.Command, frozen=True):
    """A contact of another org with its past."""


Command = Create | Update | Replace | Delete | Adopt


def references(command: Command) -> References:
    if isinstance(command, Adopt):
        ids = [getattr(one.event, "account_id", None) for one in command.happened]
        return References(known=to_records(*ids).records, external_ids=external_id.of_events("contact", command))
    if isinstance(command, Delete):
        return References(deals="stakeholder")
    return References(
        records=to_records(command.account_id).records,
        external_ids=external_id.named("account", command.account_external_id) | external_id.named("contact", command.external_id),
    )


def permit(state: State | None, command: event.Command, context: Context) -> None:
    (require_manager if isinstance(command, Delete) else require_writer)(context.actor)


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Create | Adopt):
        if state is not None:
            raise Conflict("exists", "This contact already exists.")
        if isinstance(command, Adopt):
            return _adopted(command, context)
        wanted = {"account_id": None, **_resolved(command, context)}
        return (Created(**_checked(normalised(wanted), None, context)),)
    if state is None or state.deleted:
        raise NotFound("No such contact.")
    match command:
        case Update():
            return _changed(state, _resolved(command, context), context)
        case Replace():
            return _changed(state, {"account_id": None, **_resolved(command, context)}, context)
        case Delete():
            if context.facts.deals:
                raise Conflict(
                    "in_use",
                    f"{context.facts.deals} deals have this contact as a stakeholder: remove it from them or delete them first.",
                    deals=context.facts.deals,
                )
            return (Deleted(),)
        case _:
            assert_never(command)


def _resolved(command: ContactFields | Update, context: Context) -> dict[str, Any]:
    """The values given, with the account's id in the place of its name. Raises ``Invalid``."""
    wanted, errors = event.set_fields(command), Errors()
    external_id.resolve(wanted, NAMES, errors, context.facts)
    if errors:
        raise Invalid(errors | limit_errors(wanted, ContactFields))
    return wanted


def _changed(state: State, wanted: dict[str, Any], context: Context) -> tuple[event.Event, ...]:
    changes = _checked(event.changed_fields(state, wanted), state, context)
    return (Updated(**changes),) if changes else ()


def _checked(values: dict[str, Any], state: State | None, context: Context) -> dict[str, Any]:
    """Raises ``Invalid``, ``Conflict``."""
    errors: Errors = limit_errors(values, ContactFields)
    account_id = values.get("account_id")
    if account_id is not None and account_id not in context.facts.accounts:
        errors["account_id"] = [f"There is no account {account_id}."]
    if errors:
        raise Invalid(errors)
    external_id.require_free("contact", values.get("external_id"), state.id if state else None, context.facts)
    return values


def _adopted(command: Adopt, context: Context) -> tuple[event.Event, ...]:
    adoption.require_whole(command, context)

    def look(before: State | None, happened: Any, errors: Errors) -> event.Event:
        values = normalised(event.set_fields(happened))
        errors |= limit_errors(values, ContactFields)
        if messages := adoption.missing("account", [values.get("account_id")], context):
            errors["account_id"] = messages
        looked_at: event.Event = structs.replace(happened, **values)
        return looked_at

    events, last = adoption.events(command, context, Created, evolve, look)
    if not last.deleted:
        external_id.require_free("contact", last.external_id, None, context.facts)
    return events
