"""The history of a record, or of a whole org, for the command line: one JSON object per event, in the log's order.

Refuses to leave anything out but secrets: it reads the log itself, deleted records included.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec
import psycopg

from app.failures import Failure
from domain import event_store
from domain.event import Recorded
from projections import history

CHUNK = 2_000
encode = msgspec.json.Encoder(decimal_format="string").encode


def tell(url: str, *, org_id: UUID | None, record_id: UUID | None) -> Iterator[str]:
    """The lines for one record (of one org, where that is given) or for an org."""
    with psycopg.connect(url, connect_timeout=5, options="-c search_path=public -c timezone=UTC") as connection:
        if record_id is not None:
            with connection.cursor() as cursor:
                events = event_store.load(cursor, {record_id: 0})
        else:
            events = list(of_org(connection, org_id))
        events = [recorded for recorded in events if org_id in (None, recorded.meta.org_id)]
    if not events:
        raise Failure("There is no such record." if record_id is not None else "There is no such org.")
    for entry in sorted(history.entries(events, {}), key=lambda entry: entry.position):
        yield encode(entry).decode()


def of_org(connection: psycopg.Connection[tuple[object, ...]], org_id: UUID | None) -> Iterator[Recorded]:
    """The org's events, stream by stream."""
    with connection.cursor() as cursor:
        upto = event_store.head(cursor)
    for chunk in event_store.by_stream(connection, upto, CHUNK):
        yield from (recorded for recorded in chunk if recorded.meta.org_id == org_id)
