"""A webhook endpoint of the org: where events are sent, which of them, and the generation of the secret that signs them.

The secret is not in the log: it is derived from a key of the installation, the endpoint's id and the generation.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from domain import event
from domain.context import Context, admins_only
from domain.custom_value import json_error
from domain.errors import Errors, Invalid, NotFound
from domain.facts import no_references
from domain.fields import MAX_CUSTOM_FIELDS, MAX_NAME, key_error, limit_errors, text, text_error
from domain.money import Currency, currency_error
from domain.text import json_nfc, normalised
from domain.webhook_url import MAX_URL, STRICT, Rules, url_error

EventType = Literal[
    "opportunity.created",
    "opportunity.updated",
    "opportunity.stage_changed",
    "opportunity.won",
    "opportunity.lost",
    "opportunity.reopened",
    "opportunity.deleted",
    "opportunity.restored",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
Reason = Literal["paused", "gone", "failing"]
"""Why an endpoint gets nothing: paused by an admin, it answered 410, or it failed for days."""

MAX_CHOICES = 100
MAX_AMOUNT = Decimal(10) ** 15


class WebhookFilters(Struct, frozen=True, kw_only=True):
    """Which deals the endpoint is notified of: all conditions must hold; several values of one are alternatives.

    ``amount`` is compared in the deal's own currency. ``custom_fields`` has a value, or a list of alternatives, by key.
    """

    stage: tuple[str, ...] = ()
    owner: tuple[UUID, ...] = ()
    currency: tuple[Currency, ...] = ()
    amount__gte: Decimal | None = None
    amount__lte: Decimal | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)


class Created(event.Event, frozen=True):
    url: str
    events: tuple[EventType, ...]
    description: str = ""
    filters: WebhookFilters = WebhookFilters()
    active: bool = True


class Updated(event.Event, frozen=True):
    url: str | UnsetType = UNSET
    events: tuple[EventType, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    filters: WebhookFilters | UnsetType = UNSET


class SecretRotated(event.Event, frozen=True):
    """The previous secret signs as well for a day."""

    generation: int


class Disabled(event.Event, frozen=True):
    reason: Reason


class Enabled(event.Event, frozen=True):
    pass


class Deleted(event.Event, frozen=True):
    pass


class State(event.State, frozen=True):
    url: str
    events: tuple[EventType, ...]
    description: str = ""
    filters: WebhookFilters = WebhookFilters()
    active: bool = True
    disabled_reason: Reason | None = None
    secret_generation: int = 1
    secret_rotated_at: datetime | None = None
    deleted: bool = False


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    if isinstance(happened, Created):
        paused: Reason | None = None if happened.active else "paused"
        return State(**recorded.initial_fields(), **event.set_fields(happened), disabled_reason=paused)  # type: ignore[arg-type]
    assert state is not None
    changes: dict[str, Any] = {}
    match happened:
        case Updated():
            changes = event.set_fields(happened)
        case SecretRotated(generation):
            changes = {"secret_generation": generation, "secret_rotated_at": recorded.meta.occurred_at}
        case Disabled(reason):
            changes = {"active": False, "disabled_reason": reason}
        case Enabled():
            changes = {"active": True, "disabled_reason": None}
        case Deleted():
            changes = {"deleted": True}
    return structs.replace(state, **recorded.updated_fields(), **changes)


Url = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_URL})]
"""Also checked by the deployment's rules: ``webhook_url.url_error``."""
Description = Annotated[str, text(MAX_NAME, blank=True)]
EventTypes = Annotated[tuple[EventType, ...], Meta(max_length=MAX_CHOICES)]


class Create(event.Command, frozen=True, kw_only=True):
    """``rules`` are the deployment's, as in ``Update``."""

    url: Url
    events: EventTypes
    description: Description = ""
    filters: WebhookFilters = WebhookFilters()
    active: bool = True
    rules: Rules = STRICT


class Update(event.Command, frozen=True, kw_only=True):
    """Changes the fields given; ``filters`` as a whole. ``active`` false pauses; true ends a pause or re-enables."""

    url: Url | UnsetType = UNSET
    events: EventTypes | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    filters: WebhookFilters | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    rules: Rules = STRICT


class RotateSecret(event.Command, frozen=True):
    pass


class Disable(event.Command, frozen=True):
    """Given by the sender; it changes nothing if the endpoint has another URL by then."""

    reason: Reason
    url: str


class Delete(event.Command, frozen=True):
    pass


Command = Create | Update | RotateSecret | Disable | Delete
permit = admins_only
references = no_references


def decide(state: State | None, command: Command, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Create):
        assert state is None
        wanted = _wanted(command)
        active = wanted.pop("active")
        _require_valid(wanted, command.rules)
        return (Created(**wanted, active=active),)
    if state is None or state.deleted:
        raise NotFound("No such webhook endpoint.")
    match command:
        case Update():
            return _updated(state, command)
        case RotateSecret():
            return (SecretRotated(generation=state.secret_generation + 1),)
        case Disable(reason, url):
            return (Disabled(reason=reason),) if state.active and state.url == url else ()
        case Delete():
            return (Deleted(),)
        case _:
            assert_never(command)


def _updated(state: State, command: Update) -> tuple[event.Event, ...]:
    wanted = _wanted(command)
    active = wanted.pop("active", state.active)
    changes = event.changed_fields(state, wanted)
    _require_valid(changes, command.rules)
    events: list[event.Event] = [Updated(**changes)] if changes else []
    if active != state.active:
        events.append(Enabled() if active else Disabled(reason="paused"))
    return tuple(events)


def _wanted(command: Create | Update) -> dict[str, Any]:
    """The values given, with texts in normal form and each event type once."""
    wanted = normalised(event.set_fields(command))
    del wanted["rules"]
    if "filters" in wanted:
        filters = wanted["filters"]
        wanted["filters"] = structs.replace(filters, custom_fields=json_nfc(filters.custom_fields))
    if "events" in wanted:
        wanted["events"] = tuple(dict.fromkeys(wanted["events"]))
    return wanted


def _require_valid(values: dict[str, Any], rules: Rules) -> None:
    errors: Errors = limit_errors(values, Create)
    if "url" in values and (message := url_error(values["url"], rules)):
        errors["url"] = [message]
    if "events" in values and not values["events"]:
        errors["events"] = [f"Name at least one of: {', '.join(EVENT_TYPES)}."]
    if "filters" in values:
        errors |= _filter_errors(values["filters"])
    if errors:
        raise Invalid(errors)


def _filter_errors(filters: WebhookFilters) -> Errors:
    errors: Errors = {}
    for name in ("stage", "owner", "currency"):
        if len(getattr(filters, name)) > MAX_CHOICES:
            errors[f"filters.{name}"] = [f"At most {MAX_CHOICES} values."]
    found = {
        "stage": next((message for key in filters.stage if (message := key_error(key))), None),
        "currency": next((message for code in filters.currency if (message := currency_error(code))), None),
        "amount__gte": _bound_error(filters.amount__gte),
        "amount__lte": _bound_error(filters.amount__lte),
        "custom_fields": _custom_fields_error(filters.custom_fields),
    }
    for name, message in found.items():
        if message:
            errors.setdefault(f"filters.{name}", [message])
    least, most = filters.amount__gte, filters.amount__lte
    if not errors and least is not None and most is not None and least > most:
        errors["filters.amount__lte"] = ["Must not be less than amount__gte."]
    return errors


def _bound_error(value: Decimal | None) -> str | None:
    if value is None or (value.is_finite() and 0 <= value < MAX_AMOUNT):
        return None
    return "Must be a number, not negative, with at most 15 digits before the decimal point."


def _custom_fields_error(values: dict[str, Any]) -> str | None:
    if len(values) > MAX_CUSTOM_FIELDS:
        return f"At most {MAX_CUSTOM_FIELDS} keys."
    for key, value in values.items():
        if message := text_error(key, MAX_NAME):
            return f"The key: {message}"
        alternatives = value if isinstance(value, list) else [value]
        if not alternatives or len(alternatives) > MAX_CHOICES:
            return f"{key}: give a value, or a list of 1 to {MAX_CHOICES}."
        if any(one is None or isinstance(one, dict | list) for one in alternatives):
            return f"{key}: compare with strings, numbers, true or false."
        if message := json_error(value):
            return f"{key}: {message}"
    return None
