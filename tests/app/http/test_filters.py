"""A query string becomes typed conditions, or a complaint about every parameter that is unknown or bad."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.filters import RANGE, Filter, Filters, conditions, parse
from app.http.param_types import BOOL, CURRENCY, DATE, ID, INSTANT, INTEGER, NUMBER, PHRASE, TEXT, USER, choice
from app.http.problems import Refused
from app.reading.read_pool import Identity
from domain import custom_field
from domain.errors import Invalid
from projections.conditions import Condition

ME = UUID("0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c")
OTHER = UUID("0197a3c2-7d1e-7b5a-8c3f-000000000001")
IDENTITY = Identity(UUID(int=1), ME, "rep", "me@yours.com", UUID(int=3), 0, "")
TABLE = Filters(
    (
        Filter("stage", TEXT),
        Filter("status", choice("open", "won", "lost")),
        Filter("owner", USER),
        Filter("account", ID),
        Filter("currency", CURRENCY),
        Filter("tags", TEXT, ("all",), bare="any"),
        Filter("close_date", DATE, (*RANGE, "isnull")),
        Filter("amount", NUMBER, RANGE),
        Filter("probability", INTEGER, RANGE),
        Filter("active", BOOL),
        Filter("created_at", INSTANT, RANGE),
        Filter("search", PHRASE, bare="icontains"),
    ),
    custom=True,
)
TYPES: dict[str, custom_field.Type | None] = {
    "seats": "number",
    "signed": "checkbox",
    "start": "date",
    "regions": "multiselect",
    "secret": None,
    "odd__gte": "text",
}


def asked(query: str) -> list[Condition]:
    found = conditions(parse(query.encode()), TABLE, identity=IDENTITY, custom_types=TYPES, others=("page", "ordering"))
    return list(found)


def only(query: str) -> tuple[str, str, tuple[Any, ...], str | None]:
    (condition,) = asked(query)
    return tuple(condition)  # type: ignore[return-value]


def complaint(query: str) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        asked(query)
    return caught.value.errors


def test_different_parameters_are_different_conditions() -> None:
    assert asked("stage=proposal&close_date__lte=2026-12-31") == [
        Condition("stage", "in", ("proposal",)),
        Condition("close_date", "lte", (date(2026, 12, 31),)),
    ]


@pytest.mark.parametrize("query", ["stage=proposal,won", "stage=proposal&stage=won", "stage=proposal,won&stage=won"])
def test_repeated_and_comma_values_are_alternatives(query: str) -> None:
    assert only(query) == ("stage", "in", ("proposal", "won"), None)


def test_values_are_of_the_fields_type() -> None:
    assert only("amount__gte=24000.5") == ("amount", "gte", (Decimal("24000.5"),), None)
    assert only("probability=60") == ("probability", "in", (60,), None)
    assert only("currency=usd") == ("currency", "in", ("USD",), None)
    assert only("close_date__isnull=true") == ("close_date", "isnull", (True,), None)
    assert only("active=0") == ("active", "in", (False,), None)
    assert only(f"account={OTHER}") == ("account", "in", (OTHER,), None)


def test_tags_are_any_of_these_or_all_of_these() -> None:
    assert only("tags=a,b") == ("tags", "any", ("a", "b"), None)
    assert only("tags__all=a,b") == ("tags", "all", ("a", "b"), None)


def test_an_owner_is_an_id_an_address_or_me() -> None:
    assert only("owner=me") == ("owner", "in", (ME,), None)
    assert only(f"owner={OTHER},me") == ("owner", "in", (OTHER, ME), None)
    assert only("owner=Jane@Yours.com") == ("owner_email", "in", ("jane@yours.com",), None)
    assert only("owner=me,jane@yours.com") == ("owner_email", "in", (str(ME), "jane@yours.com"), None)
    assert "owner" in complaint("owner=jane")


def test_a_search_is_one_phrase_and_an_empty_one_is_none() -> None:
    assert only("search=Acme,%20Inc.") == ("search", "icontains", ("Acme, Inc.",), None)
    assert asked("search=") == []


def test_a_date_stands_for_its_whole_day() -> None:
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    assert asked("created_at=2026-03-01") == [
        Condition("created_at", "gte", (start,)),
        Condition("created_at", "lt", (end,)),
    ]
    assert only("created_at__gte=2026-03-01") == ("created_at", "gte", (start,), None)
    assert only("created_at__lte=2026-03-01") == ("created_at", "lt", (end,), None)
    assert only("created_at__gt=2026-03-01") == ("created_at", "gte", (end,), None)
    assert only("created_at__lt=2026-03-01") == ("created_at", "lt", (start,), None)
    assert asked("created_at__lte=9999-12-31")


@pytest.mark.parametrize(
    "text", ["2026-03-01T10:00:00Z", "2026-03-01T12:00:00%2B02:00", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00z"]
)
def test_an_instant_has_its_zone(text: str) -> None:
    assert only(f"created_at__gte={text}") == ("created_at", "gte", (datetime(2026, 3, 1, 10, tzinfo=UTC),), None)


def test_custom_fields_compare_by_their_type() -> None:
    assert only("cf_seats=72") == ("cf_seats", "in", (Decimal(72),), "number")
    assert only("cf_seats__gte=72.0") == ("cf_seats", "gte", (Decimal("72.0"),), "number")
    assert only("cf_signed=true") == ("cf_signed", "in", (True,), "checkbox")
    assert only("cf_start__lte=2026-01-31") == ("cf_start", "lte", (date(2026, 1, 31),), "date")
    assert only("cf_regions__in=emea,apac") == ("cf_regions", "in", ("emea", "apac"), "multiselect")
    assert only("cf_seats__isnull=false") == ("cf_seats", "isnull", (False,), "number")


def test_custom_fields_that_nobody_defined_compare_as_text() -> None:
    assert only("cf_competitor=incumbent_vendor") == ("cf_competitor", "in", ("incumbent_vendor",), "text")
    assert only("cf_competitor__icontains=vendor") == ("cf_competitor", "icontains", ("vendor",), "text")


def test_a_defined_key_may_look_like_an_operator() -> None:
    assert only("cf_odd__gte=x") == ("cf_odd__gte", "in", ("x",), "text")


@pytest.mark.parametrize("query", ["cf_secret=1", "cf_=1", "cf_seats__icontains=7", "cf_signed__gte=true"])
def test_custom_fields_have_only_the_filters_of_their_type(query: str) -> None:
    assert list(complaint(query)) == [query.split("=", maxsplit=1)[0]]


def test_all_that_is_wrong_is_told_at_once_by_parameter() -> None:
    assert complaint("stge=x&close_date__gte=soon&amount=NaN&status=closed&colour=red") == {
        "stge": ["Unknown parameter. Did you mean stage?"],
        "close_date__gte": ["Must be a date such as 2026-06-30."],
        "amount": ["Must be a number, such as 24000 or 0.5."],
        "status": ["Must be one of: open, won, lost."],
        "colour": ["Unknown parameter."],
    }


@pytest.mark.parametrize(
    "query",
    [
        "stage=",
        "stage=a,,b",
        "close_date__gte=2026-01-01,2026-02-01",
        "close_date__gte=2026-01-01&close_date__gte=2026-02-01",
        "close_date=2026-02-30",
        "close_date=20260201",
        "close_date=2026-W05-1",
        "close_date__isnull=maybe",
        "amount__gte=1e5",
        "amount__gte=Infinity",
        "amount__gte=" + "9" * 41,
        "amount__gte=%D9%A3",
        "probability=60.5",
        "probability=99999999999",
        "currency=XXZ",
        "account=1",
        "stage=a%00b",
        "search=a%00b",
        "search=" + "x" * 256,
        "created_at__gte=2026-03-01T10:00:00",
        "created_at__gte=0001-01-01T00:00:00%2B02:00",
        "created_at=2026-03-01,2026-03-02T00:00:00Z",
        "stage=" + "a," * 100 + "a",
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_its_parameter(query: str) -> None:
    assert list(complaint(query)) == [query.split("=", maxsplit=1)[0]]


@pytest.mark.parametrize("query", [b"stage=%ff", b"%ff=1", b"stage=\xff", b"&".join([b"a=1"] * 201), b"stage=%ED%A0%80"])
def test_a_query_string_that_is_no_text_is_refused(query: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse(query)
    assert caught.value.status == 400


names = st.sampled_from([*TABLE.by_name, "cf_seats", "cf_start__gte", "cf_x__isnull", "stge"])


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.text(max_size=40) | st.from_regex(r"[0-9T:Z+\-.,eE]{0,30}")), max_size=5))
def test_any_parameters_are_conditions_or_complaints(given: list[tuple[str, str]]) -> None:
    try:
        found = conditions(given, TABLE, identity=IDENTITY, custom_types=TYPES)
    except Invalid as error:
        assert set(error.errors) <= {name for name, _ in given}  # noqa: PT017
    else:
        assert all(condition.values for condition in found)


def test_of_many_unknown_parameters_all_are_told_and_guesses_are_made_about_some() -> None:
    with pytest.raises(Invalid) as caught:
        conditions([(f"stag{n}", "x") for n in range(200)], TABLE, identity=IDENTITY)
    assert len(caught.value.errors) == 200
    assert sum("Did you mean" in texts[0] for texts in caught.value.errors.values()) == 10
