"""What an index of terms finds is what the conditions themselves find, in any part of a list, and it is found that way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.migrations import prerequisites
from app.writing.committer import Committer
from domain import account, opportunity
from projections import rebuild, sources
from projections.conditions import Condition, Operator, Order
from projections.opportunities import conditions, cursors, finding, list_query, orderings, queries
from projections.opportunities.list_query import OpportunityListQuery
from tests.support.commands import Company

NAMES = ["Renewal 2026", "Söhne (UK)", "Pilot – Rollout", "東京都 rollout", "a b_c%", "Annual", "Acme renewal", "Ключ"]
TAGS: list[tuple[str, ...]] = [(), ("red",), ("red", "grün"), ("blue",), ("red", "blue"), ("Red",)]
FIELDS: list[dict[str, Any]] = [
    {},
    {"n": 72, "t": "globex", "d": "2026-07-01"},
    {"n": 72.0, "t": "Globex Corporation", "d": "soon"},
    {"n": -0.5, "t": "72", "d": "2026-06-30"},
    {"n": "72", "t": 72, "c": True},
    {"n": 1e22, "t": 72.50, "c": False, "m": ["x", "y"], "d": "1999-12-31"},
    {"n": True, "t": True, "c": "true", "m": ["y", 3, "grün"]},
    {"t": " ".join(f"word{n}" for n in range(60)) + " globex", "m": "x", "d": 20260630},
    {"t": ["globex", "initech"], "m": []},
    {"t": {"rival": "Globex"}, "n": 0.0},
    {"t": "Große Brüder", "n": -0.0},
]
STEPS = [None, "Call Ms Große", "call", "[1]", " ".join(f"w{n}" for n in range(45)) + " call", "true"]
AMOUNTS = [None, Decimal(0), Decimal("0.01"), Decimal("72.5"), Decimal("999999999999999.99"), Decimal(60_000)]


def fill(company: Company) -> None:
    accounts = [
        company.account_id,
        *(company.do(account.Create(name=name)).stream_id for name in ("Globex", "Söhne Renewal & Co", "K")),
    ]
    for n in range(44):
        fields: dict[str, Any] = {
            "account_id": accounts[n % 4], "tags": TAGS[n % 6], "custom_fields": FIELDS[n % 11], "amount": AMOUNTS[n % 6],
            "close_date": date(2026, 1 + n % 12, 1), "next_step": STEPS[n % 6], "currency": ("USD", "EUR", "CHF")[n % 3],
            "probability": n % 5 * 10,
        }  # fmt: skip
        company.do(opportunity.Create(name=NAMES[n % 8], **fields))


AMOUNT_BOUNDS: list[tuple[Operator, str]] = [
    ("gte", "72.5"), ("gt", "72.5"), ("lte", "0.0000001"), ("lt", "0"), ("gt", "-1"), ("lte", "-1"),
        ("lt", "999999999999999.99"), ("gte", "1e39"), ("lt", "1e39"), ("in", "72.5"), ("in", "72.50001"), ("in", "-1"),
]  # fmt: skip
NUMBER_BOUNDS: list[tuple[Operator, str]] = [
    ("gte", "72"), ("gt", "72"), ("lt", "72.0001"), ("lte", "-0.5"), ("lt", "0"), ("gte", "0"), ("gt", "1e22"), ("lt", "1e23"),
]  # fmt: skip
PROBABILITIES: list[Operator] = ["gte", "lt"]
DAY_BOUNDS: list[Operator] = ["gte", "gt", "lte", "lt"]
CASES = [
    *(Condition("search", "icontains", (text,)) for text in (
        "renewal", "söhne", "uk", "(", "東", "京都", "b_c", "%", "rollout pilot", "acme corp", "co", "k", "glob ren", "nothing",
        "\u200b",
    )),
    *(Condition("tags", "any", values) for values in (("red",), ("grün", "blue"), ("Red",), ("re",))),
    *(Condition("tags", "all", values) for values in (("red", "grün"), ("red", "red"), ("red", "none"))),
    *(Condition("cf_t", "in", values, "text") for values in (
        ("globex",), ("Globex",), ("72",), ("72.5",), ("72.50",), ("true",), ('["globex", "initech"]',), ("Große Brüder",),
        ("a", "72"),
    )),
    *(Condition("cf_t", "icontains", (text,), "text") for text in (
        "globex", "OBEX corp", "grosse", "e b", "word59", "7", "true", "initech", '"globex', "Brüder", "\u200b",
    )),
    *(Condition("cf_n", "in", values, "number") for values in (
        (Decimal(72),), (Decimal("72.000"),), (Decimal("-0.5"),), (Decimal(0),), (Decimal(10**22),), (Decimal(1), Decimal(72)),
    )),
    *(Condition("cf_c", "in", (value,), "checkbox") for value in (True, False)),
    Condition("cf_d", "in", (date(2026, 6, 30),), "date"),
    *(Condition("cf_d", operator, (date(2026, 6, 30),), "date") for operator in DAY_BOUNDS),
    *(Condition("cf_m", "in", values, "multiselect") for values in (("x",), ("y", "grün"), ("3",))),
    *(Condition("cf_n", operator, (Decimal(value),), "number") for operator, value in NUMBER_BOUNDS),
    *(Condition("cf_t", "isnull", (value,), "text") for value in (True, False)),
    *(Condition("cf_m", "isnull", (value,), "multiselect") for value in (True, False)),
    *(Condition("next_step", "in", values) for values in (("call",), ("[1]",), ("true", "call"), ("none",))),
    *(Condition("next_step", "icontains", (text,)) for text in ("call", "ms gro", "GROSSE", "w44", "all", "none")),
    *(Condition("next_step", "isnull", (value,)) for value in (True, False)),
    *(Condition("currency", "in", values) for values in (("EUR",), ("EUR", "JPY"), ("JPY",))),
    *(Condition("probability", operator, (30,)) for operator in PROBABILITIES),
    Condition("actual_amount", "gte", (Decimal(1),)),
    Condition("updated_at", "gte", (datetime(2100, 1, 1, tzinfo=UTC),)),
    Condition("name", "in", ("Annual",)),
    *(Condition("amount", operator, (Decimal(value),)) for operator, value in AMOUNT_BOUNDS),
    Condition("amount", "isnull", (True,)),
]  # fmt: skip
MORE: list[tuple[Condition, ...]] = [
    (),
    (Condition("close_date", "gte", (date(2026, 6, 1),)),),
    (Condition("tags", "any", ("red",)),),
    (Condition("amount", "gte", (Decimal(50),)),),
    (Condition("stage", "in", ("discovery",)),),
    (Condition("tags", "any", ("red",)), Condition("currency", "in", ("USD", "CHF"))),
]
WALKS = ((20, 100), pytest.param(1, 2, marks=pytest.mark.slow), pytest.param(2_000, 2, marks=pytest.mark.slow))
ORDERS = [
    (Order("created_at", True),),
    (Order("created_at", False),),
    (Order("amount", True), Order("name", False)),
    (Order("close_date", False),),
    (Order("probability", True), Order("name", False)),
    (Order("currency", False),),
]


@contextmanager
def a_company(url: str) -> Iterator[Company]:
    with closing(Committer(url)) as committer:
        yield Company(committer)


@pytest.fixture(scope="module")
def filled(shared_database_url: str) -> Iterator[Company]:
    with a_company(shared_database_url) as company:
        fill(company)
        yield company


@contextmanager
def reading(url: str, org_id: UUID) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE opportunities_reader")
        connection.execute("SELECT set_config('app.org_id', %s, false)", (str(org_id),))
        yield connection


def listed(connection: psycopg.Connection[Any], query: OpportunityListQuery, limit: int, offset: int = 0) -> tuple[str | None, int]:
    statement = queries.page(query, limit, offset)
    row = connection.execute(statement.text.encode(), statement.params).fetchone()
    assert row is not None
    return row[0], row[1]


def scanned(connection: psycopg.Connection[Any], query: OpportunityListQuery) -> list[UUID]:
    """The ids of the list, in order, by looking at every deal."""
    matching = list_query.where(query)
    order = orderings.order_by(query.keys)
    text = f"SELECT o.id FROM opportunities o WHERE {matching.text} ORDER BY {order}"
    return [row[0] for row in connection.execute(text.encode(), matching.params)]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("walk", "many"), WALKS)
def test_terms_find_what_the_condition_finds(
    walk: int, many: int, case: Condition, filled: Company, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is among the deals that the list begins with, or found by the index, or both; be they few or many."""
    with reading(shared_database_url, filled.id) as connection:
        monkeypatch.setattr(sources, "WALK", walk)
        monkeypatch.setattr(sources, "MANY", many)
        for more, order in zip(MORE, ORDERS, strict=True):
            check(connection, OpportunityListQuery(filled.id, (case, *more), order))


def check(connection: psycopg.Connection[Any], query: OpportunityListQuery) -> None:
    every = scanned(connection, query)
    for limit, offset in ((5, 0), (5, 5), (200, 0)):
        items, count = listed(connection, query, limit, offset)
        assert (count, ids(items)) == (len(every), every[offset : offset + limit]), query
    walked: list[UUID] = []
    cursor: str | None = ""
    while cursor is not None and len(walked) < 12:
        statement = queries.cursor_page(query, 4, cursor)
        row = connection.execute(statement.text.encode(), statement.params).fetchone()
        assert row is not None
        walked += ids(row[0])
        cursor = cursors.encode(row[2], query.keys) if row[2] else None
    assert walked == every[: len(walked)], query
    assert cursor is not None or len(walked) == len(every), query


def ids(items: str | None) -> list[UUID]:
    return [UUID(item["id"]) for item in json.loads(f"[{items or ''}]")]


@pytest.mark.parametrize("field", sorted(conditions.ORDERINGS))
def test_every_order_is_that_of_all_deals(field: str, filled: Company, shared_database_url: str) -> None:
    with reading(shared_database_url, filled.id) as connection:
        for descending in (True, False):
            for more in ((), MORE[4], (Condition("currency", "in", ("EUR",)),)):
                check(connection, OpportunityListQuery(filled.id, more, (Order(field, descending),)))


def test_the_next_step_is_found_as_it_is_now(database_url: str) -> None:
    with a_company(database_url) as company, reading(database_url, company.id) as connection:
        deal = company.deal("Annual", next_step="Call")

        def found(operator: Operator, value: Any) -> int:
            return listed(connection, OpportunityListQuery(company.id, (Condition("next_step", operator, (value,)),)), 50)[1]

        assert (found("in", "Call"), found("icontains", "ALL"), found("isnull", False), found("isnull", True)) == (1, 1, 1, 0)
        company.do(opportunity.Update(next_step="Visit"), deal)
        assert (found("in", "Call"), found("icontains", "sit"), found("isnull", False)) == (0, 1, 1)
        company.do(opportunity.Update(next_step=None), deal)
        assert (found("icontains", "sit"), found("isnull", False), found("isnull", True)) == (0, 0, 1)
        assert rebuild.verify(database_url) == []


def test_what_is_changed_is_found_as_it_is_now(database_url: str) -> None:
    with a_company(database_url) as company, reading(database_url, company.id) as connection:
        deal = company.deal("Annual", tags=("red",), custom_fields={"seats": 5, "rival": "globex"})

        def found(field: str, operator: Any, value: Any, custom_type: Any = None) -> int:
            condition = Condition(field, operator, (value,), custom_type)
            return listed(connection, OpportunityListQuery(company.id, (condition,)), 50)[1]

        assert (
            found("tags", "any", "red")
            == found("cf_seats", "in", Decimal(5), "number")
            == found("search", "icontains", "annual")
            == 1
        )
        company.do(opportunity.Update(name="Pilot", tags=("blue",), custom_fields={"seats": None, "rival": "initech"}), deal)
        assert (
            found("tags", "any", "red")
            == found("cf_seats", "in", Decimal(5), "number")
            == found("search", "icontains", "annual")
            == 0
        )
        assert (
            found("tags", "any", "blue")
            == found("cf_rival", "icontains", "nite", "text")
            == found("search", "icontains", "pil")
            == 1
        )
        company.do(account.Update(name="Globex"), company.account_id)
        assert (found("search", "icontains", "acme"), found("search", "icontains", "glob pilot")) == (0, 1)
        other = company.do(account.Create(name="Umbrella")).stream_id
        company.do(opportunity.Update(account_id=other), deal)
        assert (found("search", "icontains", "globex"), found("search", "icontains", "umbrella")) == (0, 1)
        company.do(opportunity.Delete(), deal)
        assert found("search", "icontains", "pilot") == found("tags", "any", "blue") == 0
        company.do(account.Delete(), other)
        company.do(opportunity.Restore(), deal)
        assert found("search", "icontains", "umbrella") == 1
        assert found("search", "icontains", "pilot") == found("tags", "any", "blue") == 1
        assert rebuild.verify(database_url) == []


def test_many_alternatives_are_looked_up_one_by_one(database_url: str) -> None:
    with a_company(database_url) as company, reading(database_url, company.id) as connection:
        for n in range(0, 210, 30):
            company.do(account.Create(name=f"Industries{n}"))
            company.deal(" ".join(f"word{n + m}" for m in range(30)))
        for search, number in (("word", 7), ("word17", 2), ("acme", 7), ("ord", 7)):
            query = OpportunityListQuery(company.id, (Condition("search", "icontains", (search,)),))
            assert queries.count(query).text.startswith("SELECT count_opportunities_with_terms")
            assert listed(connection, query, 50)[1] == number, search


def test_the_index_of_words_can_be_missed(database_url: str) -> None:
    """Where the extensions are not to be had, all words of the org are read."""
    with closing(psycopg.connect(database_url, autocommit=True)) as owner, a_company(database_url) as company:
        assert prerequisites.without_index_of_words(owner) is None
        owner.execute("DROP EXTENSION IF EXISTS pg_trgm, btree_gin CASCADE")
        company.deal("Renewal")
        rebuild.rebuild(database_url, ["opportunities", "directory"])
        problem = prerequisites.without_index_of_words(owner)
        assert problem is not None
        assert "CREATE EXTENSION IF NOT EXISTS pg_trgm" in problem
        with reading(database_url, company.id) as connection:
            for search in ("enew", "re", "cme", "nothing"):
                query = OpportunityListQuery(company.id, (Condition("search", "icontains", (search,)),))
                assert listed(connection, query, 50)[1] == (search != "nothing")


def test_which_conditions_terms_can_answer() -> None:
    org_id = UUID(int=1)
    assert finding.by_terms(Condition("stage", "in", ("won",)), org_id) is None
    days = finding.by_terms(Condition("cf_d", "gte", (date(2026, 1, 1),), "date"), org_id)
    assert days is not None
    assert days.exactly
    assert finding.by_terms(Condition("cf_t", "in", ("[1]",), "text"), org_id) is None
    found = finding.by_terms(Condition("cf_t", "icontains", ("a b",), "text"), org_id)
    assert found is not None
    assert (len(found.groups), found.exactly) == (2, False)
