"""The rules of a deal: what a command may do to it, and which event records it.

There is one way to change a deal, ``_changed``, for creation, PATCH, PUT and transition alike, so that no path bypasses the
pipeline policy. Every change is one event, named after what happened to the stage; a deal that is created won or lost has a second
one that says so. All errors are reported at once, by field; values that are already on the deal and not touched are not checked
again.
"""

from __future__ import annotations

from typing import Any, assert_never
from uuid import UUID

from domain import event, external_id
from domain.custom_value import is_empty
from domain.deal_fields import CLEARABLE, CLOSING, NAMES, NamedStakeholders
from domain.did_you_mean import nearest
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.facts import Facts, Named, References
from domain.fields import REQUIRED, limit_errors
from domain.opportunity import adopting
from domain.opportunity import draft as drafting
from domain.opportunity.commands import Adopt, ChangeStage, Create, Delete, Replace, Restore, Update
from domain.opportunity.draft import NOTHING, Draft
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
from domain.permissions import Actor, require_deal_writer, require_writer
from domain.pipeline import Stage
from domain.policy import PolicyContext

Command = Create | Update | ChangeStage | Replace | Delete | Restore | Adopt


def references(command: Command) -> References:
    match command:
        case Create() | Update() | Replace():
            ids = command.account_id, command.owner_id, *(command.stakeholder_ids or ())
            records = frozenset([id_ for id_ in ids if isinstance(id_, UUID)])
            return References(
                records=records,
                external_ids=_named(command) | external_id.named("account", command.account_external_id),
                emails=external_id.address(command.owner_email),
            )
        case ChangeStage():
            return References(records=frozenset(command.stakeholder_ids or ()), external_ids=_named(command))
        case Restore():
            return References(restored=True)
        case Adopt():
            return adopting.references(command)
    return References()


def _named(command: NamedStakeholders) -> frozenset[Named]:
    """The external ids of the deal and of its stakeholders."""
    of_deal = external_id.named("opportunity", command.external_id)
    return of_deal | external_id.named("contact", *(command.stakeholder_external_ids or ()))


def permit(state: State | None, command: event.Command, context: PolicyContext) -> None:
    actor = context.actor
    if isinstance(command, Create):
        require_writer(actor)
        if actor.role == "rep" and not _owned_by(actor, command, context.facts):
            raise Forbidden("A rep may create only deals of their own: leave out owner_id, or ask a manager.")
    elif state is None or (state.deleted and not isinstance(command, Restore)):
        require_writer(actor)
    else:
        require_deal_writer(actor, state.owner_id)


def _owned_by(actor: Actor, command: Create, facts: Facts) -> bool:
    """Whether the deal is to be the actor's."""
    if isinstance(command.owner_email, str):
        (email,) = external_id.address(command.owner_email)
        return command.owner_id is None and facts.by_email.get(email) == actor.user_id
    return command.owner_id in (None, actor.user_id)


def decide(state: State | None, command: Command, context: PolicyContext) -> tuple[event.Event, ...]:
    permit(state, command, context)
    if isinstance(command, Create | Adopt):
        if state is not None:
            raise Conflict("exists", "This opportunity already exists.")
        return _created(command, context) if isinstance(command, Create) else adopting.adopted(command, context)
    if state is None or (state.deleted and not isinstance(command, Restore)):
        raise NotFound("No such opportunity.")
    match command:
        case Update():
            return _changed(_draft(state, event.set_fields(command), context))
        case ChangeStage():
            wanted = event.set_fields(command)
            if errors := limit_errors({"comment": wanted.pop("comment")}, ChangeStage):
                raise Invalid(errors)
            return _changed(_draft(state, wanted, context))
        case Replace():
            return _replaced(state, command, context)
        case Delete():
            return (Deleted(),)
        case Restore():
            return _restored(state, context)
        case _:
            assert_never(command)


def _created(command: Create, context: PolicyContext) -> tuple[event.Event, ...]:
    policy = context.policy
    wanted = {name: value for name, value in event.set_fields(command).items() if value is not None}
    draft = _draft(NOTHING, wanted, context)
    wanted.setdefault("currency", policy.organization.currency)
    wanted.setdefault("stage", policy.pipeline.initial.key)
    wanted.setdefault("owner_id", context.actor.user_id)
    return _changed(draft, whole=True)


def _replaced(state: State, command: Replace, context: PolicyContext) -> tuple[event.Event, ...]:
    given = event.set_fields(command)
    draft = _draft(state, given, context)
    wanted = draft.wanted = dict.fromkeys(CLEARABLE) | given
    if wanted["currency"] is None:
        wanted["currency"] = context.policy.organization.currency
    wanted["custom_fields"] = dict.fromkeys(state.custom_fields) | (wanted["custom_fields"] or {})
    return _changed(draft, whole=True)


def _draft(state: State, wanted: dict[str, Any], context: PolicyContext) -> Draft:
    """A change with ids in the place of names."""
    draft = Draft(state, wanted, context)
    external_id.resolve(wanted, NAMES, draft.errors, context.facts)
    return draft


def _restored(state: State, context: PolicyContext) -> tuple[event.Event, ...]:
    if not state.deleted:
        return ()
    stage = context.policy.pipeline.by_key.get(state.stage)
    if stage is None or stage.type != state.status:
        raise Conflict(
            "stage_gone",
            f"The deal was {state.status} in stage {state.stage!r}, which the pipeline no longer has: add it to restore the deal.",
            stage=state.stage,
        )
    external_id.require_free("opportunity", state.external_id, state.id, context.facts)
    return (Restored(),)


def _changed(draft: Draft, *, whole: bool = False) -> tuple[event.Event, ...]:
    """The events that give the deal the wanted values. Raises ``Invalid``, ``Conflict``.

    ``whole``: the wanted values are all of the deal, so required ones must be among them.
    """
    state, new, errors = draft.state, draft.new, draft.errors
    pipeline = draft.context.policy.pipeline
    key = draft.wanted.get("stage", state.stage)
    entering = key != state.stage
    stage = pipeline.by_key.get(key)
    if stage is None and entering:
        errors["stage"] = [f"There is no stage {key[:64]!r}. {nearest(key[:64], pipeline.by_key)}"]
    elif stage is not None:
        if entering:
            _enter(draft, stage)
        drafting.close(draft, stage)
        drafting.set_probability(draft, stage, entering=entering)
    if whole and not {"account_id", "account_external_id"} & (draft.wanted.keys() | errors.keys()):
        errors["account_id"] = [REQUIRED]
    drafting.set_references(draft)
    drafting.set_texts_and_dates(draft)
    drafting.set_money(draft)
    drafting.set_lost_reason(draft)
    drafting.set_custom_fields(draft, whole=whole)
    if stage is not None:
        _require_fields(draft, stage, entering=entering)
    if errors:
        raise Invalid(errors)
    external_id.require_free("opportunity", new.get("external_id"), state.id, draft.context.facts)
    return _events(state, stage, new) if new else ()


def _enter(draft: Draft, stage: Stage) -> None:
    """Move the deal into another stage, if the pipeline allows it."""
    state = draft.state
    if state is not NOTHING:
        allowed = draft.context.policy.pipeline.allowed(state.stage)
        if stage.key not in allowed:
            options = f"Allowed: {', '.join(allowed)}." if allowed else "No move is allowed."
            raise Conflict(
                "transition_not_allowed",
                f"The pipeline does not allow a move from {state.stage!r} to {stage.key!r}. {options}",
                allowed_stages=list(allowed),
            )
    draft.new["stage"] = stage.key
    if stage.type != state.status:
        draft.new["status"] = stage.type


def _require_fields(draft: Draft, stage: Stage, *, entering: bool) -> None:
    """Fields that the stage requires must be set when a deal enters, and cannot be cleared while it stays."""
    new = draft.new
    for path in draft.context.policy.pipeline.required[stage.key]:
        name, _, key = path.partition(".")
        before: Any = getattr(draft.state, name)
        after = new.get(name, before)
        if key:
            after = new.get(name, {}).get(key, before.get(key))
            before = before.get(key)
        if is_empty(after) and (entering or not is_empty(before)):
            draft.errors.setdefault(path, [f"Stage {stage.key!r} requires this field."])


def _events(state: State, stage: Stage | None, new: dict[str, Any]) -> tuple[event.Event, ...]:
    changes = Changes(**new)
    if stage is None or "stage" not in new:
        return (Updated(changes=changes),)
    if state is NOTHING:
        return (Created(changes=changes), *_closed_on_creation(stage, new))
    if stage.type == state.status:
        return (StageChanged(changes=changes),)
    match stage.type:
        case "won":
            return (Won(changes=changes),)
        case "lost":
            return (Lost(changes=changes),)
        case "open":
            return (Reopened(changes=changes),)


def _closed_on_creation(stage: Stage, new: dict[str, Any]) -> tuple[event.Event, ...]:
    """A deal created won or lost also gets that event, for those who follow these events."""
    if stage.type == "open":
        return ()
    names = ("stage", "status", *CLOSING, "lost_reason_code")
    changes = Changes(**{name: new[name] for name in names if name in new})
    return (Won(changes=changes),) if stage.type == "won" else (Lost(changes=changes),)
