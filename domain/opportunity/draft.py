"""A change of a deal being prepared: each field's wanted value is checked, and kept if it differs from the present one.

``decisions`` decides whether a stage may be entered, and what has happened. Lost reasons are kept as given, beside the code of the
configured reason that they name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from domain import custom_value
from domain.deal_fields import CLOSING, NAMES
from domain.did_you_mean import nearest
from domain.errors import Errors
from domain.fields import MAX_STAKEHOLDERS, REQUIRED, checks, tags_error
from domain.money import amount_error, quantized
from domain.opportunity.commands import Create
from domain.opportunity.events import ProbabilitySource, State
from domain.pipeline import Stage
from domain.policy import PolicyContext
from domain.text import normal

_CHECKS = checks(Create)
_OF_THEIR_OWN = ("currency", "probability", "lost_reason")
PLAIN = tuple(name for name in _CHECKS if name not in _OF_THEIR_OWN and name not in NAMES)
"""Texts and dates that are kept as given once they pass their checks."""

_NONE = cast("Any", None)
NOTHING = State(
    id=UUID(int=0),
    org_id=UUID(int=0),
    version=0,
    created_at=_NONE,
    updated_at=_NONE,
    name=_NONE,
    account_id=_NONE,
    currency=_NONE,
    stage=_NONE,
    status=_NONE,
    probability=-1,
    probability_source=_NONE,
    owner_id=_NONE,
    stage_entered_at=_NONE,
)
"""A deal before its creation: any value given differs, even an empty text."""


@dataclass(slots=True)
class Draft:
    """``wanted``: the requested values, by field. ``new``: those that differ from the state's, in the form to be kept."""

    state: State
    wanted: dict[str, Any]
    context: PolicyContext
    new: dict[str, Any] = field(default_factory=dict)
    errors: Errors = field(default_factory=dict)


def close(draft: Draft, stage: Stage) -> None:
    """Make the closing fields fit the stage's type: none in an open one, new ones when the type changes.

    A value that merely repeats the deal's, as in a PUT of what was read, is not taken as a wish to keep it.
    """
    state, wanted = draft.state, draft.wanted
    changing = stage.type != state.status
    for name in CLOSING:
        fits = stage.type == "lost" or (stage.type == "won" and name != "lost_reason")
        if fits:
            if changing:
                wanted.setdefault(name, None)
        elif (value := wanted.get(name)) is not None and not _repeats(value, getattr(state, name)):
            place = "lost" if name == "lost_reason" else "won or lost"
            draft.errors[name] = [f"Only a {place} deal can have this: move it to a {place} stage in the same request."]
        elif changing or value is None:
            wanted[name] = None


def _repeats(value: Any, old: Any) -> bool:
    """Whether a value equals the old one. Comparing a signalling NaN would raise."""
    return not (isinstance(value, Decimal) and value.is_snan()) and bool(value == old)


def set_probability(draft: Draft, stage: Stage, *, entering: bool) -> None:
    """On entering a stage, its probability, or in an open one the wanted one; later only the wanted one."""
    state, new = draft.state, draft.new
    if not entering and "probability" not in draft.wanted:
        return
    value = draft.wanted.get("probability")
    if message := _CHECKS["probability"](value):
        draft.errors["probability"] = [message]
        return
    source: ProbabilitySource = "stage"
    if value is None or (entering and stage.type != "open"):
        value = stage.probability
    elif not entering and value == state.probability:
        return
    elif stage.type == "open":
        source = "manual"
    else:
        draft.errors["probability"] = [f"Is always {stage.probability} in a {stage.type} stage."]
        return
    if value != state.probability:
        new["probability"] = value
    if source != state.probability_source:
        new["probability_source"] = source


def set_references(draft: Draft) -> None:
    """Account, owner and stakeholders: new ones must be live records of the org."""
    state, wanted, facts = draft.state, draft.wanted, draft.context.facts
    account_id = wanted.get("account_id", state.account_id)
    if account_id != state.account_id:
        draft.new["account_id"] = account_id
        if account_id not in facts.accounts:
            draft.errors["account_id"] = [f"There is no account {account_id}."]
    owner_id = wanted.get("owner_id", state.owner_id)
    if owner_id is None:
        draft.errors["owner_id"] = [REQUIRED]
    elif owner_id != state.owner_id:
        draft.new["owner_id"] = owner_id
        if owner_id not in facts.owners and owner_id != draft.context.actor.user_id:
            reader = owner_id in facts.users
            draft.errors["owner_id"] = [
                f"User {owner_id} is read_only and cannot have deals." if reader else f"There is no active user {owner_id}."
            ]
    if "stakeholder_ids" in wanted:
        ids = tuple(dict.fromkeys(wanted["stakeholder_ids"] or ()))
        if ids != state.stakeholder_ids:
            draft.new["stakeholder_ids"] = ids
            if message := _stakeholders_error(ids, facts.contacts, state.stakeholder_ids):
                draft.errors["stakeholder_ids"] = [message]


def _stakeholders_error(ids: tuple[UUID, ...], known: frozenset[UUID], kept: tuple[UUID, ...]) -> str | None:
    if len(ids) > MAX_STAKEHOLDERS:
        return f"At most {MAX_STAKEHOLDERS} stakeholders; got {len(ids)}."
    unknown = [str(id_) for id_ in ids if id_ not in known and id_ not in kept]
    return f"There is no contact {', '.join(unknown)}." if unknown else None


def set_texts_and_dates(draft: Draft) -> None:
    state, wanted, new, errors = draft.state, draft.wanted, draft.new, draft.errors
    if "tags" in wanted and wanted["tags"] != state.tags:
        tags = tuple(dict.fromkeys([normal(tag) for tag in wanted["tags"] or ()]))
        if tags != state.tags:
            new["tags"] = tags
            if message := tags_error(tags):
                errors["tags"] = [message]
    for name in PLAIN:
        if name in wanted and (given := wanted[name]) != (old := getattr(state, name)):
            value = normal(given) if isinstance(given, str) else given
            if value != old:
                new[name] = value
                if message := _CHECKS[name](value):
                    errors[name] = [message]


def set_money(draft: Draft) -> None:
    """The currency and the amounts in it. Amounts already on the deal must be valid in a new currency."""
    currency: str = draft.wanted.get("currency", draft.state.currency)
    if currency != draft.state.currency:
        currency = currency.upper()
        if message := _CHECKS["currency"](currency):
            draft.errors["currency"] = [message]
            draft.new.update({name: draft.wanted[name] for name in _AMOUNTS if name in draft.wanted})
            return
    switching = currency != draft.state.currency
    if switching:
        draft.new["currency"] = currency
    for name in _AMOUNTS:
        if switching or name in draft.wanted:
            _set_amount(draft, name, currency)


_AMOUNTS = ("amount", "actual_amount")


def _set_amount(draft: Draft, name: str, currency: str) -> None:
    old: Decimal | None = getattr(draft.state, name)
    value: Decimal | None = draft.wanted.get(name, old)
    if value is None:
        if old is not None:
            draft.new[name] = None
    elif message := amount_error(value, currency):
        draft.new[name] = value
        if name in draft.wanted:
            draft.errors.setdefault(name, [message])
        else:
            draft.errors["currency"] = [f"{message} The {name} is {old}: send a new one too."]
    elif value != old:
        draft.new[name] = quantized(value, currency)


def set_lost_reason(draft: Draft) -> None:
    state, wanted, new = draft.state, draft.wanted, draft.new
    if "lost_reason" not in wanted or wanted["lost_reason"] == state.lost_reason:
        return
    text: str | None = wanted["lost_reason"]
    reason = None
    if text is not None:
        text = normal(text)
        pipeline = draft.context.policy.pipeline
        reason = pipeline.reason(text)
        message = _CHECKS["lost_reason"](text)
        if not message and reason is None and not pipeline.allow_free_text:
            message = f"Must be one of the reasons. {nearest(text[:64], [one.code for one in pipeline.lost_reasons])}"
        if message:
            draft.errors.setdefault("lost_reason", [message])
    code = reason.code if reason else None
    if text != state.lost_reason:
        new["lost_reason"] = text
    if code != state.lost_reason_code:
        new["lost_reason_code"] = code


def set_custom_fields(draft: Draft, *, whole: bool) -> None:
    """``whole``: a required custom field that is not among the wanted ones counts as missing."""
    policy = draft.context.policy
    defined = policy.custom_fields
    given = draft.wanted.get("custom_fields", {})
    if given is None:
        given = dict.fromkeys(draft.state.custom_fields)
    if given:
        changes = custom_value.checked(
            defined.by_key if defined is not None else {},
            draft.state.custom_fields,
            given,
            draft.errors,
            strict=policy.organization.custom_fields_mode == "strict",
        )
        if changes:
            draft.new["custom_fields"] = changes
    if whole and defined is not None:
        for key in defined.required:
            if custom_value.is_empty(given.get(key)):
                draft.errors.setdefault(f"custom_fields.{key}", [REQUIRED])
