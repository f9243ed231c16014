"""A deal's past as commands at their times, in order: what its row says, and its entries in history files.

A deal begins in the first stage known of it. Between two entries it is as the earlier one left it; where the last one and the row
disagree, the row is right, from the import on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct, field

from app.importing.date_form import Moment
from app.importing.deals import REASON, Deal
from domain.event import Command
from domain.money import quantized
from domain.opportunity import ChangeStage, Create, Update
from domain.pipeline import Stage

FOLLOWED = ("amount", "close_date", "probability")
"""Fields whose past history files tell, beside the stage."""


class Entry(Struct, frozen=True):
    """One line of a history file. ``before`` has values of fields until then."""

    at: Moment
    changes: Mapping[str, Any]
    before: Mapping[str, Any] = {}


class Step(NamedTuple):
    """A command, and when it was given; None is the time of the import."""

    at: datetime | None
    command: Command


class Timeline(Struct):
    """``disagreement`` says in what the row differs from the end of its history."""

    steps: list[Step] = field(default_factory=list)
    disagreement: str | None = None


class OutOfOrder(Exception):
    """A time that is before an earlier one of the same deal."""


def timeline(deal: Deal, history: Sequence[Entry], stages: Mapping[str, Stage], references: Mapping[str, Any]) -> Timeline:
    """The commands that make a deal. ``references`` are ids: ``account_id``, ``owner_id`` and others. Raises ``OutOfOrder``."""
    entries = _entries(deal, history)
    start = deal.created or (entries[0].at if entries else deal.closed if deal.stage.type != "open" else None)
    course = _Course(deal, stages, start.instant if start else None)
    if start is not None:
        _require_order(deal, start, entries)
    staged = [entry for entry in entries if "stage" in entry.changes]
    first = staged[0].changes["stage"] if staged else None
    if first is not None and stages[first].type == "open":
        course.stage = first
    elif start is None:
        course.stage = deal.stage.key
    course.begin(entries, references)
    for entry in entries:
        course.turn(entry)
    course.end()
    return course.timeline


def _entries(deal: Deal, history: Sequence[Entry]) -> list[Entry]:
    entered = [Entry(moment, {"stage": key}) for moment, key in deal.entered]
    return sorted([*entered, *history], key=lambda entry: entry.at.instant)


def _require_order(deal: Deal, start: Moment, entries: Sequence[Entry]) -> None:
    """A day without a time fits any time of the same day."""
    for entry in entries:
        same_day = entry.at.day == start.day and not (entry.at.exact and start.exact)
        if entry.at.instant < start.instant and not same_day:
            raise OutOfOrder(
                f"The deal was created {start.instant:%Y-%m-%d %H:%M}, after {entry.at.instant:%Y-%m-%d %H:%M} of its history."
            )
    last = max([start, *(entry.at for entry in entries)], key=lambda one: one.instant)
    if deal.closes_exactly and deal.closed and deal.stage.type != "open":
        if deal.closed.instant < start.instant and deal.closed.day < start.day:
            raise OutOfOrder(f"The deal was closed {deal.closed.day}, before it was created {start.day}.")
        if deal.closed.day < last.day and not entries:
            raise OutOfOrder(f"The deal was closed {deal.closed.day}, before {last.day} of its history.")


class _Course:
    """A deal on its way from its creation to its row."""

    def __init__(self, deal: Deal, stages: Mapping[str, Stage], start: datetime | None) -> None:
        self._deal, self._stages = deal, stages
        self._now = start
        self.stage = deal.open_stage
        self._kept: dict[str, Any] = {name: deal.values.get(name) for name in FOLLOWED}
        self._has_history = False
        self.timeline = Timeline()

    def begin(self, entries: Sequence[Entry], references: Mapping[str, Any]) -> None:
        """Create the deal with the values it had first."""
        deal = self._deal
        self._has_history = bool(entries)
        for name in ("amount", "close_date"):
            for entry in entries:
                if name in entry.before or name in entry.changes:
                    self._kept[name] = self._tidy(name, entry.before[name] if name in entry.before else entry.changes[name])
                    break
        values = {**deal.values, **{name: value for name, value in self._kept.items() if value is not None}}
        for name in FOLLOWED:
            if self._kept[name] is None:
                values.pop(name, None)
        if self.stage != deal.stage.key:
            values.pop("probability", None)
        closing = self._closing(self.stage, None)
        command = Create(stage=self.stage, currency=deal.currency, **values, **closing, **references)
        self.timeline.steps.append(Step(self._now, command))

    def turn(self, entry: Entry) -> None:
        at = max(entry.at.instant, self._now) if self._now else entry.at.instant
        changes: dict[str, Any] = {
            name: self._tidy(name, value) for name, value in entry.changes.items() if name in ("amount", "close_date")
        }
        changes = {name: value for name, value in changes.items() if value != self._kept[name]}
        key = entry.changes.get("stage", self.stage)
        self._kept.update(changes)
        if key != self.stage:
            self._enter(key, at, changes, entry.at)
        elif changes:
            self._now = at
            self.timeline.steps.append(Step(at, Update(**changes)))

    def end(self) -> None:
        """Let the deal be as its row has it."""
        deal = self._deal
        wanted = {name: deal.values.get(name) for name in ("amount", "close_date")}
        differing: dict[str, Any] = {name: value for name, value in wanted.items() if value != self._kept[name]}
        if self.stage != deal.stage.key:
            at = None
            if deal.stage.type != "open" and deal.closed is not None:
                at = max(deal.closed.instant, self._now) if self._now else deal.closed.instant
            elif self._has_history:
                self.timeline.disagreement = f"The history ends in stage {self.stage!r}, the row says {deal.stage.key!r}."
            self._kept.update(differing)
            self._enter(deal.stage.key, at, differing, deal.closed)
        elif differing:
            names = ", ".join(differing)
            self.timeline.disagreement = f"The history ends with another {names} than the row has."
            self.timeline.steps.append(Step(None, Update(**differing)))

    def _enter(self, key: str, at: datetime | None, changes: Mapping[str, Any], moment: Moment | None) -> None:
        self.stage = key
        self._now = at
        more: dict[str, Any] = dict(changes) | self._closing(key, moment)
        probability = self._deal.values.get("probability")
        if key == self._deal.stage.key and probability is not None and self._stages[key].type == "open":
            more["probability"] = probability
        self.timeline.steps.append(Step(at, ChangeStage(stage=key, **more)))

    def _closing(self, key: str, moment: Moment | None) -> dict[str, Any]:
        """What a closed stage asks for: as the row has it, if the deal ends there."""
        type_, deal = self._stages[key].type, self._deal
        if type_ == "open":
            return {}
        ends = key == deal.stage.key
        closed = deal.closed if ends and deal.closed else moment
        day = (deal.actual_close_date if ends else None) or (closed.day if closed else deal.values.get("close_date"))
        fields: dict[str, Any] = {"actual_close_date": day} if day else {}
        if type_ == "lost":
            return fields | {"lost_reason": (deal.lost_reason if ends else None) or REASON}
        amount = deal.actual_amount if ends and deal.actual_amount is not None else self._kept["amount"]
        return fields | {"actual_amount": amount if amount is not None else Decimal(0)}

    def _tidy(self, name: str, value: Any) -> Any:
        return quantized(value, self._deal.currency) if name == "amount" and isinstance(value, Decimal) else value


def changes(deal: Deal, references: Mapping[str, Any]) -> Update:
    """The command that makes an existing deal what its row says."""
    values: dict[str, Any] = {**deal.values, **references, "stage": deal.stage.key, "currency": deal.currency}
    if deal.stage.type != "open":
        values.pop("probability", None)
        day = deal.actual_close_date or (deal.closed.day if deal.closed else deal.values.get("close_date"))
        if day:
            values["actual_close_date"] = day
    if deal.stage.type == "lost":
        values["lost_reason"] = deal.lost_reason or REASON
    if deal.stage.type == "won":
        amount = deal.actual_amount if deal.actual_amount is not None else deal.values.get("amount")
        values["actual_amount"] = amount if amount is not None else Decimal(0)
    return Update(**values)


def ids(account_id: UUID | None, owner_id: UUID | None, stakeholders: Sequence[UUID]) -> dict[str, Any]:
    """References for a command; what there is none of is left out."""
    found: dict[str, Any] = {"account_id": account_id, "owner_id": owner_id, "stakeholder_ids": tuple(stakeholders) or None}
    return {name: value for name, value in found.items() if value is not None}
