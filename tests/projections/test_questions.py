"""Which lane a question takes: cheap only if its cost is known to follow the answer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from consumers.webhooks import delivery_log
from projections import questions
from projections.conditions import Condition, Order, SqlStatement
from projections.directory import queries as directory
from projections.directory.queries import DirectoryListQuery
from projections.forecast import behind, current, waterfall
from projections.forecast.balances import Bounds
from projections.forecast.current import ForecastQuery
from projections.forecast.entries import WaterfallQuery
from projections.forecast.group_sums import GroupSums, OfMonth, Others
from projections.forecast.kept_forecast import SUMS, KeptForecast
from projections.forecast.kept_groups import KeptGroups
from projections.kept import Figure
from projections.opportunities import queries as opportunities
from projections.opportunities.counts import CountedPage
from projections.opportunities.list_query import OpportunityListQuery
from projections.questions import Question

ORG = UUID(int=1)
DAY, NOW = date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)
STAGE = Condition("stage", "in", ("proposal",))
OWNER = Condition("owner", "in", (ORG,))
SEARCH = Condition("search", "icontains", ("acme",))


def listed(*conditions: Condition, **more: Any) -> Question:
    return opportunities.page(OpportunityListQuery(ORG, conditions, **more), 50).question


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (STAGE, questions.LIST),
        (Condition("status", "in", ("open", "won")), questions.LIST),
        (Condition("close_date", "gte", (DAY,)), questions.LIST),
        (Condition("close_date", "isnull", (True,)), questions.LIST_SCANNED),
        (Condition("owner", "in", (ORG,)), questions.LIST_OWNER),
        (Condition("account", "in", (ORG,)), questions.LIST_ACCOUNT),
        (Condition("external_id", "in", ("A1",)), questions.LIST_EXTERNAL_ID),
        (Condition("external_id", "isnull", (True,)), questions.LIST_SCANNED),
        (Condition("amount", "gte", (Decimal(1),)), questions.LIST_SCANNED),
        (Condition("currency", "in", ("EUR",)), questions.LIST_SCANNED),
        (Condition("created_at", "lt", (NOW,)), questions.LIST_SCANNED),
        (Condition("next_step", "icontains", ("call",)), questions.LIST_CONTAINS),
        (Condition("tags", "all", ("a",)), questions.LIST_TAGS),
        (SEARCH, questions.LIST_SEARCH),
        (Condition("cf_region", "in", ("EMEA",), "text"), questions.LIST_CUSTOM_FIELD),
    ],
)
def test_a_list_is_what_its_filters_make_it(condition: Condition, kind: Question) -> None:
    assert listed(condition) is kind
    assert listed(STAGE, condition) is kind


def test_a_list_is_dear_as_soon_as_one_thing_about_it_is() -> None:
    assert listed() is questions.LIST
    assert listed(Condition("owner", "in", (ORG,)), SEARCH) is questions.LIST_SEARCH
    assert listed(as_of=NOW) is questions.LIST_AS_OF
    assert listed(order=(Order("probability", False),)) is questions.LIST_ORDERED
    assert listed(order=(Order("created_at", True), Order("amount", True))) is questions.LIST_ORDERED
    for order in (Order("created_at", False), Order("amount", False), Order("close_date", True), Order("name", True)):
        assert listed(order=(order,)) is questions.LIST


def test_a_list_whose_count_is_kept_is_cheap_if_finding_its_page_is() -> None:
    def of_kept(*conditions: Condition, n: int = 10, offset: int = 0, **more: Any) -> Question:
        page = CountedPage(OpportunityListQuery(ORG, conditions, **more), 50, offset)
        return page.statement(Figure(1, "", (n,))).question

    assert of_kept(as_of=NOW) is questions.LIST_AS_OF_KEPT
    assert of_kept(as_of=NOW, offset=questions.DEEP) is questions.LIST_AS_OF
    assert of_kept(STAGE, as_of=NOW) is questions.LIST_AS_OF
    assert of_kept(as_of=NOW, order=(Order("amount", True),)) is questions.LIST_AS_OF
    assert of_kept(SEARCH) is of_kept(SEARCH, order=(Order("amount", True),)) is questions.LIST_FEW
    assert of_kept(SEARCH, n=questions.FEW + 1) is questions.LIST_SEARCH
    assert of_kept(SEARCH, STAGE) is of_kept(SEARCH, order=(Order("probability", True),)) is questions.LIST_SEARCH
    assert CountedPage(OpportunityListQuery(ORG, as_of=NOW), 50).statement(None).question is questions.LIST_AS_OF


def test_a_page_far_down_is_dear_by_number_and_not_by_cursor() -> None:
    query = OpportunityListQuery(ORG)
    assert opportunities.page(query, 50, questions.DEEP - 1).question is questions.LIST
    assert opportunities.page(query, 50, questions.DEEP).question is questions.LIST_DEEP
    assert opportunities.cursor_page(query, 50, None).question is questions.LIST
    assert opportunities.cursor_page(OpportunityListQuery(ORG, (SEARCH,)), 50, None).question is questions.LIST_SEARCH


def test_a_forecast_is_cheap_from_balances_alone() -> None:
    deals = SqlStatement("true", {})
    for asked, kind in (
        (ForecastQuery(ORG, DAY), questions.FORECAST),
        (ForecastQuery(ORG, DAY, as_of=NOW), questions.FORECAST),
        (ForecastQuery(ORG, DAY, where=deals), questions.FORECAST_FILTERED),
        (ForecastQuery(ORG, DAY, where=deals, as_of=NOW), questions.FORECAST_AS_OF),
        (ForecastQuery(ORG, DAY, where=deals, as_of=NOW, group_by="owner"), questions.FORECAST_GROUPED),
    ):
        assert current.forecast(asked).question is kind


def test_a_forecast_is_cheap_from_sums_that_are_kept() -> None:
    for as_of in (None, NOW):
        deals = OpportunityListQuery(ORG, (SEARCH,), as_of=as_of)
        asked = KeptForecast(ForecastQuery(ORG, DAY, as_of=as_of, group_by="stage"), deals)
        assert asked.statement(None).question is questions.FORECAST_GROUPED
        assert asked.statement(Figure(1, "", ("{}",) * len(SUMS.columns))).question is questions.FORECAST_KEPT
        largest = KeptGroups(ForecastQuery(ORG, DAY, as_of=as_of, group_by="owner"), deals)
        assert largest.statement(None).question is questions.FORECAST_GROUPED
        assert largest.statement(Figure(1, "", (GroupSums(),))).question is questions.FORECAST_KEPT
        others = GroupSums(months={"2026-01-01": OfMonth({}, Others(1, Decimal(1), ()))})
        assert largest.statement(Figure(1, "", (others,))).question is questions.FORECAST_GROUPS_KEPT


def test_a_waterfall_is_cheap_from_sums_alone() -> None:
    for bounds, expanded, kind in (
        (Bounds(), False, questions.WATERFALL),
        (Bounds(DAY, date(2026, 3, 31)), False, questions.WATERFALL),
        (Bounds(DAY, date(2026, 3, 30)), False, questions.WATERFALL_DAYS),
        (Bounds(), True, questions.WATERFALL_EXPANDED),
    ):
        asked = WaterfallQuery(ORG, NOW, NOW, DAY, bounds, expanded=expanded)
        assert waterfall.changes(asked).question is kind
        assert behind.page(asked, None, None, 50, 0).question is questions.WATERFALL_OPPORTUNITIES
    for more, kind in (
        ({"conditions": (STAGE,)}, questions.WATERFALL_FILTERED),
        ({"conditions": (OWNER,)}, questions.WATERFALL_OWNER),
        ({"group_by": "owner", "conditions": (OWNER,)}, questions.WATERFALL_GROUPED),
        ({"conditions": (OWNER,), "bounds": Bounds(until=date(2026, 3, 30))}, questions.WATERFALL_FILTERED),
        ({"group_by": "owner", "conditions": (STAGE,)}, questions.WATERFALL_FILTERED),
        ({"group_by": "owner", "expanded": True}, questions.WATERFALL_EXPANDED),
    ):
        assert waterfall.changes(WaterfallQuery(ORG, NOW, NOW, DAY, **more)).question is kind


def test_what_is_counted_by_scanning_is_dear() -> None:
    def lane(kind: str, *conditions: Condition, field: str = "name", descending: bool = True) -> str:
        query = DirectoryListQuery(ORG, kind, conditions, (Order(field, descending),))
        return directory.page(query, 50).question.lane

    found = {kind: (lane(kind), lane(kind, SEARCH)) for kind in ("account", "contact", "user")}
    assert found == {"account": ("cheap", "dear"), "contact": ("cheap", "dear"), "user": ("cheap", "cheap")}
    assert lane("account", Condition("external_id", "in", ("A1",))) == "cheap"
    assert lane("account", Condition("external_id", "isnull", (True,))) == "dear"
    assert (lane("contact", field="email"), lane("contact", field="email", descending=False)) == ("cheap", "cheap")
    plain = delivery_log.page(ORG, ORG, (), 50, 0)
    assert (plain.rows.question.lane, plain.total.question.lane) == ("cheap", "dear")
    assert delivery_log.page(ORG, ORG, (Condition("status", "in", ("dead",)),), 50, 0).rows.question.lane == "dear"


def test_each_name_is_of_one_kind_and_what_says_nothing_is_dear() -> None:
    tables = questions.DIRECTORY_LISTS, questions.LIST_FILTERS
    kinds = [each for each in vars(questions).values() if isinstance(each, Question)]
    kinds += [each for table in tables for each in table.values()]
    assert len({kind.name for kind in kinds}) == len(set(kinds))
    assert SqlStatement("SELECT 1", {}).question.lane == "dear"
