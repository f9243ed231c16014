"""Imports as the API shows them: one, a page of them, and what was wrong with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from projections import questions
from projections.conditions import SqlStatement
from projections.imports.jobs import AT_WORK, File, State

RATE = """
    CASE WHEN i.started_at IS NOT NULL AND i.done > 0
        THEN i.done / greatest(extract(epoch FROM coalesce(i.finished_at, i.updated_at) - i.started_at), 0.001)::float END
"""
"""Rows a second of the present run."""
_SHOWN = f"""
    i.id, i.kind, i.state, i.files::text, i.options::text, i.inspection::text, i.problem::text, i.rows,
    i.done, i.created, i.updated, i.skipped, i.failed, i.checked, {RATE} AS rate, i.created_at, i.started_at, i.finished_at
"""
_files = msgspec.json.Decoder(list[File])


Rendered = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]


class Shown(Struct, frozen=True, kw_only=True):
    """An import as the API shows it. ``rate`` is in rows a second, of the present run; ``problem`` says why it failed."""

    id: UUID
    kind: str
    state: State
    files: list[File]
    options: Rendered
    inspection: Rendered | None
    problem: Rendered | None
    rows: int | None
    done: int
    created: int
    updated: int
    skipped: int
    failed: int
    checked: bool
    rate: float | None
    seconds_left: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def page(org_id: UUID, limit: int, offset: int) -> SqlStatement:
    """The newest first: (how many there are, then columns for ``shown``)."""
    text = f"""
        SELECT count(*) OVER (), {_SHOWN} FROM imports i WHERE i.org_id = %(org_id)s AND i.state <> 'receiving'
        ORDER BY i.created_at DESC, i.id DESC LIMIT %(limit)s OFFSET %(offset)s
    """
    return SqlStatement(text, {"org_id": org_id, "limit": limit, "offset": offset}, questions.OTHER)


def one(org_id: UUID, id_: UUID) -> SqlStatement:
    text = f"SELECT {_SHOWN} FROM imports i WHERE i.org_id = %(org_id)s AND i.id = %(id)s AND i.state <> 'receiving'"
    return SqlStatement(text, {"org_id": org_id, "id": id_}, questions.OTHER)


def shown(row: Sequence[Any]) -> Shown:
    id_, kind, state, files, options, inspection, problem, rows, done, created, updated, skipped, failed, checked, rate, *times = (
        row
    )
    return Shown(
        id=id_,
        kind=kind,
        state=state,
        files=_files.decode(files),
        options=Raw(options),
        inspection=Raw(inspection) if inspection else None,
        problem=Raw(problem) if problem else None,
        rows=rows,
        done=done,
        created=created,
        updated=updated,
        skipped=skipped,
        failed=failed,
        checked=checked,
        rate=round(rate, 1) if rate else None,
        seconds_left=seconds_left(state, rows, done, rate),
        created_at=times[0],
        started_at=times[1],
        finished_at=times[2],
    )


def seconds_left(state: str, rows: int | None, done: int, rate: float | None) -> float | None:
    return round((rows - done) / rate, 1) if state in AT_WORK and rate and rows is not None else None


def faults(org_id: UUID, id_: UUID, limit: int, offset: int) -> SqlStatement:
    """(how many there are, then columns of ``Fault``), in the order of lines."""
    text = """
        SELECT count(*) OVER (), file, line, "column", value, message FROM import_faults
        WHERE org_id = %(org_id)s AND import_id = %(id)s ORDER BY file, line, number LIMIT %(limit)s OFFSET %(offset)s
    """
    return SqlStatement(text, {"org_id": org_id, "id": id_, "limit": limit, "offset": offset}, questions.OTHER)


def failed(org_id: UUID, id_: UUID, after: int, limit: int) -> SqlStatement:
    """(line, its cells as JSON, what is wrong) of the failed rows after a line."""
    text = """
        SELECT f.line, f.cells::text, (
            SELECT string_agg(concat_ws(': ', nullif(x."column", ''), x.message), ' ' ORDER BY x.number)
            FROM import_faults x WHERE x.import_id = f.import_id AND x.file = 0 AND x.line = f.line)
        FROM import_failed f WHERE f.org_id = %(org_id)s AND f.import_id = %(id)s AND f.line > %(after)s
        ORDER BY f.line LIMIT %(limit)s
    """
    return SqlStatement(text, {"org_id": org_id, "id": id_, "after": after, "limit": limit}, questions.OTHER)
