"""Commands on users, which are decided in transactions of their own, and what is written after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from app.importing.batch import Stopped
from app.process.failures import Unavailable
from app.writing.committer import Committer
from app.writing.envelope import Envelope, Outcome
from app.writing.units import Books
from domain.errors import Forbidden, Unauthenticated
from projections.imports import spans
from projections.imports.jobs import Job


def commit(committer: Committer, connection: Connection[Any], job: Job, units: Sequence[Sequence[Envelope]], books: Books) -> None:
    """Of what is done twice, because the books were not written, the second time changes nothing.

    Raises ``Stopped``, ``Unavailable``, ``Unauthenticated``, ``Forbidden``.
    """
    results = [committer.run(unit) if unit else [] for unit in units]
    for result in (one for found in results for one in found):
        if isinstance(result, Unauthenticated | Forbidden | Unavailable):
            raise result
    with connection.transaction(), connection.cursor() as cursor:
        if not books.begin(cursor):
            raise Stopped
        books.finish(cursor, results, None)
        for position in spans.positions(cursor, [_version(one) for found in results for one in found if isinstance(one, Outcome)]):
            spans.add(cursor, job.org_id, job.id, position, position)


def _version(outcome: Outcome) -> tuple[UUID, int]:
    return outcome.stream_id, outcome.version if outcome.status != "unchanged" else 0
