"""A list of opportunities as a value: what is asked, the condition that its deals meet, and what kind of question it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from projections import questions, terms
from projections.conditions import Condition, Order, SqlStatement
from projections.opportunities import AS_OF, LIVE, finding
from projections.opportunities.conditions import to_sql
from projections.questions import Question
from projections.terms import Group

# Filters for which there are counters.
_COUNTED = frozenset({"stage", "status", "owner", "owner_email", "close_date"})


DEFAULT_ORDER = (Order("created_at", True),)


@dataclass(frozen=True, slots=True)
class OpportunityListQuery:
    """A list: an org's deals that meet every condition, as of an instant if given."""

    org_id: UUID
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = DEFAULT_ORDER
    as_of: datetime | None = None

    @property
    def keys(self) -> tuple[Order, ...]:
        """The ordering with the id as its last, unique key."""
        return (*self.order, Order("id", self.order[-1].descending if self.order else True))


def where(query: OpportunityListQuery) -> SqlStatement:
    """The condition on ``opportunities o`` for a list, with its parameters."""
    params, first = of_org(query)
    return SqlStatement(" AND ".join([first, *(to_sql(each, f"p{n}", params) for n, each in enumerate(query.conditions))]), params)


def among(query: OpportunityListQuery, only: str = "true") -> SqlStatement:
    """As ``where``, for a look at all deals: what terms find are ids, so that the sheet has what is needed to compare. No others
    are wanted than deals that meet the condition ``only`` (SQL), which is cheaper and so comes first."""
    groups, unsettled = groups_of(query)
    if not groups:
        return where(query)
    params, first = of_org(query)
    params["groups"] = terms.groups(groups)
    found = is_among("SELECT t.id FROM opportunities_with_terms(%(groups)s::jsonb, NULL, true) t (id)")
    found = f"CASE WHEN {only} THEN {found} ELSE false END"
    rest = (to_sql(query.conditions[n], f"p{n}", params) for n in unsettled)
    return SqlStatement(" AND ".join([first, found, *rest]), params)


def is_among(ids: str) -> str:
    """SQL for whether a deal is one of many. Inside of an expression these are hashed and not joined with, because nobody can tell
    the planner how many they are."""
    return f"coalesce(o.id IN ({ids}), false)"


def meets(query: OpportunityListQuery) -> SqlStatement:
    """As ``where``, for few deals, of which the caller knows that they are live, and were at the instant."""
    params, _ = of_org(query)
    texts = [to_sql(each, f"p{n}", params, of_few=True) for n, each in enumerate(query.conditions)]
    return SqlStatement(" AND ".join(["o.org_id = %(org_id)s", *texts]), params)


def of_org(query: OpportunityListQuery) -> tuple[dict[str, Any], str]:
    """Parameters and the condition that every list has."""
    if query.as_of is None:
        return {"org_id": query.org_id}, f"o.org_id = %(org_id)s AND {LIVE}"
    return {"org_id": query.org_id, "as_of": query.as_of}, f"o.org_id = %(org_id)s AND {AS_OF}"


def groups_of(query: OpportunityListQuery) -> tuple[list[Group], list[int]]:
    """The groups of terms that all deals on a list have, none if there is no way to know, and which conditions, by number, these
    do not settle."""
    found = [finding.by_terms(one, query.org_id) if query.as_of is None else None for one in query.conditions]
    if any(one is None or not one.exactly for one in found):
        # What has any value is then too many deals to look at each of them for the rest.
        found = [None if condition.operator == "isnull" else one for one, condition in zip(found, query.conditions, strict=True)]
    groups = [group for one in found if one is not None for group in one.groups]
    return groups, [n for n, one in enumerate(found) if one is None or not one.exactly]


def has_counters(query: OpportunityListQuery) -> bool:
    """Whether there are counters for the list's filters."""
    return query.as_of is None and all(
        condition.field in _COUNTED
        and condition.custom_type is None
        and condition.operator != "isnull"
        and not (condition.field == "close_date" and condition.operator == "in" and len(condition.values) > 1)
        for condition in query.conditions
    )


def question(query: OpportunityListQuery, offset: int = 0, kept: int | None = None) -> Question:
    """What kind of question a list is: the first dear thing that it asks for. ``kept`` is its count if that is kept."""
    if kept is not None and offset < questions.DEEP:
        if query.as_of is not None and not query.conditions and query.order == DEFAULT_ORDER:
            return questions.LIST_AS_OF_KEPT
        groups, unsettled = groups_of(query)
        if groups and not unsettled and kept <= questions.FEW and asks_for_order(query) is None:
            return questions.LIST_FEW
    asked = [_filtered(condition) for condition in query.conditions]
    if query.as_of is not None:
        asked.append(questions.LIST_AS_OF)
    if (ordered := asks_for_order(query)) is not None:
        asked.append(ordered)
    if offset >= questions.DEEP:
        asked.append(questions.LIST_DEEP)
    found = questions.LIST
    for each in asked:
        if each.lane == "dear":
            return each
        if each is not questions.LIST:
            found = each
    return found


def asks_for_order(query: OpportunityListQuery) -> Question | None:
    by_index = not query.order or (len(query.order) == 1 and query.order[0] in questions.LIST_ORDERINGS)
    return None if by_index else questions.LIST_ORDERED


def _filtered(condition: Condition) -> Question:
    if condition.custom_type is not None:
        return questions.LIST_CUSTOM_FIELD
    if condition.field == "search" or condition.operator not in ("icontains", "isnull"):
        return questions.LIST_FILTERS.get(condition.field, questions.LIST_SCANNED)
    return questions.LIST_CONTAINS if condition.operator == "icontains" else questions.LIST_SCANNED
