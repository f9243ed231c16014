"""The rules of a deal: what a command may do to it, and which event says so.

There is one way to change a deal, ``_changed``, for creation, PATCH, PUT and transition alike, so no path goes round
the pipeline policy. Every change is one event, named after what happened to the stage; a deal that is created won or
lost has a second one that says so. Refuses all that is wrong at once, by field; values already on the deal and not
touched are not judged again. Lost reasons are kept as given, beside the code of the configured reason they name.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from msgspec import UNSET, UnsetType

from domain import custom_value, event
from domain.errors import Conflict, Errors, Forbidden, Invalid, NotFound
from domain.fields import (
    MAX_STAKEHOLDERS,
    MAX_TEXT,
    REQUIRED,
    date_error,
    nearest,
    tags_error,
    text_error,
)
from domain.money import amount_error, currency_error, quantized
from domain.opportunity.events import (
    Changes,
    Created,
    Deleted,
    Lost,
    Reopened,
    Restored,
    StageChanged,
    State,
    Updated,
    Won,
)
from domain.permissions import require_deal_writer
from domain.pipeline import Stage


class Create(event.Command, frozen=True):
    """Unless given, ``currency`` is the org's, ``stage`` the first open one, ``owner_id`` the actor and ``probability`` the
    stage's."""

    name: str
    account_id: UUID
    amount: Decimal | None = None
    currency: str | None = None
    stage: str | None = None
    probability: int | None = None
    close_date: date | None = None
    owner_id: UUID | None = None
    stakeholder_ids: tuple[UUID, ...] | None = None
    tags: tuple[str, ...] | None = None
    custom_fields: dict[str, Any] | None = None
    actual_amount: Decimal | None = None
    actual_close_date: date | None = None
    lost_reason: str | None = None


class Update(event.Command, frozen=True):
    """Changes what is given (PATCH). None clears, and brings ``probability`` back to the stage's; ``custom_fields``
    merges by key, where None removes a key."""

    name: str | UnsetType = UNSET
    account_id: UUID | UnsetType = UNSET
    amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    probability: int | UnsetType | None = UNSET
    close_date: date | UnsetType | None = UNSET
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: tuple[UUID, ...] | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType | None = UNSET
    custom_fields: dict[str, Any] | UnsetType | None = UNSET
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: date | UnsetType | None = UNSET
    lost_reason: str | UnsetType | None = UNSET


class Replace(event.Command, frozen=True):
    """The whole deal anew (PUT). What is left out is cleared, ``currency`` becomes the org's, but ``stage``,
    ``owner_id`` and ``probability`` stay."""

    name: str
    account_id: UUID
    amount: Decimal | None = None
    currency: str | None = None
    stage: str | UnsetType = UNSET
    probability: int | UnsetType | None = UNSET
    close_date: date | None = None
    owner_id: UUID | UnsetType = UNSET
    stakeholder_ids: tuple[UUID, ...] | None = None
    tags: tuple[str, ...] | None = None
    custom_fields: dict[str, Any] | None = None
    actual_amount: Decimal | None = None
    actual_close_date: date | None = None
    lost_reason: str | None = None


class ChangeStage(event.Command, frozen=True):
    """To another stage, with whatever that stage asks for. ``comment`` belongs in the context, which keeps it in the log."""

    stage: str
    actual_amount: Decimal | UnsetType | None = UNSET
    actual_close_date: date | UnsetType | None = UNSET
    lost_reason: str | UnsetType | None = UNSET
    probability: int | UnsetType | None = UNSET
    comment: str | None = None
    amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET
    close_date: date | UnsetType | None = UNSET
    stakeholder_ids: tuple[UUID, ...] | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType | None = UNSET
    custom_fields: dict[str, Any] | UnsetType | None = UNSET


class Delete(event.Command, frozen=True):
    pass


class Restore(event.Command, frozen=True):
    pass


# What a deal is before its creation: everything differs from it.
_NOTHING = State(
    id=UUID(int=0),
    org_id=UUID(int=0),
    version=0,
    created_at=cast("Any", None),
    updated_at=cast("Any", None),
    name="",
    account_id=cast("Any", None),
    currency="",
    stage="",
    status=cast("Any", ""),
    probability=-1,
    probability_source=cast("Any", ""),
    owner_id=cast("Any", None),
    stage_entered_at=cast("Any", None),
)
_CLOSING = ("actual_amount", "actual_close_date", "lost_reason")


def decide(state: State | None, command: event.Command, context: event.Context) -> tuple[event.Event, ...]:
    if isinstance(command, Create):
        if state is not None:
            raise Conflict("exists", "This opportunity exists already.")
        return _created(command, context)
    if state is None or (state.deleted and not isinstance(command, Restore)):
        raise NotFound("No such opportunity.")
    require_deal_writer(context.actor, state.owner_id)
    match command:
        case Update():
            return _changed(state, event.given(command), context)
        case ChangeStage():
            wanted = event.given(command)
            if message := text_error(wanted.pop("comment"), MAX_TEXT, blank=True):
                raise Invalid({"comment": [message]})
            return _changed(state, wanted, context)
        case Replace():
            wanted = event.given(command)
            wanted["currency"] = wanted["currency"] or context.policy.organization.currency
            wanted["custom_fields"] = dict.fromkeys(state.custom_fields) | (wanted["custom_fields"] or {})
            return _changed(state, wanted, context, whole=True)
        case Delete():
            return (Deleted(),)
        case Restore():
            return _restored(state, context)
    raise TypeError(command)


def _created(command: Create, context: event.Context) -> tuple[event.Event, ...]:
    actor, policy = context.actor, context.policy
    wanted = {name: value for name, value in event.given(command).items() if value is not None}
    wanted.setdefault("currency", policy.organization.currency)
    wanted.setdefault("stage", policy.pipeline.initial.key)
    owner_id = wanted.setdefault("owner_id", actor.user_id)
    if actor.role == "rep" and owner_id != actor.user_id:
        raise Forbidden("A rep may create only deals of their own: leave out owner_id, or ask a manager.")
    require_deal_writer(actor, owner_id)
    return _changed(_NOTHING, wanted, context, whole=True)


def _restored(state: State, context: event.Context) -> tuple[event.Event, ...]:
    if not state.deleted:
        return ()
    stage = context.policy.pipeline.by_key.get(state.stage)
    if stage is None or stage.type != state.status:
        raise Conflict(
            "stage_gone",
            f"The deal was {state.status} in stage {state.stage!r}, which the pipeline no longer has: add it again to restore.",
            stage=state.stage,
        )
    return (Restored(),)


def _changed(
    state: State, wanted: dict[str, Any], context: event.Context, *, whole: bool = False
) -> tuple[event.Event, ...]:
    """The events that make the wanted values, by field, those of the deal. Raises ``Invalid``, ``Conflict``.

    ``whole``: the wanted values are all of the deal, so what is required must be among them.
    """
    pipeline = context.policy.pipeline
    errors: Errors = {}
    new: dict[str, Any] = {}
    key = wanted.get("stage", state.stage)
    entering = key != state.stage
    stage = pipeline.by_key.get(key)
    if entering:
        if stage is None:
            errors["stage"] = [f"There is no stage {key[:64]!r}. {nearest(key[:64], pipeline.by_key)}"]
        else:
            _require_allowed(state, stage, context)
            new["stage"] = key
            if stage.type != state.status:
                new["status"] = stage.type
    if stage is not None:
        _close(state, stage, wanted, errors)
        _set_probability(state, stage, wanted, new, errors, entering=entering)
    _set_references(state, wanted, new, errors, context.facts)
    _set_texts_and_dates(state, wanted, new, errors)
    _set_money(state, wanted, new, errors)
    _set_lost_reason(state, wanted, new, errors, context)
    _set_custom_fields(state, wanted, new, errors, context, whole=whole)
    if stage is not None:
        _require_fields(state, stage, new, errors, context, entering=entering)
    if errors:
        raise Invalid(errors)
    return _events(state, stage, new) if new else ()


def _require_allowed(state: State, stage: Stage, context: event.Context) -> None:
    if state is _NOTHING:
        return
    allowed = context.policy.pipeline.allowed(state.stage)
    if stage.key not in allowed:
        options = f"Allowed: {', '.join(allowed)}." if allowed else "No move is allowed."
        raise Conflict(
            "transition_not_allowed",
            f"The pipeline does not allow a move from {state.stage!r} to {stage.key!r}. {options}",
            allowed_stages=list(allowed),
        )


def _close(state: State, stage: Stage, wanted: dict[str, Any], errors: Errors) -> None:
    """Make what is wanted of the closing fields fit the type of the stage: none in an open one, new ones where it changes.

    A value that merely repeats the deal's, as in a PUT of what was read, is no wish to keep it.
    """
    changing = stage.type != state.status
    for name in _CLOSING:
        fits = stage.type == "lost" or (stage.type == "won" and name != "lost_reason")
        if fits:
            if changing:
                wanted.setdefault(name, None)
        elif (value := wanted.get(name)) is not None and value != getattr(state, name):
            place = "lost" if name == "lost_reason" else "won or lost"
            errors[name] = [f"Only a {place} deal has this: move it to a {place} stage in the same request."]
        elif changing or value is None:
            wanted[name] = None


def _set_probability(
    state: State, stage: Stage, wanted: dict[str, Any], new: dict[str, Any], errors: Errors, *, entering: bool
) -> None:
    if not entering and "probability" not in wanted:
        return
    value = wanted.get("probability")
    if value is not None and not 0 <= value <= 100:
        errors["probability"] = ["Must be from 0 to 100."]
        return
    source = "stage"
    if value is None or (entering and stage.type != "open"):
        value = stage.probability
    elif not entering and value == state.probability:
        return
    elif stage.type != "open":
        errors["probability"] = [f"Is always {stage.probability} in a {stage.type} stage."]
    else:
        source = "manual"
    if value != state.probability:
        new["probability"] = value
    if source != state.probability_source:
        new["probability_source"] = source


def _set_references(
    state: State, wanted: dict[str, Any], new: dict[str, Any], errors: Errors, facts: event.Facts
) -> None:
    account_id = wanted.get("account_id", state.account_id)
    if account_id != state.account_id:
        if account_id in facts.accounts:
            new["account_id"] = account_id
        else:
            errors["account_id"] = [f"There is no account {account_id}."]
    owner_id = wanted.get("owner_id", state.owner_id)
    if owner_id != state.owner_id:
        if owner_id in facts.users:
            new["owner_id"] = owner_id
        else:
            errors["owner_id"] = [f"There is no active user {owner_id}."]
    elif owner_id is None:
        errors["owner_id"] = [REQUIRED]
    if "stakeholder_ids" in wanted:
        ids = tuple(dict.fromkeys(wanted["stakeholder_ids"] or ()))
        if ids != state.stakeholder_ids:
            unknown = [str(id_) for id_ in ids if id_ not in facts.contacts and id_ not in state.stakeholder_ids]
            if len(ids) > MAX_STAKEHOLDERS:
                errors["stakeholder_ids"] = [f"At most {MAX_STAKEHOLDERS} stakeholders; these are {len(ids)}."]
            elif unknown:
                errors["stakeholder_ids"] = [f"There is no contact {', '.join(unknown)}."]
            else:
                new["stakeholder_ids"] = ids


def _set_texts_and_dates(state: State, wanted: dict[str, Any], new: dict[str, Any], errors: Errors) -> None:
    if "name" in wanted:
        name = wanted["name"].strip()
        if message := text_error(name):
            errors["name"] = [message]
        elif name != state.name:
            new["name"] = name
    if "tags" in wanted:
        tags = tuple(dict.fromkeys([tag.strip() for tag in wanted["tags"] or ()]))
        if tags != state.tags:
            new["tags"] = tags
            if message := tags_error(tags):
                errors["tags"] = [message]
    for field in ("close_date", "actual_close_date"):
        if field in wanted and (day := wanted[field]) != getattr(state, field):
            new[field] = day
            if message := date_error(day):
                errors[field] = [message]


def _set_money(state: State, wanted: dict[str, Any], new: dict[str, Any], errors: Errors) -> None:
    """The currency and the amounts in it; those on the deal must be possible in a new currency."""
    currency = wanted.get("currency", state.currency)
    if currency != state.currency:
        currency = currency.upper()
        if message := currency_error(currency):
            errors["currency"] = [message]
            return
    switching = currency != state.currency
    if switching:
        new["currency"] = currency
    for name in ("amount", "actual_amount"):
        old = getattr(state, name)
        given = name in wanted
        value = wanted[name] if given else old
        if value is None:
            if old is not None:
                new[name] = None
        elif given or switching:
            message = amount_error(value, currency)
            if message and given:
                errors[name] = [message]
            elif message:
                errors["currency"] = [f"{message} The {name} is {old}: send a new one too."]
            elif value != old:
                new[name] = quantized(value, currency)


def _set_lost_reason(
    state: State, wanted: dict[str, Any], new: dict[str, Any], errors: Errors, context: event.Context
) -> None:
    if "lost_reason" not in wanted or wanted["lost_reason"] == state.lost_reason:
        return
    text: str | None = wanted["lost_reason"]
    code = None
    if text is not None:
        text = text.strip()
        if message := text_error(text, MAX_TEXT):
            errors.setdefault("lost_reason", [message])
            return
        pipeline = context.policy.pipeline
        if reason := pipeline.reason(text):
            code = reason.code
        elif not pipeline.allow_free_text:
            codes = [reason.code for reason in pipeline.lost_reasons]
            errors.setdefault("lost_reason", [f"Must be one of the reasons. {nearest(text[:64], codes)}"])
            return
    if text != state.lost_reason:
        new["lost_reason"] = text
    if code != state.lost_reason_code:
        new["lost_reason_code"] = code


def _set_custom_fields(
    state: State, wanted: dict[str, Any], new: dict[str, Any], errors: Errors, context: event.Context, *, whole: bool
) -> None:
    defined = context.policy.custom_fields
    given = wanted.get("custom_fields", {})
    if given is None:
        given = dict.fromkeys(state.custom_fields)
    if given:
        changes = custom_value.checked(
            defined.by_key if defined is not None else {},
            state.custom_fields,
            given,
            errors,
            strict=context.policy.organization.custom_fields_mode == "strict",
        )
        if changes:
            new["custom_fields"] = changes
    if whole and defined is not None:
        for key in defined.required:
            if custom_value.is_empty(given.get(key)):
                errors.setdefault(f"custom_fields.{key}", [REQUIRED])


def _require_fields(
    state: State, stage: Stage, new: dict[str, Any], errors: Errors, context: event.Context, *, entering: bool
) -> None:
    """What the stage asks for must be there when a deal enters, and what is there must not go while it stays."""
    for path in context.policy.pipeline.required[stage.key]:
        name, _, key = path.partition(".")
        before: Any = getattr(state, name)
        after = new.get(name, before)
        if key:
            after = new.get(name, {}).get(key, before.get(key))
            before = before.get(key)
        if custom_value.is_empty(after) and (entering or not custom_value.is_empty(before)):
            errors.setdefault(path, [f"Stage {stage.key!r} requires this field."])


def _events(state: State, stage: Stage | None, new: dict[str, Any]) -> tuple[event.Event, ...]:
    changes = Changes(**new)
    if stage is None or "stage" not in new:
        return (Updated(changes=changes),)
    if state is _NOTHING:
        return (Created(changes=changes), *_closed_at_birth(stage, new))
    if stage.type == state.status:
        return (StageChanged(changes=changes),)
    match stage.type:
        case "won":
            return (Won(changes=changes),)
        case "lost":
            return (Lost(changes=changes),)
        case "open":
            return (Reopened(changes=changes),)


def _closed_at_birth(stage: Stage, new: dict[str, Any]) -> tuple[event.Event, ...]:
    """A deal created won or lost is won or lost like any other, for whoever follows these events."""
    if stage.type == "open":
        return ()
    names = ("stage", "status", *_CLOSING, "lost_reason_code")
    changes = Changes(**{name: new[name] for name in names if name in new})
    return (Won(changes=changes),) if stage.type == "won" else (Lost(changes=changes),)
