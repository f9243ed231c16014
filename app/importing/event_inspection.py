"""What a file with history is and how it would be taken over: how much, by whom, and what the org does not have."""

from __future__ import annotations

from typing import Any, BinaryIO

from msgspec import structs
from psycopg import Cursor

from app.importing import event_file, event_head, org_vocabulary
from app.importing.event_head import Head
from app.importing.event_seen import Seen
from app.importing.faults import Unreadable
from app.importing.inspection import MAX_VALUES, Inspection
from app.importing.options import Kind, Options
from app.importing.people import People
from app.importing.profile import Column
from app.importing.table import Form
from projections.imports.jobs import Job

COLUMNS = ("kind", "id")
"""Of a record that failed."""


def inspect(cursor: Cursor[Any], file: BinaryIO, job: Job, options: Options) -> Inspection:
    """All of the file is read. Raises ``Unreadable``."""
    head = event_head.head(file)
    require_fitting(head, job)
    seen = Seen()
    for stream in event_file.streams(file):
        seen.add(stream)
    full = structs.replace(options, preset=None, mapping={})
    return Inspection(
        form=Form("history", encoding="utf-8", header_row=1),
        rows=seen.records,
        footer_line=None,
        columns=tuple(Column(name, "text", seen.records, (), None) for name in COLUMNS),
        ambiguous_dates=False,
        preset=None,
        options=full,
        texts=_texts(cursor, job, head, seen, full),
    )


def require_fitting(head: Head, job: Job) -> None:
    """Raises ``Unreadable`` if the import is of another kind, or has further files."""
    kind: Kind = head.header.kind
    if kind != job.kind:
        raise Unreadable(f"This file has the history of {kind}: import it with kind={kind}.", 1)
    if len(job.files) > 1:
        raise Unreadable("A file with history takes no further history files.", 1)


def _texts(cursor: Cursor[Any], job: Job, head: Head, seen: Seen, options: Options) -> dict[str, dict[str, str | None]]:
    """What each text would mean here; None for what is missing."""
    policy = org_vocabulary.policy(cursor, job.org_id)
    people = People(cursor, job.org_id, head.people, options)
    stages, meant = policy.pipeline.by_key, options.values.get("stage", {})
    same_currency = head.header.currency == policy.organization.currency
    texts: dict[str, dict[str, str | None]] = {
        "owner": people.meanings(MAX_VALUES),
        "stage": {key: meant.get(key) or (key if key in stages else None) for key, _ in seen.stages.most_common(MAX_VALUES)},
        "custom_field": {
            one.definition.key: one.definition.key if one.definition.key in policy.custom_field_keys else None
            for one in head.fields
        },
        "exchange_rate": {code: code if same_currency and options.create_missing.exchange_rates else None for code in seen.rates},
    }
    return {name: found for name, found in texts.items() if found}
