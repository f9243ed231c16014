"""How far the imports of an org are, as its live feed tells it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from msgspec import Raw, Struct

from projections import questions
from projections.conditions import SqlStatement
from projections.imports.jobs import AT_WORK, State
from projections.imports.shown import RATE, Rendered, seconds_left

RECENT = "1 minute"
"""For how long one that has ended is still looked at."""
MOST = 20


class Progress(Struct, frozen=True, kw_only=True):
    """The state of an import and what came of its rows so far, as ``GET /api/imports/<id>/`` shows them."""

    id: UUID
    kind: str
    state: State
    rows: int | None
    done: int
    created: int
    updated: int
    skipped: int
    failed: int
    rate: float | None
    seconds_left: float | None
    problem: Rendered | None


def latest(org_id: UUID, followed: Collection[UUID]) -> SqlStatement:
    """Columns for ``progress`` of imports that are at work, ended a moment ago, or are ``followed``; of many the last changed."""
    text = f"""
        SELECT i.id, i.kind, i.state, i.rows, i.done, i.created, i.updated, i.skipped, i.failed, i.problem::text, {RATE}
        FROM imports i WHERE i.org_id = %(org_id)s AND i.state <> 'receiving' AND (
            i.state = ANY(%(at_work)s) OR i.id = ANY(%(followed)s) OR i.updated_at > clock_timestamp() - interval '{RECENT}')
        ORDER BY i.updated_at DESC LIMIT {MOST}
    """
    return SqlStatement(text, {"org_id": org_id, "at_work": list(AT_WORK), "followed": list(followed)}, questions.OTHER)


def progress(row: Sequence[Any]) -> Progress:
    id_, kind, state, rows, done, created, updated, skipped, failed, problem, rate = row
    return Progress(
        id=id_,
        kind=kind,
        state=state,
        rows=rows,
        done=done,
        created=created,
        updated=updated,
        skipped=skipped,
        failed=failed,
        rate=round(rate, 1) if rate else None,
        seconds_left=seconds_left(state, rows, done, rate),
        problem=Raw(problem) if problem else None,
    )
