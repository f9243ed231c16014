"""How much is read does not hang on statistics: a fresh database without any reads a page for a page, and rows by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.writing.committer import Committer
from app.writing.envelope import Envelope
from domain import account, contact, opportunity
from projections import connections, decision_facts, questions
from projections.conditions import Condition, Order, SqlStatement
from projections.connections import Role, Settings
from projections.directory import cards
from projections.directory.queries import DirectoryListQuery
from projections.directory.queries import page as directory_page
from projections.forecast import current, waterfall
from projections.forecast.balances import Bounds
from projections.forecast.current import ForecastQuery
from projections.forecast.entries import WaterfallQuery
from projections.forecast.folding import EVERY
from projections.opportunities import queries
from projections.opportunities.heads import FirstDeals
from projections.opportunities.list_query import OpportunityListQuery
from projections.placeholders import numbered
from projections.registry import READ_MODELS
from tests.support import postgres
from tests.support.commands import Company

DEALS, RECORDS, PAGE = 1_500, 400, 20


class Fresh:
    def __init__(self, url: str, company: Company, read: int, position: int, filled_at: datetime) -> None:
        self.url = url
        self.filled_at = filled_at
        """When all deals were there, and none was in another stage."""
        self.position = position
        """The last one in the log."""
        self.company = company
        self.read = read
        """Rows that the writer read in sequence while it filled the tables."""


@pytest.fixture(scope="module")
def fresh(template_database: str) -> Iterator[Fresh]:
    """Filled, and never analysed."""
    with postgres.database(template_database) as url, closing(Committer(url)) as committer:
        with psycopg.connect(url, autocommit=True) as owner:
            for table in (table for model in READ_MODELS for table in model.tables):
                owner.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(sql.Identifier(table)))
        company = Company(committer)
        fill(company)
        committer.close()
        with psycopg.connect(url) as owner:
            row = owner.execute(
                "SELECT sum(seq_tup_read)::bigint, bool_or(last_analyze IS NOT NULL OR last_autoanalyze IS NOT NULL),"
                " (SELECT max(notification_id) FROM opportunities_events), (SELECT max(created_at) FROM opportunities)"
                " FROM pg_stat_user_tables WHERE relname = ANY(%s)",
                (["opportunities", "opportunity_terms", "directory_terms", "forecast_entries"],),
            ).fetchone()
        assert row is not None
        assert row[1] is False
        yield Fresh(url, company, row[0], *row[2:])


def fill(company: Company) -> None:
    people = [contact.Create(first_name="Jane", last_name=f"Doe {n}", email=f"jane{n}@acme.example") for n in range(RECORDS)]
    run(company, [company.envelope(account.Create(name=f"Account {n}", external_id=f"A{n}")) for n in range(RECORDS)])
    run(company, envelopes := [company.envelope(command) for command in people])
    contacts = [each.stream_id for each in envelopes]
    commands: list[Any] = []
    for n in range(DEALS):
        day = date(2026, 1, 1) + timedelta(days=n % 300)
        tags = ("red", "rare") if n % 500 == 7 else ("red",)
        both = tuple(contacts[(n + m) % RECORDS] for m in range(2))
        deal: dict[str, Any] = {"stakeholder_ids": both, "amount": Decimal(n), "close_date": day if n % 9 else None, "tags": tags}
        commands.append(company.creation(f"Deal {n}", external_id=f"E{n}", **deal))
    run(company, deals := [company.envelope(command) for command in commands])
    run(company, [company.envelope(opportunity.ChangeStage(stage="proposal"), each.stream_id) for each in deals[::2]])


def run(company: Company, envelopes: list[Envelope]) -> None:
    for start in range(0, len(envelopes), 50):
        results = company.committer.run(envelopes[start : start + 50])
        assert not [result for result in results if isinstance(result, Exception)]


def most_rows(
    fresh: Fresh, statement: SqlStatement, settings: Settings = connections.THROUGH_INDEXES, role: Role = "reader"
) -> int:
    """The most rows that a step of the statement goes through, with the plan that serves all parameters."""
    plan = planned(fresh, statement, settings, role)
    return max(int(step["Actual Loops"] * (step["Actual Rows"] + step.get("Rows Removed by Filter", 0))) for step in steps(plan))


def planned(fresh: Fresh, statement: SqlStatement, settings: Settings, role: Role) -> dict[str, Any]:
    text, names = numbered(statement.text)
    given = sql.SQL(", ").join(sql.Literal(statement.params[name]) for name in names)
    asked = sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE question({})").format(given)
    with connections.connect(fresh.url, "reader", settings, statement_timeout_ms=15_000, role=role) as connection:
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(fresh.company.id),))
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(b"PREPARE question AS " + text)
        row = connection.execute(asked).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from steps(part)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("field", ["created_at", "updated_at", "close_date", "amount", "name", "stage_entered_at", "closed_at"])
def test_a_page_of_deals_reads_no_more_than_a_page(fresh: Fresh, field: str, descending: bool) -> None:
    query = OpportunityListQuery(fresh.company.id, (), (Order(field, descending),))
    assert most_rows(fresh, queries.page(query, PAGE)) <= 3 * PAGE
    assert most_rows(fresh, queries.page(query, PAGE, slots=True)) <= 3 * PAGE


def test_the_cards_that_changed_are_found_from_their_end(fresh: Fresh) -> None:
    ids = [str(fresh.company.account_id)]
    assert most_rows(fresh, cards.of(fresh.company.id, ids, 0)) == cards.MOST < RECORDS
    assert most_rows(fresh, cards.of(fresh.company.id, ids, fresh.position)) <= 1


@pytest.mark.parametrize(
    "condition",
    [
        Condition("stage", "in", ("proposal",)),
        Condition("status", "in", ("open",)),
        Condition("owner_email", "in", ("admin@acme.example",)),
        Condition("close_date", "lte", (date(2026, 12, 1),)),
    ],
    ids=str,
)
def test_a_page_of_what_many_deals_have_reads_little(fresh: Fresh, condition: Condition) -> None:
    query = OpportunityListQuery(fresh.company.id, (condition,))
    assert most_rows(fresh, queries.page(query, PAGE)) <= 25 * PAGE


def test_a_later_page_and_what_few_have_are_looked_up_row_by_row(fresh: Fresh) -> None:
    assert most_rows(fresh, queries.page(OpportunityListQuery(fresh.company.id), PAGE, 2 * PAGE)) <= 3 * PAGE
    rare = OpportunityListQuery(fresh.company.id, (Condition("tags", "any", ("rare",)),))
    assert most_rows(fresh, queries.page(rare, PAGE)) <= DEALS


def test_deals_of_an_instant_are_counted_by_what_has_happened_since(fresh: Fresh) -> None:
    assert most_rows(fresh, queries.count(OpportunityListQuery(fresh.company.id, as_of=fresh.filled_at))) <= PAGE


def test_a_past_list_looks_at_the_rows_only_of_deals_that_are_found_by_other_terms_since(fresh: Fresh) -> None:
    query = OpportunityListQuery(fresh.company.id, (Condition("tags", "any", ("red",)),), as_of=fresh.filled_at)
    plan = planned(fresh, FirstDeals(query, PAGE).statement(None), connections.OF_ALL_DEALS, "reader")
    of_rows = [
        step for step in steps(plan) if step.get("Relation Name") == "opportunities" and step["Node Type"] != "Index Only Scan"
    ]
    assert sum(step["Actual Loops"] * step["Actual Rows"] for step in of_rows) <= 3 * PAGE


@pytest.mark.parametrize("kind", ["account", "contact"])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("field", ["created_at", "updated_at", "name"])
def test_a_page_of_the_directory_reads_no_more_than_a_page(fresh: Fresh, field: str, descending: bool, kind: str) -> None:
    query = DirectoryListQuery(fresh.company.id, kind, (), (Order(field, descending),))
    assert most_rows(fresh, directory_page(query, PAGE)) <= 3 * PAGE


def test_contacts_are_read_by_their_last_names(fresh: Fresh) -> None:
    query = DirectoryListQuery(fresh.company.id, "contact", (), (Order("last_name", False),))
    assert most_rows(fresh, directory_page(query, PAGE)) <= 3 * PAGE


@pytest.mark.parametrize("conditions", [(), (Condition("stage", "in", ("proposal",)),)], ids=["all", "one stage"])
def test_a_waterfall_by_owner_goes_through_each_version_once(fresh: Fresh, conditions: tuple[Condition, ...]) -> None:
    now = datetime.now(UTC)
    query = WaterfallQuery(fresh.company.id, now - timedelta(days=1), now, now.date(), conditions=conditions, group_by="owner")
    versions = DEALS + DEALS // 2
    assert most_rows(fresh, waterfall.changes(query)) <= 3 * versions


@pytest.mark.parametrize("days", [1, 15], ids=["whole months", "a cut month"])
def test_a_forecast_adds_few_entries_to_the_sums(fresh: Fresh, days: int) -> None:
    now = datetime.now(UTC)
    bounds = Bounds(date(2026, 1, days), date(2027, 12, 31))
    query = ForecastQuery(fresh.company.id, now.date(), bounds)
    assert most_rows(fresh, current.forecast(query)) <= DEALS // 2
    past = replace(query, as_of=now)
    assert most_rows(fresh, current.forecast(past)) <= EVERY < DEALS


@pytest.mark.parametrize("descending", [True, False])
def test_contacts_are_read_by_their_addresses_from_either_end(fresh: Fresh, descending: bool) -> None:
    query = DirectoryListQuery(fresh.company.id, "contact", (), (Order("email", descending),))
    assert most_rows(fresh, directory_page(query, PAGE)) <= 3 * PAGE
    assert most_rows(fresh, directory_page(query, PAGE, 2 * PAGE)) <= 6 * PAGE


def test_writing_finds_rows_by_their_keys(fresh: Fresh) -> None:
    assert fresh.read < DEALS


@pytest.mark.parametrize(("kind", "letter"), [("account", "A"), ("opportunity", "E")])
def test_external_ids_are_looked_up_one_by_one(fresh: Fresh, kind: str, letter: str) -> None:
    """Those that are there and those that are not, as the writer does for every row of an import."""
    number = 100
    texts = [f"{letter}{n}" if n % 2 else f"none {n}" for n in range(number)]
    params = {"orgs": [fresh.company.id] * number, "kinds": [kind] * number, "texts": texts}
    statement = SqlStatement(decision_facts.NAMED, params, questions.OTHER)
    assert most_rows(fresh, statement, connections.BY_KEYS, "writer") <= number
