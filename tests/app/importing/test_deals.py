"""A row is a deal, or what is wrong with it by line and column."""

from __future__ import annotations

import pytest

from app.importing.options import Made
from tests.app.importing.reading import read

MAPPING = {"name": "Name", "account": "Account", "stage": "Stage", "amount": "Amount", "currency": "Currency", "owner": "Owner",
           "close_date": "Close"}  # fmt: skip


def row(**cells: str) -> bytes:
    values = {"Name": "A", "Account": "Acme", "Stage": "proposal", "Amount": "1", "Currency": "USD", "Owner": "Li Wei", "Close": ""}
    return ("|".join(values) + "\n" + "|".join((values | cells).values()) + "\n").encode()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Name", "", "needs a name"),
        ("Account", "", "needs an account"),
        ("Stage", "Dreaming", "No stage has this name"),
        ("Amount", "lots", "no number"),
        ("Amount", "(1,200)", "negative"),
        ("Currency", "Dollars", "ISO 4217"),
        ("Owner", "Nobody", "No active user"),
        ("Close", "soon", "no date"),
    ],
)
def test_a_bad_cell_is_told_by_line_and_column(column: str, value: str, message: str) -> None:
    (fault,) = read(row(**{column: value}), mapping=MAPPING).faults
    assert (fault.line, fault.column, fault.value) == (2, column, value)
    assert message in fault.message


def test_everything_wrong_with_a_row_is_told_at_once() -> None:
    faults = read(row(Stage="x", Amount="x", Owner="x"), mapping=MAPPING).faults
    assert {fault.column for fault in faults} == {"Stage", "Amount", "Owner"}


def test_a_value_beyond_the_header_fails_the_row() -> None:
    (fault,) = read(row().rstrip(b"\n") + b"|more\n", mapping=MAPPING).faults
    assert (fault.line, fault.column, fault.value) == (2, "Column 8", "more")


def test_defaults_and_meanings_stand_in() -> None:
    found = read(
        row(Account="", Stage="Dreaming", Owner="LW"),
        mapping=MAPPING,
        defaults={"account": "No account"},
        values={"stage": {"Dreaming": "discovery"}, "owner": {"LW": "user3@example.com"}},
    )
    (deal,) = found.deals
    assert deal.account is not None
    assert (deal.account.name, deal.stage.key) == ("No account", "discovery")


def test_columns_are_put_together_by_a_template() -> None:
    (deal,) = read(row(), mapping=MAPPING | {"name": Made(template="{Account} — {Name}")}).deals
    assert deal.values["name"] == "Acme — A"


def test_lines_in_a_cell_of_one_line_are_put_together() -> None:
    (deal,) = read(b'Name,Account,Next step\n"two\nlines",Acme,  spaced  \n').deals
    assert (deal.values["name"], deal.values["next_step"]) == ("two lines", "spaced")


def test_a_currency_without_cents_keeps_its_whole_numbers() -> None:
    (deal,) = read(row(Amount="1200.00", Currency="jpy"), mapping=MAPPING).deals
    assert (str(deal.values["amount"]), deal.currency) == ("1200", "JPY")
