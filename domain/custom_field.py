"""The custom fields of an org's deals: their definitions, in order. One stream for each org.

The key and the type of a field cannot change. What a value may be is in ``custom_value``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Literal, assert_never
from uuid import UUID, uuid5

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from domain import event
from domain.context import Context, admins_only
from domain.errors import Conflict, Invalid, NotFound
from domain.facts import no_references
from domain.fields import KEY_PATTERN, MAX_CUSTOM_FIELDS, Line, key_error, limit, limit_errors, line_error
from domain.text import normal

MAX_OPTIONS = 200

Type = Literal["text", "textarea", "number", "checkbox", "date", "dropdown", "multiselect"]


class Option(Struct, frozen=True):
    value: str
    label: Line


class Definition(Struct, frozen=True, kw_only=True):
    """``options`` are for dropdown and multiselect: plain values, or values with labels."""

    key: str
    label: str
    type: Type
    options: tuple[str | Option, ...] = ()
    required: bool = False
    filterable: bool = True

    def option_values(self) -> list[str]:
        """The values that a dropdown or multiselect allows."""
        return [option if isinstance(option, str) else option.value for option in self.options]


class Created(event.Event, frozen=True):
    definition: Definition


class Updated(event.Event, frozen=True):
    key: str
    label: str | UnsetType = UNSET
    options: tuple[str | Option, ...] | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    filterable: bool | UnsetType = UNSET


class Deleted(event.Event, frozen=True):
    key: str


class State(event.State, frozen=True, dict=True):
    definitions: tuple[Definition, ...] = ()

    @cached_property
    def by_key(self) -> dict[str, Definition]:
        return {definition.key: definition for definition in self.definitions}

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(definition.key for definition in self.definitions if definition.required)


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if state is None:
        assert isinstance(happened, Created)
        return State(**recorded.initial_fields(), definitions=(happened.definition,))  # type: ignore[arg-type]
    definitions = state.definitions
    match happened:
        case Created(definition):
            definitions = (*definitions, definition)
        case Updated(key=key):
            changes = event.set_fields(happened)
            definitions = tuple(structs.replace(old, **changes) if old.key == key else old for old in definitions)
        case Deleted(key):
            definitions = tuple(old for old in definitions if old.key != key)
    return structs.replace(state, **recorded.updated_fields(), definitions=definitions)


def stream_id(org_id: UUID) -> UUID:
    return uuid5(org_id, "custom_field")


# A key with such an ending would look like a filter with an operator.
_OPERATOR = re.compile(r".*__(gte|lte|gt|lt|in|isnull|icontains|all|any)")


def _key_error(key: str) -> str | None:
    if match := _OPERATOR.fullmatch(key):
        return f"Must not end in __{match[1]}, which is a filter operator."
    return key_error(key)


FieldKey = Annotated[str, limit(_key_error, pattern=f"^{KEY_PATTERN}$")]
Options = Annotated[tuple[str | Option, ...], Meta(max_length=MAX_OPTIONS)]


class Create(event.Command, frozen=True, kw_only=True):
    key: FieldKey
    label: Line
    type: Type
    options: Options = ()
    required: bool = False
    filterable: bool = True


class Update(event.Command, frozen=True):
    """Changes what is given of the ``field`` with that key. ``key`` and ``type`` cannot change; they may be repeated."""

    field: str
    key: FieldKey | UnsetType = UNSET
    type: Type | UnsetType = UNSET
    label: Line | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    filterable: bool | UnsetType = UNSET


class Delete(event.Command, frozen=True):
    key: str


FOR_EVER = ("key", "type")
_WITH_OPTIONS = ("dropdown", "multiselect")


Command = Create | Update | Delete
permit = admins_only
references = no_references


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    match command:
        case Create():
            definition = _normalised(Definition(**event.set_fields(command)))
            _require_valid(definition, structs.asdict(definition))
            _require_room(state, definition)
            return (Created(definition=definition),)
        case Update():
            old = _find(state, command.field)
            given = event.set_fields(command)
            del given["field"]
            new = structs.replace(old, **given)
            wanted = structs.asdict(_normalised(new))
            changes = {name: value for name, value in wanted.items() if value != getattr(old, name) != getattr(new, name)}
            if errors := {name: [f"This cannot be changed: it is {getattr(old, name)}."] for name in FOR_EVER if name in changes}:
                raise Invalid(errors)
            _require_valid(structs.replace(old, **changes), changes)
            return (Updated(key=old.key, **changes),) if changes else ()
        case Delete():
            old = _find(state, command.key)
            name = f"custom_fields.{old.key}"
            if asking := [stage for stage, names in context.required_fields.items() if name in names]:
                detail = f"Stages require this field: {', '.join(asking)}. Change the pipeline first."
                raise Conflict("in_use", detail, stages=asking)
            return (Deleted(key=old.key),)
        case _:
            assert_never(command)


def _find(state: State | None, key: str) -> Definition:
    definition = state.by_key.get(key) if state is not None else None
    if definition is None:
        raise NotFound("No such custom field.")
    return definition


def _normalised(definition: Definition) -> Definition:
    options = tuple(
        normal(option) if isinstance(option, str) else Option(normal(option.value), normal(option.label))
        for option in definition.options
    )
    return structs.replace(definition, label=normal(definition.label), options=options)


def _require_valid(definition: Definition, changed: Collection[str]) -> None:
    """Checks only what has changed."""
    errors = limit_errors({name: getattr(definition, name) for name in changed}, Create)
    if "options" in changed and (message := _options_error(definition)):
        errors["options"] = [message]
    if errors:
        raise Invalid(errors)


def _options_error(definition: Definition) -> str | None:
    values = definition.option_values()
    if definition.type not in _WITH_OPTIONS:
        return f"A {definition.type} field has no options." if values else None
    if not values:
        return f"A {definition.type} field needs options."
    if len(values) > MAX_OPTIONS:
        return f"At most {MAX_OPTIONS} options; got {len(values)}."
    if len(set(values)) < len(values):
        return "Each option may occur only once."
    labels = [option.label for option in definition.options if isinstance(option, Option)]
    return next((message for text in (*values, *labels) if (message := line_error(text))), None)


def _require_room(state: State | None, definition: Definition) -> None:
    if state is None:
        return
    if definition.key in state.by_key:
        raise Conflict("key_taken", f"There is already a custom field {definition.key!r}.")
    if len(state.definitions) >= MAX_CUSTOM_FIELDS:
        raise Conflict("too_many", f"An organization has at most {MAX_CUSTOM_FIELDS} custom fields.")
