"""Opportunities as the API shows them: one row for every version of every deal, rendered when it is written.

The current versions of live deals have partial indexes, so a list reads only them, while the same rows with another condition on
their validity answer a list or a record as of any instant. Counters give ``count`` for the common filters. The names of accounts,
owners and contacts are not in the rows: they are joined when read, so a rename shows at once. Every query is given its org.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.fold import Change
from domain.opportunity.events import State
from domain.sql_cursor import SqlCursor
from projections import versioned_rows
from projections.copies import Copies
from projections.opportunities import rows, terms
from projections.terms import once

# Current rows of live deals: the predicate of the partial indexes, to the letter.
LIVE = "o.valid_to = 'infinity' AND NOT o.deleted"
AS_OF = "o.created_at <= %(as_of)s AND o.valid_from <= %(as_of)s AND o.valid_to > %(as_of)s AND NOT o.deleted"
"""What is valid at an instant was created by then: said too, so that the index by ``created_at`` is read from there."""

NOBODY = UUID(int=0)
"""In a counter: of any owner."""
NO_DATE = "infinity"
"""In a counter: the deals without a close date."""
ANY_DATE = "-infinity"

# Of deleted deals several may have the same external id.
# A range of close dates is evaluated inside the index that gives the order. With bounds as parameters the planner does not know the
# width, and would fetch and sort all of it (seen: 8 ms for a page instead of half a one).
# The index on accounts is the sheet: it has what lists filter and order by, and forecasts add up, so that a question that no other
# index answers reads it alone, and no rows. For the past, the index on validity is.
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
    -- See amounts.py.
    amount_key bigint,
    currency text NOT NULL,
    probability int NOT NULL,
    close_date date,
    actual_amount numeric,
    actual_close_date date,
    next_step text,
    external_id text,
    stage_entered_at timestamptz NOT NULL,
    closed_at timestamptz,
    tags text[] NOT NULL,
    -- The tags for the sheet, a line each, or NULL if they are too long for it.
    sheet_tags text,
    stakeholder_ids uuid[] NOT NULL,
    custom_fields jsonb NOT NULL,
    -- Parts of one JSON object, none of which is JSON by itself. A list item is json_until_account, the account, json_until_owner,
    -- the owner, the member of stakeholders, json_after_stakeholders and a brace, and a record has json_detail before it.
    json_until_account text NOT NULL,
    json_until_owner text NOT NULL,
    json_after_stakeholders text NOT NULL,
    json_detail text NOT NULL,
    search text NOT NULL,
    folded jsonb,
    PRIMARY KEY (id, version)
);
ALTER TABLE opportunities ALTER json_until_account SET STORAGE EXTERNAL, ALTER json_until_owner SET STORAGE EXTERNAL,
    ALTER json_after_stakeholders SET STORAGE EXTERNAL;
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
    INCLUDE (id, version, owner_id, name, stage, status, amount, amount_key, currency, probability, close_date, actual_amount,
        actual_close_date, created_at, valid_from, stage_entered_at, closed_at, sheet_tags)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_stakeholders ON opportunities USING gin (stakeholder_ids)
    WHERE valid_to = 'infinity' AND NOT deleted AND stakeholder_ids <> '{}';
CREATE INDEX opportunities_name ON opportunities (org_id, name, id)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_updated_at ON opportunities (org_id, valid_from DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_amount ON opportunities (org_id, amount_key DESC NULLS LAST, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_stage_entered_at ON opportunities (org_id, stage_entered_at DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX opportunities_closed_at ON opportunities (org_id, closed_at DESC NULLS LAST, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE UNIQUE INDEX opportunities_external_id ON opportunities (org_id, external_id, (CASE WHEN deleted THEN id END))
    NULLS NOT DISTINCT WHERE valid_to = 'infinity' AND external_id IS NOT NULL;
CREATE INDEX opportunities_deleted ON opportunities (org_id, valid_to, valid_from, created_at, id) WHERE deleted;
CREATE INDEX opportunities_as_of ON opportunities (org_id, created_at DESC, id DESC, valid_from, valid_to)
    INCLUDE (version, deleted, account_id, owner_id, stage, status, amount, amount_key, currency, probability, close_date,
        actual_amount, actual_close_date, stage_entered_at, closed_at);

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


def _counted(deals: str) -> str:
    """SQL for what numbers of deals add to the counts: by owner and of anybody, by close date and of any."""
    return f"""
        SELECT o.org_id, w.owner_id, d.close_date, o.stage, o.status, sum(o.n)
        FROM ({deals}) o
        CROSS JOIN LATERAL (VALUES (o.owner_id), ('{NOBODY}'::uuid)) w (owner_id)
        CROSS JOIN LATERAL (VALUES (o.close_date), ('{ANY_DATE}'::date)) d (close_date)
        GROUP BY 1, 2, 3, 4, 5
    """


_COLUMNS = f"o.org_id, o.owner_id, coalesce(o.close_date, '{NO_DATE}') AS close_date, o.stage, o.status"
_ALL = f"SELECT {_COLUMNS}, count(*) AS n FROM opportunities o WHERE {LIVE} GROUP BY 1, 2, 3, 4, 5"
# Of each record the version before its first one here is the one that was counted: the statement does not see what it inserts.
_MOVED = f"""
    SELECT {_COLUMNS}, 1 AS n FROM written o WHERE {LIVE}
    UNION ALL
    SELECT {_COLUMNS}, -1 FROM written w JOIN opportunities o ON o.id = w.id AND o.version = w.version - 1 WHERE NOT o.deleted
"""
_WRITE = f"""
WITH written AS MATERIALIZED (SELECT * FROM json_populate_recordset(NULL::opportunities, %(rows)s::json)),
    inserted AS (INSERT INTO opportunities SELECT * FROM written)
INSERT INTO opportunity_counts AS c (org_id, owner_id, close_date, stage, status, n) {_counted(_MOVED)} HAVING sum(o.n) <> 0
ON CONFLICT (org_id, owner_id, stage, status, close_date) DO UPDATE SET n = c.n + excluded.n
"""
_COUNT = f"INSERT INTO opportunity_counts (org_id, owner_id, close_date, stage, status, n) {_counted(_ALL)}"


class Opportunities:
    name = "opportunities"
    version = 9
    tables: tuple[str, ...] = ("opportunities", "opportunity_counts", *terms.TABLES)
    views: tuple[str, ...] = ()
    ddl = DDL + terms.DDL
    zero_rows: Mapping[str, str] = {"opportunity_counts": "n = 0"}
    sums: tuple[str, ...] = (_COUNT, once("opportunity_words"))

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        found = [rows.render(after, recorded.position) for recorded, _, after in batch if isinstance(after, State)]
        if not found:
            return
        versioned_rows.close(cursor, "opportunities", found)
        cursor.execute(_WRITE, {"rows": versioned_rows.encode(found).decode()}, prepare=True)
        if written := getattr(cursor, "written", None):
            written.rows.update(((row.id, row.version), row) for row in found)
        terms.write(cursor, batch)

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        pass

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        copies.versions(
            "opportunities", [rows.render(after, recorded.position) for recorded, _, after in batch if isinstance(after, State)]
        )
        terms.fill(copies, batch)
