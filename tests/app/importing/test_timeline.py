"""A deal's past is written once, in order, and ends as its row has it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from app.importing.date_form import Moment
from app.importing.deals import Deal
from app.importing.timeline import Entry, OutOfOrder
from tests.app.importing.reading import NOW, course, past, read

HEADER = "Name,Account,Stage,Amount,Close date,Created,Closed\n"
MAPPING = {"name": "Name", "account": "Account", "stage": "Stage", "amount": "Amount", "close_date": "Close date",
           "created_at": "Created", "closed_at": "Closed"}  # fmt: skip


def deal(row: str) -> Deal:
    (found,) = read((HEADER + row + "\n").encode(), mapping=MAPPING).deals
    return found


def entry(at: str, **changes: object) -> Entry:
    instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return Entry(Moment(instant, instant.date(), exact=True), changes)


def test_a_closed_deal_was_open_until_it_was_closed() -> None:
    one = deal("A,Acme,won,100,2026-05-01,2026-01-01,2026-04-15")
    assert [(step.at and step.at.date(), state.stage) for step, state in zip(past(one).steps, course(one), strict=True)] == [
        (date(2026, 1, 1), "discovery"), (date(2026, 4, 15), "won"),
    ]  # fmt: skip
    last = course(one)[-1]
    assert (last.actual_amount, last.actual_close_date, last.close_date) == (Decimal(100), date(2026, 4, 15), date(2026, 5, 1))


def test_without_any_time_a_deal_begins_at_the_import() -> None:
    assert [step.at for step in past(deal("A,Acme,proposal,100,,,")).steps] == [None]


def test_entries_in_any_order_are_written_in_theirs() -> None:
    one = deal("A,Acme,negotiation,300,,2026-01-01,")
    entries = [
        entry("2026-03-01", stage="negotiation", amount=Decimal(300)),
        entry("2026-01-01", stage="qualification", amount=Decimal(100)),
        entry("2026-02-01", stage="proposal", amount=Decimal(200)),
    ]
    assert [(state.stage, state.amount) for state in course(one, entries)] == [
        ("qualification", Decimal(100)), ("proposal", Decimal(200)), ("negotiation", Decimal(300)),
    ]  # fmt: skip
    assert past(one, entries).disagreement is None


def test_where_the_row_disagrees_with_the_end_of_its_history_the_row_is_right() -> None:
    one = deal("A,Acme,proposal,500,,2026-01-01,")
    entries = [entry("2026-01-02", stage="qualification"), entry("2026-02-01", amount=Decimal(300))]
    found = past(one, entries)
    assert found.disagreement is not None
    assert found.steps[-1].at is None
    assert (course(one, entries)[-1].stage, course(one, entries)[-1].amount) == ("proposal", Decimal(500))


def test_a_reopened_deal_was_won_in_between() -> None:
    one = deal("A,Acme,proposal,500,,2026-01-01,")
    entries = [
        entry("2026-01-01", stage="discovery"), entry("2026-02-01", stage="won"), entry("2026-03-01", stage="proposal"),
    ]  # fmt: skip
    states = course(one, entries)
    assert [state.status for state in states] == ["open", "won", "open"]
    assert states[1].actual_close_date == date(2026, 2, 1)


@pytest.mark.parametrize(
    ("row", "entries"),
    [
        ("A,Acme,won,1,,2026-03-01,2026-02-01", []),
        ("A,Acme,proposal,1,,2026-03-01,", [entry("2026-02-01", stage="proposal")]),
    ],
)
def test_times_out_of_order_are_refused(row: str, entries: list[Entry]) -> None:
    with pytest.raises(OutOfOrder):
        past(deal(row), entries)


def test_a_day_fits_every_time_of_it() -> None:
    one = deal("A,Acme,won,1,,2026-03-01 17:30,2026-03-01")
    assert [step.at for step in past(one).steps] == [datetime(2026, 3, 1, 17, 30, tzinfo=UTC)] * 2


def test_the_columns_of_stages_entered_are_a_history() -> None:
    data = "Name,Account,Stage,In Q,In P,Created\nA,Acme,proposal,2026-02-01,2026-03-01,2026-01-01\n"
    mapping = {"name": "Name", "account": "Account", "stage": "Stage", "created_at": "Created",
               "entered:qualification": "In Q", "entered:proposal": "In P"}  # fmt: skip
    (one,) = read(data.encode(), mapping=mapping).deals
    assert [state.stage for state in course(one)] == ["qualification", "proposal"]
    assert past(one).steps[-1].at == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("when", ["2030-01-01", "1969-12-31"])
def test_a_time_that_is_no_past_fails_the_row_by_line_and_column(when: str) -> None:
    found = read((HEADER + f"A,Acme,proposal,1,,{when},\nB,Acme,proposal,1,,2026-01-01,\n").encode(), mapping=MAPPING)
    assert [(fault.line, fault.column, fault.value) for fault in found.faults] == [(2, "Created", when)]
    assert [one.values["name"] for one in found.deals] == ["B"]
    assert NOW.year == 2026
