"""A deal that is taken over from another org with its past: what must be true of its events, and of what it is in the end.

The past keeps the stages that it had, also those that the org does not know. A live deal must be in one of the pipeline's.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import structs

from domain import adoption, event, external_id
from domain.did_you_mean import nearest
from domain.errors import Errors
from domain.facts import References
from domain.money import quantized
from domain.opportunity import past_errors
from domain.opportunity.commands import Adopt
from domain.opportunity.events import Changing, Created, State, evolve
from domain.opportunity.past_errors import AMOUNTS
from domain.policy import PolicyContext
from domain.text import normalised

FIRST = ("name", "account_id", "currency", "stage", "status", "probability", "probability_source", "owner_id")
"""What a creation sets, and nothing clears."""


def references(command: Adopt) -> References:
    ids: set[UUID] = set()
    for one in command.happened:
        if isinstance(one.event, Changing):
            changes = one.event.changes
            named = (changes.account_id, changes.owner_id, *(changes.stakeholder_ids or ()))
            ids.update(id_ for id_ in named if isinstance(id_, UUID))
    known = frozenset(ids)
    return References(records=known, known=known, external_ids=external_id.of_events("opportunity", command))


def adopted(command: Adopt, context: PolicyContext) -> tuple[event.Event, ...]:
    adoption.require_whole(command, context)

    def look(before: State | None, happened: Any, errors: Errors) -> event.Event:
        return _looked_at(before, happened, errors, context) if isinstance(happened, Changing) else happened

    events, last = adoption.events(command, context, Created, evolve, look)
    if not last.deleted:
        adoption.require_end(command, _end_errors(last, context))
        external_id.require_free("opportunity", last.external_id, None, context.facts)
    return events


def _looked_at(before: State | None, happened: Changing, errors: Errors, context: PolicyContext) -> event.Event:
    new = normalised(event.set_fields(happened.changes))
    after = _after(before, new)
    for name in FIRST:
        if after.get(name) is None:
            errors[name] = ["A deal needs this from its creation on."]
    if not errors:
        errors |= past_errors.move_errors(before, happened, new, after)
        errors |= past_errors.value_errors(before, new, after)
        errors |= past_errors.reference_errors(new, context)
    if not errors:
        new |= {name: quantized(after[name], after["currency"]) for name in AMOUNTS if new.get(name) is not None}
    return structs.replace(happened, changes=structs.replace(happened.changes, **new))


def _after(before: State | None, new: dict[str, Any]) -> dict[str, Any]:
    return (structs.asdict(before) if before is not None else {}) | new


def _end_errors(last: State, context: PolicyContext) -> Errors:
    """A live deal is in a stage that the pipeline has, and of an account that is there."""
    policy = context.policy
    errors: Errors = {}
    stage = policy.pipeline.by_key.get(last.stage)
    if stage is None:
        remedy = "add it, or say under values.stage which one it means."
        known = nearest(last.stage, policy.pipeline.by_key)
        errors["stage"] = [f"The pipeline has no stage {last.stage!r}: {remedy} {known}"]
    elif stage.type != last.status:
        errors["stage"] = [f"The deal is {last.status} in stage {last.stage!r}, which is {stage.type} here."]
    if last.account_id not in context.facts.accounts:
        errors["account_id"] = [f"Account {last.account_id} is deleted."]
    if policy.organization.custom_fields_mode == "strict":
        unknown = [key for key in last.custom_fields if key not in policy.custom_field_keys]
        errors |= {f"custom_fields.{key}": ["The org has no such custom field, and is strict about them."] for key in unknown}
    return errors
