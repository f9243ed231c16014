"""Text that was appended before it had a normal form is found as if it had one, and so is what an older version wrote."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from psycopg import sql
from uuid_utils.compat import uuid7

from app import migrations
from app.writing.committer import Committer
from domain import event_store, opportunity
from domain.event import Meta, Recorded
from domain.opportunity.events import Changes
from projections import rebuild
from projections.conditions import Condition
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.queries import page
from projections.registry import READ_MODELS
from tests.support.commands import Company

NAME = "Probe & So\u0308hne\u200b\nBerlin"
"""As no command could say it now."""


def found(database_url: str, company: Company, field: str, value: str, **more: str) -> int:
    operator = "any" if field == "tags" else "icontains"
    condition = Condition(field, operator, (value,), **more)  # type: ignore[arg-type]
    query = page(OpportunityListQuery(company.id, (condition,)), 50)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(company.id),))
        row = connection.execute(query.text.encode(), query.params).fetchone()
    assert row is not None
    return int(row[1])


def append(database_url: str, company: Company, deal: UUID, happened: opportunity.Updated) -> None:
    """As an older version did, read models left alone."""
    at = datetime.now(UTC)
    meta = Meta(org_id=company.id, command_id=uuid7(), occurred_at=at, recorded_at=at)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        event_store.lock(cursor)
        event_store.append(cursor, [Recorded(deal, 2, happened, meta)], event_store.opening(cursor))


def test_old_events_are_found_in_any_form_after_migrate(database_url: str) -> None:
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        deal = company.deal()
    append(
        database_url,
        company,
        deal,
        opportunity.Updated(changes=Changes(name=NAME, tags=("gru\u0308n",), custom_fields={"o\u0308": "O\u0308l"})),
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table, columns in (("opportunities", ("search", "folded")), ("directory", ("search",))):
            for column in columns:
                connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(sql.Identifier(table), sql.Identifier(column)))
            connection.execute("UPDATE read_models SET version = 1 WHERE name = %s", (table,))
    done = migrations.migrate(database_url)
    assert {line for line in done if "rebuilt" in line} == {
        f"rebuilt read model {model.name} version {model.version}"
        for model in READ_MODELS
        if model.name in ("opportunities", "directory")
    }
    assert rebuild.verify(database_url) == []
    for phrase in ("SÖHNE", "söhne berlin", "sö"):
        assert found(database_url, company, "search", phrase) == 1, phrase
    assert found(database_url, company, "tags", "grün") == 1
    assert found(database_url, company, "cf_ö", "öL", custom_type="text") == 1
