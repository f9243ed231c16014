"""Opportunities as the API shows them: one row for every version of every deal, rendered when it is written.

The current versions of live deals stand in partial indexes, so a list reads them alone, while the same rows with another
condition on their validity answer a list or a record as of any instant. Counters answer ``count`` for the common
filters. The names of accounts, owners and contacts are not in the rows: they are joined at read, so a rename shows at once.
Refuses to know who asks: every query is given its org.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.fold import Change
from domain.money import quantized
from domain.opportunity.events import ProbabilitySource, State, Status
from domain.sql_cursor import SqlCursor
from domain.text import folded, json_nfc, nfc
from projections import versioned_rows
from projections.search import searchable

# Current rows of live deals: the predicate of the partial indexes, to the letter.
LIVE = "o.valid_to = 'infinity' AND NOT o.deleted"
AS_OF = "o.valid_from <= %(as_of)s AND o.valid_to > %(as_of)s AND NOT o.deleted"

NOBODY = UUID(int=0)
"""In a counter: of any owner."""
NO_DATE = "infinity"
"""In a counter: the deals without a close date."""
ANY_DATE = "-infinity"

# A range of close dates is judged inside the index that gives the order: bound as parameters its width is unknown to the
# planner, who would else fetch and sort all of it (seen: 8 ms for a page instead of half a one).
DDL = """
CREATE TABLE opportunities (
    id uuid NOT NULL,
    version int NOT NULL,
    org_id uuid NOT NULL,
    position bigint NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    deleted boolean NOT NULL,
    created_at timestamptz NOT NULL,
    name text NOT NULL,
    account_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    stage text NOT NULL,
    status text NOT NULL,
    amount numeric,
    currency text NOT NULL,
    probability int NOT NULL,
    close_date date,
    actual_amount numeric,
    actual_close_date date,
    tags text[] NOT NULL,
    stakeholder_ids uuid[] NOT NULL,
    custom_fields jsonb NOT NULL,
    head text NOT NULL,
    middle text NOT NULL,
    tail text NOT NULL,
    detail text NOT NULL,
    search text NOT NULL,
    custom_search jsonb,
    PRIMARY KEY (id, version)
);
ALTER TABLE opportunities ALTER head SET STORAGE EXTERNAL, ALTER middle SET STORAGE EXTERNAL, ALTER tail SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX opportunities_current ON opportunities (id) WHERE valid_to = 'infinity';
CREATE INDEX opportunities_created_at ON opportunities (org_id, created_at DESC, id DESC, close_date)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_stage_created_at ON opportunities (org_id, stage, created_at DESC, id DESC, close_date)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_close_date ON opportunities (org_id, close_date, id)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_owner_created_at ON opportunities (org_id, owner_id, created_at DESC, id DESC, close_date)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_account ON opportunities (org_id, account_id)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_stakeholders ON opportunities USING gin (stakeholder_ids)
    WHERE valid_to = 'infinity' AND NOT deleted AND stakeholder_ids <> '{}';
CREATE INDEX opportunities_updated_at ON opportunities (org_id, valid_from DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_amount ON opportunities (org_id, amount DESC NULLS LAST, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_as_of ON opportunities (org_id, created_at DESC, id DESC, valid_from, valid_to);

CREATE TABLE opportunity_counts (
    org_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    close_date date NOT NULL,
    stage text NOT NULL,
    status text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (org_id, owner_id, stage, status, close_date)
) WITH (fillfactor = 70);
"""


class _Middle(Struct, frozen=True):
    amount: str | None
    currency: str
    stage: str
    probability: int
    close_date: date | None


class _Tail(Struct, frozen=True):
    custom_fields: dict[str, Any]
    created_at: datetime
    status: Status
    tags: tuple[str, ...]
    actual_amount: str | None
    actual_close_date: date | None
    lost_reason: str | None
    lost_reason_code: str | None
    updated_at: datetime
    version: int


class _Detail(Struct, frozen=True):
    probability_source: ProbabilitySource
    stage_entered_at: datetime


class _Row(Struct):
    id: UUID
    version: int
    org_id: UUID
    position: int
    valid_from: datetime
    valid_to: datetime | str
    deleted: bool
    created_at: datetime
    name: str
    account_id: UUID
    owner_id: UUID
    stage: str
    status: Status
    amount: Decimal | None
    currency: str
    probability: int
    close_date: date | None
    actual_amount: Decimal | None
    actual_close_date: date | None
    tags: tuple[str, ...]
    stakeholder_ids: tuple[UUID, ...]
    custom_fields: dict[str, Any]
    head: str
    middle: str
    tail: str
    detail: str
    search: str
    custom_search: dict[str, str] | None


class _Count(Struct):
    org_id: UUID
    owner_id: UUID
    close_date: str
    stage: str
    status: str
    n: int


# Keys in one order, whatever the order they were sent in: the log has them so, and so does a rebuild.
encode = msgspec.json.Encoder(decimal_format="string", order="deterministic").encode


def _inside(struct: Struct) -> str:
    """The members of an object without its braces."""
    return encode(struct)[1:-1].decode()


def _money(value: Decimal | None, currency: str) -> str | None:
    return None if value is None else str(quantized(value, currency))


def render(state: State, position: int) -> _Row:
    """The row of a version that is the last one so far. What is shown is shown as it is, what is compared is in NFC."""
    tail = "," + _inside(_tail(state))
    plain = tail.isascii()
    return _Row(
        id=state.id,
        version=state.version,
        org_id=state.org_id,
        position=position,
        valid_from=state.updated_at,
        valid_to=versioned_rows.INFINITY,
        deleted=state.deleted,
        created_at=state.created_at,
        name=nfc(state.name),
        account_id=state.account_id,
        owner_id=state.owner_id,
        stage=state.stage,
        status=state.status,
        amount=state.amount,
        currency=state.currency,
        probability=state.probability,
        close_date=state.close_date,
        actual_amount=state.actual_amount,
        actual_close_date=state.actual_close_date,
        tags=state.tags if plain else tuple(map(nfc, state.tags)),
        stakeholder_ids=state.stakeholder_ids,
        custom_fields=state.custom_fields if plain else json_nfc(state.custom_fields),
        head=f'{{"id":"{state.id}","name":{encode(state.name).decode()},"account":',
        middle=","
        + _inside(_Middle(_money(state.amount, state.currency), state.currency, state.stage, state.probability, state.close_date))
        + ',"owner":',
        tail=tail,
        detail="," + _inside(_Detail(state.probability_source, state.stage_entered_at)),
        search=searchable(state.name),
        custom_search=None if plain else _custom_search(state.custom_fields),
    )


def _tail(state: State) -> _Tail:
    return _Tail(
        state.custom_fields,
        state.created_at,
        state.status,
        state.tags,
        _money(state.actual_amount, state.currency),
        state.actual_close_date,
        state.lost_reason,
        state.lost_reason_code,
        state.updated_at,
        state.version,
    )


def _custom_search(values: Mapping[str, Any]) -> dict[str, str] | None:
    """The folded texts of custom fields, by key, of those that are more than ASCII."""
    texts = {nfc(key): value if isinstance(value, str) else encode(value).decode() for key, value in values.items()}
    return {key: folded(text) for key, text in texts.items() if not text.isascii()} or None


@cache
def _day(value: date | None) -> str:
    return NO_DATE if value is None else value.isoformat()


def _count(counts: Counter[tuple[UUID, UUID, str, str, str]], state: State | None, sign: int) -> None:
    if state is None or state.deleted:
        return
    day = _day(state.close_date)
    for owner in (NOBODY, state.owner_id):
        for close_date in (ANY_DATE, day):
            counts[state.org_id, owner, close_date, state.stage, state.status] += sign


class Opportunities:
    name = "opportunities"
    version = 2
    tables: tuple[str, ...] = ("opportunities", "opportunity_counts")
    ddl = DDL
    zero_rows: Mapping[str, str] = {"opportunity_counts": "n = 0"}

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        rows: list[_Row] = []
        counts: Counter[tuple[UUID, UUID, str, str, str]] = Counter()
        for recorded, before, after in batch:
            if isinstance(after, State):
                rows.append(render(after, recorded.position))
                _count(counts, cast("State | None", before), -1)
                _count(counts, after, +1)
        versioned_rows.write(cursor, "opportunities", rows)
        if deltas := [_Count(*key, n) for key, n in counts.items() if n]:
            cursor.execute(
                """
                INSERT INTO opportunity_counts AS c
                SELECT * FROM json_populate_recordset(NULL::opportunity_counts, %(rows)s::json)
                ON CONFLICT (org_id, owner_id, stage, status, close_date) DO UPDATE SET n = c.n + excluded.n
                """,
                {"rows": encode(deltas).decode()},
                prepare=True,
            )
