"""Loads a sales organization of any size through the domain: every row follows from a decided command.

The org and its settings are written as any command is. All other commands are decided in a process for each core, and their events
appended in large transactions; the read models are left behind, to be rebuilt from the log. The same number of deals gives the same
data, relative to the day of the load. An interrupted load continues where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct

from app.writing import circumstances
from app.writing import connection as writing_connection
from app.writing.committer import Committer
from app.writing.provisioning import create_org
from app.writing.statements import StatementBatch
from domain import event_store, fold
from domain.event import State
from tests.bench.deciding import Block, Events, decided
from tests.bench.history import MONTHS, History

VERSION = "2"
BLOCK = 2_000
TIMEOUT_MS = 120_000


class Loaded(Struct, frozen=True):
    """What a benchmark needs to know of a database: whose it is, its admin's token and the day it is relative to."""

    org_id: UUID
    token: str
    loaded_at: datetime
    deals: int
    """Loaded so far."""


def load(url: str, deals: int, report: Callable[[str], None] = lambda text: None) -> None:
    """Make sure that the log of an empty or partly loaded, migrated database has ``deals`` deals. What it lacked the read models
    lack after it, and ``bench.models``, which says what they were made from, is gone."""
    with psycopg.connect(url, autocommit=True) as connection:
        history, done = _settled(connection, url, deals)
        blocks = list(missing(history, deals, done))
        if blocks:
            connection.execute("DROP TABLE IF EXISTS bench.models")
            with closing(writing_connection.connect(url, role=None, statement_timeout_ms=TIMEOUT_MS)) as writing:
                writing.execute("SET synchronous_commit = off")
                _append_all(connection, StatementBatch(writing), deals, blocks, report)


def loaded(connection: psycopg.Connection[Any]) -> Loaded:
    row = connection.execute("SELECT org_id, token, loaded_at, deals FROM bench.load").fetchone()
    assert row is not None
    return Loaded(*row)


def _settled(connection: psycopg.Connection[Any], url: str, deals: int) -> tuple[History, int]:
    """The org with its settings, and how many records it has beside them."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS bench")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS bench.load (org_id uuid, token text, loaded_at timestamptz, deals int, records int)"
    )
    if not connection.execute("SELECT 1 FROM bench.load").fetchone():
        now = datetime.now(UTC)
        with closing(Committer(url, statement_timeout_ms=TIMEOUT_MS)) as writer:
            start = now - timedelta(days=MONTHS * 30 + 2)
            org = create_org(writer, "Bench Sales", "USD", "admin@bench.example", occurred_at=start)
            writer.run_as_one(list(History(org.org_id, now, deals).settings()))
        connection.execute("INSERT INTO bench.load VALUES (%s, %s, %s, 0, 0)", (org.org_id, org.token, now))
    row = connection.execute("SELECT org_id, loaded_at, records FROM bench.load").fetchone()
    assert row is not None
    return History(row[0], row[1], deals), row[2]


def missing(history: History, deals: int, done: int) -> Iterator[Block]:
    """All records but the first ``done``: what deals name, the deals, and what else there is."""
    parts = (
        Block("account", 0, history.accounts),
        Block("contact", 0, 2 * history.accounts),
        Block("deal", 0, deals),
        Block("account", history.accounts, history.all_accounts),
        Block("contact", 2 * history.accounts, history.all_contacts),
    )
    for kind, begin, end in parts:
        first = min(begin + done, end)
        done -= first - begin
        yield from (Block(kind, each, min(each + BLOCK, end)) for each in range(first, end, BLOCK))


def _append_all(
    connection: psycopg.Connection[Any], statements: StatementBatch, deals: int, blocks: list[Block], report: Callable[[str], None]
) -> None:
    org = loaded(connection)
    began = reported = time.monotonic()
    events = 0
    for block, found in decided(org.org_id, org.loaded_at, deals, policy(connection, org.org_id), datetime.now(UTC), blocks):
        _append(statements, org.org_id, block, found)
        events += len(found.ids)
        if time.monotonic() - reported > 10 or (block.end == deals and block.kind == "deal") or block is blocks[-1]:
            reported = time.monotonic()
            report(f"loaded {block.kind}s up to {block.end:,}; {events:,} events in {reported - began:,.0f} s")


def policy(connection: psycopg.Connection[Any], org_id: UUID) -> dict[UUID, State]:
    states: dict[UUID, State] = {}
    with connection.cursor() as cursor:
        fold.changes(event_store.load(cursor, dict.fromkeys(circumstances.policy_streams(org_id), 0)), states)
    return states


def _append(statements: StatementBatch, org_id: UUID, block: Block, events: Events) -> None:
    """Append the events of a block, and note that they are there, in one transaction."""
    cursor, locked = statements.cursor(), statements.cursor()
    cursor.execute("BEGIN", prepare=False)
    event_store.lock(locked)
    opening = event_store.opening(locked)
    cursor.execute(_APPEND, events._asdict() | {"org_ids": [org_id] * len(events.ids), **_place(opening)})
    cursor.execute(
        "UPDATE bench.load SET records = records + %(records)s, deals = deals + %(deals)s",
        {"records": block.end - block.first, "deals": (block.end - block.first) * (block.kind == "deal")},
    )
    cursor.execute("COMMIT", prepare=False)
    statements.flush()


_APPEND = """
    SELECT append_events(%(ids)b::uuid[], %(versions)b::bigint[], %(topics)b::text[], %(states)b::bytea[], %(org_ids)b::uuid[],
        %(position)b::bigint, %(instant)b::bigint)
"""


def _place(opening: event_store.Opening) -> dict[str, int]:
    return {"position": opening.position, "instant": (opening.now - event_store.EPOCH) // timedelta(microseconds=1)}
