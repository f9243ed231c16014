"""The organization: its name, currency and how strict it is about custom fields. The stream's id is the org's id."""

from __future__ import annotations

from typing import Literal, assert_never
from uuid import UUID

from msgspec import UNSET, UnsetType, structs

from domain import event
from domain.context import Context, admins_only
from domain.errors import Conflict, Invalid, NotFound
from domain.facts import no_references
from domain.fields import Line, limit_errors
from domain.money import Currency
from domain.text import normal

CustomFieldsMode = Literal["keep", "strict"]


class Created(event.Event, frozen=True):
    name: str
    currency: str


class Updated(event.Event, frozen=True):
    name: str | UnsetType = UNSET
    custom_fields_mode: CustomFieldsMode | UnsetType = UNSET


class State(event.State, frozen=True):
    name: str
    currency: str
    custom_fields_mode: CustomFieldsMode = "keep"


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Created):
        return State(**recorded.initial_fields(), name=happened.name, currency=happened.currency)  # type: ignore[arg-type]
    assert state is not None
    assert isinstance(happened, Updated)
    return structs.replace(state, **recorded.updated_fields(), **event.set_fields(happened))


class Create(event.Command, frozen=True):
    name: Line
    currency: Currency = "USD"


class Update(event.Command, frozen=True):
    """``currency`` may be repeated but not changed: every forecast, rate and amount of the past depends on it."""

    name: Line | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    custom_fields_mode: CustomFieldsMode | UnsetType = UNSET


def stream_id(org_id: UUID) -> UUID:
    return org_id


Command = Create | Update
permit = admins_only
references = no_references


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    match command:
        case Create():
            if state is not None:
                raise Conflict("exists", "This organization already exists.")
            wanted = {"name": normal(command.name), "currency": command.currency.upper()}
            if errors := limit_errors(wanted, Create):
                raise Invalid(errors)
            return (Created(**wanted),)
        case Update():
            if state is None:
                raise NotFound("No such organization.")
            changed = event.changed_fields(state, event.set_fields(command))
            message = _change_error(state, changed.pop("currency", None))
            errors = limit_errors(changed, Update)
            if message:
                errors["currency"] = [message]
            if errors:
                raise Invalid(errors)
            return (Updated(**changed),) if changed else ()
        case _:
            assert_never(command)


def _change_error(state: State, currency: str | None) -> str | None:
    if currency is None or currency.upper() == state.currency:
        return None
    return f"The currency is {state.currency} and cannot be changed."
