"""A past list that terms find is the one that looking at every version gives, whatever was changed, deleted or renamed since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.writing.committer import Committer
from domain import account, opportunity
from projections.conditions import Condition, Order, SqlStatement
from projections.opportunities import past, queries
from projections.opportunities.heads import FirstDeals
from projections.opportunities.list_query import OpportunityListQuery
from tests.app.reading.test_keeper import CONDITIONS, INSTANTS
from tests.projections.opportunities.test_finding import reading
from tests.support.commands import Company
from tests.support.figures import Life

ORDERS = ((Order("created_at", True),), (Order("amount", False),), (Order("name", True),))
MORE: tuple[tuple[Condition, ...], ...] = (
    (Condition("search", "icontains", ("acme renewal",)), Condition("tags", "any", ("red",))),
    (Condition("tags", "any", ("red",)), Condition("cf_region", "in", ("EMEA",), "text")),
    (Condition("next_step", "isnull", (False,)),),
    (Condition("stage", "in", ("proposal", "won")),),
)


@pytest.fixture(scope="module")
def lived(shared_database_url: str) -> Iterator[Company]:
    with closing(Committer(shared_database_url)) as committer:
        life = Life(Company(committer), 7)
        for _ in range(150):
            life.go_on()
        yield life.company


def answered(connection: psycopg.Connection[Any], statement: SqlStatement) -> Any:
    return connection.execute(statement.text.encode(), statement.params).fetchone()


@pytest.mark.parametrize("conditions", [*(each for each in CONDITIONS if each[0].field != "account"), *MORE], ids=str)
def test_a_past_list_is_that_of_the_versions(conditions: tuple[Condition, ...], lived: Company, shared_database_url: str) -> None:
    numbers = set()
    with reading(shared_database_url, lived.id) as connection:
        for order in ORDERS:
            for at in (*INSTANTS, datetime(2026, 2, 10, tzinfo=UTC)):
                query = OpportunityListQuery(lived.id, conditions, order, at)
                items, n = answered(connection, queries.page(query, 20))
                found = answered(connection, FirstDeals(query, 20).statement(None))
                assert (found[-2], found[-1]) == (items, n), query
                numbers.add(n)
    assert len(numbers) > 1


def test_what_was_changed_since_is_found_as_it_was(shared_database_url: str, company: Company) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    days = iter(range(1, 100))

    def do(command: Any, stream_id: Any = None) -> Any:
        return company.do(command, stream_id, occurred_at=begin + timedelta(days=next(days))).stream_id

    umbrella = do(account.Create(name="Umbrella"))
    deal = do(opportunity.Create(name="Annual", account_id=umbrella, tags=("red",)))
    for command in (
        opportunity.Update(tags=("blue",)),
        opportunity.Delete(),
        opportunity.Restore(),
        opportunity.Update(name="Pilot"),
    ):
        do(command, deal)
    do(account.Update(name="Globex"), umbrella)

    def on(day: int, field: str, value: str) -> int:
        operator: Any = "any" if field == "tags" else "icontains"
        query = OpportunityListQuery(company.id, (Condition(field, operator, (value,)),), as_of=begin + timedelta(days=day))
        assert past.found(query) is not None
        with reading(shared_database_url, company.id) as connection:
            return int(answered(connection, FirstDeals(query, 20).statement(None))[-1])

    assert [on(day, "tags", "red") for day in range(8)] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert [on(day, "tags", "blue") for day in range(8)] == [0, 0, 0, 1, 0, 1, 1, 1]
    assert [on(day, "search", "annual") for day in range(8)] == [0, 0, 1, 1, 0, 1, 0, 0]
    assert [on(day, "search", "umbrella") for day in range(8)] == [0, 0, 1, 1, 0, 1, 1, 0]
    assert [on(day, "search", "globex pilot") for day in range(8)] == [0, 0, 0, 0, 0, 0, 0, 1]
