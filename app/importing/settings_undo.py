"""What an import added to its org's settings, taken back: stages and custom fields that nobody has changed and no live deal uses.

What it added is in the log, with the import's id. Exchange rates stay: the log has no event that takes one back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Cursor

from app.importing import restoring
from app.importing.plan import Sender
from app.writing.committer import Committer
from domain import custom_field, event_store, fold, pipeline
from domain.custom_field import Definition
from domain.errors import DomainError
from domain.event import Command, Recorded, State
from domain.pipeline import Stage
from projections.imports import lookups
from projections.imports.jobs import Fault

T = TypeVar("T", Stage, Definition)
USED = "Live deals have values of it; it was left as it is."


def undo(cursor: Cursor[Any], committer: Committer, sender: Sender) -> list[Fault]:
    """What was left, and why. Stages go first, because they may require a field. Raises ``Unavailable``."""
    return [*_stages(cursor, committer, sender), *_fields(cursor, committer, sender)]


def _stages(cursor: Cursor[Any], committer: Committer, sender: Sender) -> Iterator[Fault]:
    id_ = pipeline.stream_id(sender.org_id)
    added: dict[str, Stage] = {}
    states: dict[UUID, State] = {}
    for recorded, before, after in fold.changes(event_store.load(cursor, {id_: 0}), states):
        assert isinstance(after, pipeline.State)
        had = before.by_key if isinstance(before, pipeline.State) else {}
        for stage in after.stages:
            if stage.key not in had:
                _note(added, stage.key, stage, recorded, sender)
    now = states.get(id_)
    for key, stage in added.items():
        if not isinstance(now, pipeline.State) or key not in now.by_key:
            continue
        if now.by_key[key] != stage:
            yield Fault(0, 0, "stage", key, restoring.CHANGED)
            continue
        if fault := _refusal(committer, sender, "pipeline", _without(now, key), key):
            yield fault
        now = lookups.states(cursor, [id_])[id_]


def _note(added: dict[str, T], key: str, one: T, recorded: Recorded, sender: Sender) -> None:
    """That something was added: by the import, or by somebody else, whose it is then."""
    if recorded.meta.import_id == sender.import_id:
        added[key] = one
    else:
        added.pop(key, None)


def _without(now: pipeline.State, key: str) -> pipeline.Replace:
    moves = now.transitions
    if isinstance(moves, dict):
        moves = {one: tuple(to for to in targets if to != key) for one, targets in moves.items() if one != key}
    stages = tuple(stage for stage in now.stages if stage.key != key)
    return pipeline.Replace(stages, moves, now.lost_reasons, now.allow_free_text)


def _fields(cursor: Cursor[Any], committer: Committer, sender: Sender) -> Iterator[Fault]:
    id_ = custom_field.stream_id(sender.org_id)
    added: dict[str, Definition] = {}
    states: dict[UUID, State] = {}
    for recorded, _, _ in fold.changes(event_store.load(cursor, {id_: 0}), states):
        if isinstance(recorded.event, custom_field.Created):
            definition = recorded.event.definition
            _note(added, definition.key, definition, recorded, sender)
    now = states.get(id_)
    there = now.by_key if isinstance(now, custom_field.State) else {}
    used = lookups.custom_fields(cursor, sender.org_id, added)
    for key, definition in added.items():
        if key not in there:
            continue
        if there[key] != definition:
            yield Fault(0, 0, "custom_field", key, restoring.CHANGED)
        elif key in used:
            yield Fault(0, 0, "custom_field", key, USED)
        elif fault := _refusal(committer, sender, "custom_field", custom_field.Delete(key), key):
            yield fault


def _refusal(committer: Committer, sender: Sender, kind: str, command: Command, key: str) -> Fault | None:
    """Give a command; why it was refused, if it was."""
    ids = {"pipeline": pipeline.stream_id, "custom_field": custom_field.stream_id}
    try:
        committer.run_as_one([sender.envelope(kind, ids[kind](sender.org_id), command)])
    except DomainError as error:
        return Fault(0, 0, "stage" if kind == "pipeline" else kind, key, restoring.words(error))
    return None
