"""The waterfall of some deals, and by owner: whatever happens, it leads from the one forecast of these deals to the other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import account, user
from domain.opportunity.events import Changes, Lost, Updated, Won
from projections.conditions import Condition
from projections.forecast import CAUSES, TRANSFERS, owners
from projections.forecast.entries import MEMBERSHIPS
from projections.forecast.limits import MAX_BYTES, MAX_GROUPS
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, Happening, Row, created, exact, quoted
from tests.projections.forecast.test_properties import histories, moments, relaxed, spans

ANN, BEN = UUID(int=1), UUID(int=2)
JAN, FEB, MAR, APR = (datetime(2026, month, 1, 12, tzinfo=UTC) for month in (1, 2, 3, 4))
JUNE, JULY = date(2026, 6, 30), date(2026, 7, 31)

OF_OWNERS = (Condition("owner", "in", (ANN,)), Condition("owner", "in", (ANN, BEN)))
OF_OTHERS = (
    Condition("stage", "in", ("proposal",)),
    Condition("status", "in", ("open",)),
    Condition("status", "in", ("won", "lost")),
    Condition("amount", "gte", (Decimal(1000),)),
    Condition("amount", "isnull", (True,)),
    Condition("probability", "lt", (50,)),
    Condition("tags", "any", ("b",)),
    Condition("account", "in", (UUID(int=1), UUID(int=2))),
    Condition("updated_at", "gte", (datetime(2026, 3, 1, tzinfo=UTC),)),
)
conditions = st.tuples(st.lists(st.sampled_from(OF_OWNERS), max_size=1), st.lists(st.sampled_from(OF_OTHERS), max_size=2)).map(
    lambda both: (*both[0], *both[1])
)


def told(steps: Row) -> Row:
    return {name: value for name, value in steps.items() if value}


def balances(steps: Row) -> None:
    """Start and steps are the end, and no step has the sign of its opposite."""
    assert sum(steps.values()) == 2 * steps["end"]
    assert steps.get("transferred_in", 0) >= 0 >= steps.get("transferred_out", 0)
    assert steps.get("included", 0) >= 0 >= steps.get("excluded", 0)


@relaxed
@given(
    history=histories(),
    span=spans,
    pair=st.tuples(moments, moments).map(sorted),
    currency=st.sampled_from([None, None, "EUR", "JPY"]),
    conditions=conditions,
    grouped=st.booleans(),
)
def test_it_goes_from_the_one_forecast_of_these_deals_to_the_other(
    cursors: Cursors,
    history: list[Happening],
    span: tuple[str | None, str | None],
    pair: list[datetime],
    currency: str | None,
    conditions: tuple[Condition, ...],
    grouped: bool,
) -> None:
    books = Books(cursors).record(history)
    asked: dict[str, Any] = {
        "since": span[0], "until": span[1], "currency": currency, "conditions": conditions, "group_by": "owner" if grouped else None
    }  # fmt: skip
    answer = books.changes(pair[0], pair[1], **asked)
    for edge, at in zip(("start", "end"), pair, strict=True):
        forecast = books.forecast(as_of=at, from_deals=True, **asked)
        shown, expected = parts(answer), parts(forecast)
        for key in shown.keys() | expected.keys():
            for column in ("unweighted", "weighted"):
                there = shown[key][column][edge] if key in shown else 0
                assert there == (expected[key][column] if key in expected else 0), (key, column, edge)
    told_of: set[str] = {"start", *CAUSES, "rate_change", "end"}
    told_of.update(TRANSFERS if set(conditions) & set(OF_OWNERS) else ())
    told_of.update(MEMBERSHIPS if set(conditions) & set(OF_OTHERS) else ())
    for part in (answer["total"], answer["unscheduled"], *answer["months"], *answer["unconverted"]):
        for column in ("unweighted", "weighted"):
            assert set(part[column]) == told_of
            balances(part[column])
            for group in part.get("groups", ()):
                balances(group[column])
                assert set(group[column]) == set(part[column]) | set(TRANSFERS)
            if "groups" in part:
                add_up(part, column)


def parts(answer: Row) -> dict[tuple[str, str | None], Row]:
    """The columns of every month and of each of its groups."""
    found: dict[tuple[str, str | None], Row] = {}
    for name, part in [*((each["month"], each) for each in answer["months"]), ("unscheduled", answer["unscheduled"])]:
        found[name, None] = part
        found |= {(name, group["owner"]): group for group in part.get("groups", ())}
    return found


def add_up(part: Row, column: str) -> None:
    """Groups are the month, but for what each is rounded; what goes from one to another cancels."""
    groups = [*part["groups"], *([part["others"]] if "others" in part else [])]
    for step in groups[0][column] if groups else ():
        total = sum((group[column][step] for group in groups), Decimal(0))
        assert abs(total - part[column].get(step, total)) <= len(groups) + 1
    moved = sum((group[column][step] for group in groups for step in TRANSFERS), Decimal(0))
    assert abs(moved - sum(part[column].get(step, 0) for step in TRANSFERS)) <= len(groups) + 1


@relaxed
@given(history=histories(), span=spans, pair=st.tuples(moments, moments).map(sorted), currency=st.sampled_from([None, "EUR"]))
def test_with_a_filter_that_every_deal_meets_it_is_the_waterfall_of_all(
    cursors: Cursors, history: list[Happening], span: tuple[str | None, str | None], pair: list[datetime], currency: str | None
) -> None:
    books = Books(cursors).record(history)
    asked: dict[str, Any] = {"since": span[0], "until": span[1], "currency": currency}
    plain = books.changes(pair[0], pair[1], **asked)
    filtered = books.changes(pair[0], pair[1], conditions=(Condition("probability", "gte", (0,)),), **asked)
    for part in (filtered["total"], filtered["unscheduled"], *filtered["months"], *filtered["unconverted"]):
        for column in ("unweighted", "weighted"):
            assert [part[column].pop(cause) for cause in MEMBERSHIPS] == [0, 0]
    assert filtered == plain
    grouped = books.changes(pair[0], pair[1], group_by="owner", **asked)
    for part in (grouped["total"], grouped["unscheduled"], *grouped["months"]):
        del part["groups"]
    assert grouped == plain


@relaxed
@given(
    history=histories(),
    span=spans,
    pair=st.tuples(moments, moments).map(sorted),
    currency=st.sampled_from([None, "EUR"]),
    of_owners=st.lists(st.sampled_from(OF_OWNERS), max_size=1).map(tuple),
    grouped=st.booleans(),
    today=st.sampled_from([date(2025, 12, 3), date(2026, 6, 15), date(2028, 1, 1)]),
)
def test_sums_of_owners_answer_as_their_deals_do(
    cursors: Cursors,
    history: list[Happening],
    span: tuple[str | None, str | None],
    pair: list[datetime],
    currency: str | None,
    of_owners: tuple[Condition, ...],
    grouped: bool,
    today: date,
) -> None:
    books = Books(cursors).record(history)
    asked: dict[str, Any] = {
        "since": span[0] and span[0][:8] + "01", "currency": currency, "group_by": "owner" if grouped else None, "today": today
    }  # fmt: skip
    from_sums = books.changes(pair[0], pair[1], conditions=of_owners, **asked)
    from_deals = books.changes(pair[0], pair[1], conditions=(*of_owners, Condition("probability", "gte", (0,))), **asked)
    for part in (from_deals["total"], from_deals["unscheduled"], *from_deals["months"], *from_deals["unconverted"]):
        for columns in (part, *part.get("groups", ())):
            for column in ("unweighted", "weighted"):
                assert [columns[column].pop(cause) for cause in MEMBERSHIPS] == [0, 0]
    assert from_sums == from_deals
    if grouped:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owners, "MOST_CELLS", -1)
            assert books.changes(pair[0], pair[1], conditions=of_owners, **asked) == from_sums


@pytest.fixture
def books(cursors: Cursors) -> Books:
    return Books(cursors)


def deal(number: int, amount: int, at: datetime = JAN, **fields: Any) -> Happening:
    return Happening(number, created(**{"amount": Decimal(amount), "close_date": JUNE, "owner_id": ANN, **fields}), at)


def updated(number: int, at: datetime, **fields: Any) -> Happening:
    return Happening(number, Updated(changes=Changes(**fields)), at)


def test_another_owner_takes_a_deal_over_and_then_changes_it(books: Books) -> None:
    books.record([deal(1, 100), deal(2, 10, owner_id=BEN), updated(1, MAR, owner_id=BEN, amount=Decimal(130), close_date=JULY)])
    answer = books.changes(FEB, APR, group_by="owner")
    june, july = answer["months"]
    assert told(june["unweighted"]) == {"start": 110, "pushed_out": -100, "end": 10}
    groups = [(group["owner"], told(group["unweighted"])) for group in june["groups"]]
    assert groups == [
        (str(ANN), {"start": 100, "transferred_out": -100}),
        (str(BEN), {"start": 10, "pushed_out": -100, "transferred_in": 100, "end": 10}),
    ]
    assert [(group["owner"], told(group["unweighted"])) for group in july["groups"]] == [
        (str(BEN), {"increased": 30, "pushed_out": 100, "end": 130})
    ]
    assert [(group["owner"], told(group["unweighted"])) for group in answer["total"]["groups"]] == [
        (str(BEN), {"start": 10, "increased": 30, "transferred_in": 100, "end": 140}),
        (str(ANN), {"start": 100, "transferred_out": -100}),
    ]


def test_of_one_owner_a_deal_is_transferred_and_of_both_it_is_so_twice(books: Books) -> None:
    books.record([deal(1, 100), updated(1, MAR, owner_id=BEN)])

    def june(*owners: UUID) -> Row:
        month: Row
        (month,) = books.changes(FEB, APR, conditions=(Condition("owner", "in", owners),))["months"]
        return month

    assert told(june(ANN)["unweighted"]) == {"start": 100, "transferred_out": -100}
    assert told(june(BEN)["unweighted"]) == {"transferred_in": 100, "end": 100}
    assert told(june(ANN, BEN)["unweighted"]) == {"start": 100, "transferred_in": 100, "transferred_out": -100, "end": 100}
    assert june(BEN)["opportunities"] == {"transferred_in": {"count": 1, "ids": [str(books.id(1))]}}


def test_a_deal_leaves_by_what_happens_to_it_or_is_excluded(books: Books) -> None:
    won = Changes(status="won", stage="won", probability=100, actual_amount=Decimal(90), actual_close_date=JUNE)
    books.record(
        [
            *(deal(number, 100) for number in range(1, 5)),
            deal(5, 7, stage="discovery"),
            updated(1, MAR, stage="discovery", amount=Decimal(200)),
            Happening(2, Won(changes=won), MAR),
            Happening(3, Lost(changes=Changes(status="lost", stage="lost", probability=0)), MAR),
            updated(5, MAR, stage="proposal"),
        ]
    )
    (june,) = books.changes(FEB, APR, conditions=(Condition("stage", "in", ("proposal",)),))["months"]
    assert told(june["unweighted"]) == {"start": 400, "won": -100, "lost": -100, "included": 7, "excluded": -100, "end": 107}
    (june,) = books.changes(FEB, APR, conditions=(Condition("stage", "in", ("won",)),))["months"]
    assert told(june["unweighted"]) == {"won": 90, "end": 90}


def test_another_name_of_an_account_includes_and_excludes_its_deals(books: Books) -> None:
    ours = UUID(int=7)
    mine = uuid5(books.org_id, str(ours))
    books.record(
        [
            Happening(ours, account.Created(name="Acme"), JAN),
            deal(1, 100, account_id=mine),
            updated(1, FEB, amount=Decimal(110)),
            Happening(ours, account.Updated(name="Globex"), MAR),
            updated(1, APR, amount=Decimal(150)),
        ]
    )

    def june(start: datetime, end: datetime, word: str) -> Row:
        months = books.changes(start, end, conditions=(Condition("search", "icontains", (word,)),))["months"]
        return told(months[0]["unweighted"]) if months else {}

    assert june(JAN, FEB, "acme") == {"start": 100, "increased": 10, "end": 110}
    assert june(FEB, APR, "acme") == {"start": 110, "excluded": -110}
    assert june(FEB, APR, "globex") == {"included": 110, "increased": 40, "end": 150}


def test_so_many_owners_are_shown_and_the_others_are_added_up(books: Books) -> None:
    books.record([deal(number, 2**number, owner_id=UUID(int=number)) for number in range(1, 5)])
    books.record([updated(1, MAR, owner_id=UUID(int=2)), updated(4, MAR, amount=Decimal(1))])
    answer = books.changes(FEB, APR, group_by="owner", groups_limit=2)
    for part in (answer["total"], *answer["months"]):
        assert [group["owner"] for group in part["groups"]] == [str(UUID(int=4)), str(UUID(int=3))]
        others = part["others"]
        assert (others["groups"], told(others["unweighted"])) == (
            2,
            {"start": 6, "transferred_in": 2, "transferred_out": -2, "end": 6},
        )
    answer = books.changes(FEB, APR, group_by="owner", groups_limit=4)
    assert all("others" not in part for part in (answer["total"], *answer["months"]))


def test_an_answer_by_owner_is_never_larger_than_it_may_be(books: Books) -> None:
    """However many owners there are, of every month the same number is shown."""
    owners = [UUID(int=number + 1) for number in range(MAX_GROUPS)]
    books.record([Happening(owner, user.Created(email=f"owner{number}@acme.example", name="An owner", role="rep"), JAN)
                  for number, owner in enumerate(owners)], 500)  # fmt: skip
    books.record(
        [
            Happening(
                number * 100 + month,
                created(amount=Decimal(10**9 + number), close_date=date(2026, month, 1), owner_id=books.id(owner)),
                FEB,
            )
            for number, owner in enumerate(owners)
            for month in range(1, 13)
        ],
        500,
    )
    books.record([updated(number * 100 + 1, MAR, amount=Decimal(10**9)) for number in range(MAX_GROUPS)], 500)
    for expanded in (False, True):
        body = books.changes_bytes(JAN, APR, group_by="owner", groups_limit=MAX_GROUPS, expanded=expanded)
        assert MAX_BYTES * 0.5 < len(body) <= MAX_BYTES
        answer = exact(body)
        for part in (answer["total"], *answer["months"]):
            assert len(part["groups"]) + part["others"]["groups"] == MAX_GROUPS
            assert sum(group["unweighted"]["end"] for group in (*part["groups"], part["others"])) == part["unweighted"]["end"]
        assert len({len(part["groups"]) for part in (answer["total"], *answer["months"])}) == 1


def test_a_month_of_deals_without_an_amount_is_shown_by_owner_too_where_the_start_has_no_rate(books: Books) -> None:
    created_at, start, end = (datetime(2025, 12, day, tzinfo=UTC) for day in (2, 14, 31))
    books.record([
        Happening(1, created(amount=None, currency="EUR", close_date=date(2026, 1, 1)), created_at),
        quoted("EUR", "2025-12-20", "1.1", created_at),
    ])  # fmt: skip
    plain, grouped = books.changes(start, end), books.changes(start, end, group_by="owner")
    assert [month["month"] for month in plain["months"]] == [month["month"] for month in grouped["months"]] == ["2026-01"]
