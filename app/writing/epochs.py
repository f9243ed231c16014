"""Begins an epoch of the log, in one transaction with the events that tell each org of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from app.process.failures import OtherVersion
from app.writing.connection import connect
from app.writing.deciding import Decisions
from app.writing.envelope import Envelope
from app.writing.statements import StatementBatch
from domain import event_store, log
from domain.epoch import Epoch
from domain.permissions import OPERATOR
from projections import registry

TIMEOUT_MS = 300_000
"""There may be many orgs."""


def begin(url: str, epoch: Epoch, orgs: Sequence[UUID]) -> None:
    """The orgs' events are the epoch's first. Raises ``OtherVersion``, ``psycopg.Error``."""
    envelopes = [
        Envelope("log", log.stream_id(org_id), log.Restore(epoch=epoch), org_id, OPERATOR, render=False) for org_id in orgs
    ]
    with closing(connect(url, statement_timeout_ms=TIMEOUT_MS)) as connection:
        statements = StatementBatch(connection)
        cursor, locked = statements.cursor(), statements.cursor()
        decisions = Decisions(statements, {})
        statements.remembered.begin()
        cursor.execute("BEGIN", prepare=False)
        event_store.begin_epoch(cursor, epoch)
        event_store.lock(locked)
        decisions.request(envelopes)()
        opening = event_store.opening(locked)
        if problem := registry.difference(opening.read_models):
            raise OtherVersion(problem)
        decisions.open(opening)
        for envelope in envelopes:
            decisions.decide(envelope)
        decisions.append()
        cursor.execute("COMMIT", prepare=False)
        statements.flush()
