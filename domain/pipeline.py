"""The org's pipeline policy: stages, moves between them, required fields, reasons for losing. One stream for each org.

Rules go by a stage's type and place, never by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, islice
from typing import Annotated, Literal
from uuid import UUID, uuid5

from msgspec import Meta, Struct, structs

from domain import event
from domain.context import Context, admins_only
from domain.deal_fields import CLOSING, REQUIRABLE
from domain.did_you_mean import nearest
from domain.errors import Conflict, Errors, Invalid
from domain.facts import References
from domain.fields import Key, Line, Percent, limit_errors, one_line
from domain.text import folded, normal

MAX_STAGES = 50
MAX_REASONS = 100
MAX_CODE = 64
MAX_ERRORS = 50

StageType = Literal["open", "won", "lost"]
Preset = Literal["permissive", "no_skip", "no_backward"]
Transitions = Preset | dict[str, tuple[str, ...]]

# Fields of a deal that a stage may require beside custom fields; the others always have a value.
REQUIRABLE_BY_TYPE: dict[StageType, tuple[str, ...]] = {
    "open": REQUIRABLE,
    "won": (*REQUIRABLE, *CLOSING[:-1]),
    "lost": (*REQUIRABLE, *CLOSING),
}
REQUIRED_BY_TYPE: dict[StageType, tuple[str, ...]] = {
    "open": (),
    "won": ("actual_amount", "actual_close_date"),
    "lost": ("lost_reason",),
}


class Stage(Struct, frozen=True):
    """``required_fields`` must have a value before a deal enters: names of fields, or ``custom_fields.<key>``.

    ``probability`` is 100 in a won stage and 0 in a lost one.
    """

    key: Key
    label: Line
    type: StageType
    probability: Percent = 0
    required_fields: tuple[str, ...] = ()


class LostReason(Struct, frozen=True):
    code: Annotated[str, one_line(MAX_CODE)]
    label: Line


class Replaced(event.Event, frozen=True):
    """Replaces the whole policy."""

    stages: tuple[Stage, ...]
    transitions: Transitions
    lost_reasons: tuple[LostReason, ...]
    allow_free_text: bool


class State(event.State, frozen=True, dict=True):
    stages: tuple[Stage, ...]
    transitions: Transitions
    lost_reasons: tuple[LostReason, ...]
    allow_free_text: bool

    @cached_property
    def by_key(self) -> dict[str, Stage]:
        return {stage.key: stage for stage in self.stages}

    @cached_property
    def initial(self) -> Stage:
        """Where a new deal begins: the first open stage."""
        return next(stage for stage in self.stages if stage.type == "open")

    @cached_property
    def required(self) -> dict[str, tuple[str, ...]]:
        """Stage → the fields that a deal must have to enter it: those its type requires, and those the org does."""
        asked = {stage.key: (*REQUIRED_BY_TYPE[stage.type], *stage.required_fields) for stage in self.stages}
        return {key: tuple(dict.fromkeys(fields)) for key, fields in asked.items()}

    @cached_property
    def moves(self) -> dict[str, tuple[str, ...]]:
        """Stage → the other stages that a deal may move to, in their order."""
        if isinstance(self.transitions, dict):
            targets = self.transitions
            return {key: tuple(to for to in self.by_key if to in targets.get(key, ()) and to != key) for key in self.by_key}
        return {stage.key: tuple(self._preset_moves(stage)) for stage in self.stages}

    def _preset_moves(self, stage: Stage) -> Iterator[str]:
        opens = [other.key for other in self.stages if other.type == "open"]
        place = opens.index(stage.key) if stage.type == "open" else None
        for other in self.stages:
            if other.key == stage.key or (place is None and other.type != "open"):
                continue
            if place is not None and other.type != "lost":
                # A won stage counts as the step after the last open one.
                steps = (opens.index(other.key) if other.type == "open" else len(opens)) - place
                if (self.transitions == "no_skip" and steps > 1) or (self.transitions == "no_backward" and steps < 0):
                    continue
            yield other.key

    def allowed(self, key: str) -> tuple[str, ...]:
        """The stages that a deal in stage ``key`` may move to; all of them if the stage no longer exists."""
        return self.moves.get(key, tuple(self.by_key))

    def reason(self, text: str) -> LostReason | None:
        """The configured reason with this code or label, ignoring case and diacritics."""
        return self._reasons.get(folded(text))

    @cached_property
    def _reasons(self) -> dict[str, LostReason]:
        by_label = {folded(reason.label): reason for reason in self.lost_reasons}
        return by_label | {folded(reason.code): reason for reason in self.lost_reasons}


def evolve(state: State | None, recorded: event.Recorded) -> State:
    happened = recorded.event
    assert isinstance(happened, Replaced)
    if state is None:
        return State(**recorded.initial_fields(), **event.set_fields(happened))  # type: ignore[arg-type]
    return structs.replace(state, **recorded.updated_fields(), **event.set_fields(happened))


class Replace(event.Command, frozen=True):
    """The whole policy; what is left out gets its default.

    ``transitions`` is a map from each stage to those that a deal may move to, or a preset. With every preset a deal can be lost
    from any open stage, and a closed one reopened into any, but not go from won to lost or back. ``permissive``: from an open stage
    to any other. ``no_skip``: forward one stage at a time, and won after the last open one. ``no_backward``: never to an earlier
    open stage.
    """

    stages: Annotated[tuple[Stage, ...], Meta(max_length=MAX_STAGES, extra_json_schema={"minItems": len(REQUIRED_BY_TYPE)})]
    transitions: Preset | Annotated[dict[str, tuple[str, ...]], Meta(max_length=MAX_STAGES)] = "permissive"
    lost_reasons: Annotated[tuple[LostReason, ...], Meta(max_length=MAX_REASONS)] = ()
    allow_free_text: bool = True


DEFAULT = Replace(
    stages=(
        Stage("discovery", "Discovery", "open", 20),
        Stage("qualification", "Qualification", "open", 40),
        Stage("proposal", "Proposal", "open", 60),
        Stage("negotiation", "Negotiation", "open", 80),
        Stage("won", "Won", "won", 100),
        Stage("lost", "Lost", "lost", 0),
    ),
    lost_reasons=(
        LostReason("price", "Price"),
        LostReason("competitor", "Lost to a competitor"),
        LostReason("timing", "Bad timing"),
        LostReason("no_budget", "No budget"),
        LostReason("no_decision", "No decision"),
    ),
)


def stream_id(org_id: UUID) -> UUID:
    return uuid5(org_id, "pipeline")


permit = admins_only


def references(command: Replace) -> References:
    return References(stages=True)


def decide(state: State | None, command: Replace, context: Context) -> tuple[event.Event, ...]:
    permit(state, command, context)
    command = _normalised(command)
    errors: Errors = {}
    found = chain(_stage_errors(command, context), _transition_errors(command), _reason_errors(command))
    for path, message in islice(found, MAX_ERRORS):
        errors.setdefault(path, []).append(message)
    if errors:
        raise Invalid(errors)
    new = Replaced(
        stages=tuple(structs.replace(stage, probability=_fixed(stage)) for stage in command.stages),
        transitions=command.transitions,
        lost_reasons=command.lost_reasons,
        allow_free_text=command.allow_free_text,
    )
    if state is None:
        return (new,)
    _require_unused(state, new, context.facts.in_use)
    return (new,) if event.changed_fields(state, event.set_fields(new)) else ()


def _normalised(command: Replace) -> Replace:
    return structs.replace(
        command,
        stages=tuple(structs.replace(stage, label=normal(stage.label)) for stage in command.stages),
        lost_reasons=tuple(LostReason(normal(reason.code), normal(reason.label)) for reason in command.lost_reasons),
    )


def _fixed(stage: Stage) -> int:
    return {"won": 100, "lost": 0}.get(stage.type, stage.probability)


def _stage_errors(command: Replace, context: Context) -> Iterator[tuple[str, str]]:
    stages = command.stages
    if len(stages) > MAX_STAGES:
        yield "stages", f"At most {MAX_STAGES} stages; got {len(stages)}."
    for type_ in REQUIRED_BY_TYPE:
        if not any(stage.type == type_ for stage in stages):
            yield "stages", f"There must be at least one {type_} stage."
    custom = [f"custom_fields.{key}" for key in context.custom_field_keys]
    keys = [stage.key for stage in stages]
    for place, stage in enumerate(stages):
        for name, message in _errors_of(stage, custom):
            yield f"stages.{place}.{name}", message
        if stage.key in keys[:place]:
            yield f"stages.{place}.key", f"Another stage has the key {stage.key!r}."


def _errors_of(stage: Stage, custom: list[str]) -> Iterator[tuple[str, str]]:
    errors = limit_errors(structs.asdict(stage), Stage)
    yield from ((name, message) for name, (message,) in errors.items())
    if "probability" not in errors and stage.probability not in (0, _fixed(stage)):
        yield "probability", f"Is always {_fixed(stage)} in a {stage.type} stage."
    known = [*REQUIRABLE_BY_TYPE[stage.type], *custom]
    for name in stage.required_fields:
        if name not in known:
            yield "required_fields", f"A {stage.type} stage cannot require {name[:64]!r}. {nearest(name[:64], known)}"


def _transition_errors(command: Replace) -> Iterator[tuple[str, str]]:
    if not isinstance(command.transitions, dict):
        return
    keys = [stage.key for stage in command.stages]
    for key, targets in command.transitions.items():
        for name in (key, *targets):
            if name not in keys:
                yield f"transitions.{key[:64]}", f"There is no stage {name[:64]!r}. {nearest(name[:64], keys)}"


def _reason_errors(command: Replace) -> Iterator[tuple[str, str]]:
    reasons = command.lost_reasons
    if not reasons and not command.allow_free_text:
        yield "lost_reasons", "Without free text there must be at least one reason."
    if len(reasons) > MAX_REASONS:
        yield "lost_reasons", f"At most {MAX_REASONS} reasons; got {len(reasons)}."
    seen: set[str] = set()
    for place, reason in enumerate(reasons):
        for name, (message,) in limit_errors(structs.asdict(reason), LostReason).items():
            yield f"lost_reasons.{place}.{name}", message
        if folded(reason.code) in seen:
            yield f"lost_reasons.{place}.code", f"Another reason has the code {reason.code!r}."
        seen.add(folded(reason.code))


def _require_unused(state: State, new: Replaced, in_use: Mapping[str, int]) -> None:
    """No live deal may be left in a stage that is removed, or be open in one that is now closed."""
    types = {stage.key: stage.type for stage in new.stages}
    going = [stage.key for stage in state.stages if types.get(stage.key) != stage.type]
    used = {key: in_use[key] for key in going if in_use.get(key)}
    if used:
        counts = ", ".join(f"{count} in {key!r}" for key, count in used.items())
        raise Conflict(
            "stage_in_use",
            f"Deals are in stages that would be removed or change their type ({counts}): move them first.",
            stages=used,
        )
