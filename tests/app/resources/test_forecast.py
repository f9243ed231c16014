"""The forecast over HTTP, as the contract has it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, now

FORECAST = f"{OPPORTUNITIES}forecast/"
QUARTER = "close_date__gte=2026-04-01&close_date__lte=2026-06-30"


def forecast(org: Org, query: str = QUARTER) -> Json:
    return made(org.admin.get(f"{FORECAST}?{query}"), 200)


def months(org: Org, query: str = QUARTER) -> dict[str, tuple[Any, Any]]:
    return {each["month"]: (each["unweighted"], each["weighted"]) for each in forecast(org, query)["months"]}


def rate(org: Org, currency: str, valid_from: str, value: str) -> None:
    made(org.admin.put("/api/exchange-rates/", {"currency": currency, "valid_from": valid_from, "rate": value}), 200)


@pytest.fixture
def deals(org: Org) -> Org:
    """April: 1,000 at 60 %. June: 500 at 20 %, and 900 won in May of a deal scheduled for June. One lost, one gone."""
    account = org.account()["id"]
    org.opportunity("april", account_id=account, amount=1000, close_date="2026-04-30", stage="proposal", tags=["x"])
    org.opportunity("june", account_id=account, amount="500.50", close_date="2026-06-30", tags=["x", "y"])
    org.won(name="may", account_id=account, amount=800, close_date="2026-06-01")
    org.lost(name="lost", account_id=account, amount=7, close_date="2026-05-01")
    gone = org.opportunity("gone", account_id=account, amount=7, close_date="2026-05-01")
    org.admin.delete(f"{OPPORTUNITIES}{gone['id']}/")
    return org


def test_the_shape_is_the_seeds_and_then_more(deals: Org) -> None:
    found = forecast(deals)
    assert list(found)[:2] == ["currency", "months"]
    assert found["currency"] == "USD"
    assert [list(month)[:3] for month in found["months"]] == [["month", "unweighted", "weighted"]] * 3
    assert set(found["months"][0]) >= {"open_unweighted", "open_weighted", "won", "count"}
    assert {"unscheduled", "unconverted"} <= set(found)


def test_open_deals_count_by_probability_and_won_ones_in_full(deals: Org) -> None:
    assert months(deals) == {"2026-04": (1000, 600), "2026-05": (900, 900), "2026-06": (500.5, 100.1)}
    may = forecast(deals)["months"][1]
    assert (may["open_unweighted"], may["open_weighted"], may["won"], may["count"]) == (0, 0, 900, 1)
    june = forecast(deals)["months"][2]
    assert (june["open_unweighted"], june["open_weighted"], june["won"], june["count"]) == (500.5, 100.1, 0, 1)


def test_bounds_are_inclusive_and_count_only_their_days(deals: Org) -> None:
    assert months(deals, "close_date__gte=2026-04-30&close_date__lte=2026-04-30") == {"2026-04": (1000, 600)}
    assert months(deals, "close_date__gte=2026-05-06&close_date__lte=2026-06-29") == {"2026-05": (0, 0), "2026-06": (0, 0)}


def test_with_both_bounds_every_month_is_there(org: Org) -> None:
    zeroes = {"2025-12": (0, 0), "2026-01": (0, 0), "2026-02": (0, 0)}
    assert months(org, "close_date__gte=2025-12-31&close_date__lte=2026-02-01") == zeroes
    assert forecast(org, "")["months"] == []


def test_without_both_bounds_months_with_deals_are_there(deals: Org) -> None:
    assert list(months(deals, "")) == ["2026-04", "2026-05", "2026-06"]
    assert list(months(deals, "close_date__gte=2026-05-06")) == ["2026-06"]
    assert list(months(deals, "close_date__lte=2026-05-06")) == ["2026-04", "2026-05"]


def test_deals_without_a_date_are_told_beside(deals: Org) -> None:
    deals.opportunity(amount=100)
    found = forecast(deals)
    assert (found["unscheduled"]["unweighted"], found["unscheduled"]["weighted"], found["unscheduled"]["count"]) == (100, 20, 1)
    assert months(deals) == {"2026-04": (1000, 600), "2026-05": (900, 900), "2026-06": (500.5, 100.1)}


def test_sums_are_rounded_once_at_the_end(org: Org) -> None:
    account = org.account()["id"]
    for _ in range(3):
        org.opportunity(account_id=account, amount="0.01", close_date="2026-04-01", probability=50)
    assert months(org)["2026-04"] == (0.03, 0.02)


def test_what_has_no_rate_is_neither_added_nor_dropped(deals: Org) -> None:
    deals.opportunity(amount=1000, currency="EUR", close_date="2026-04-01", probability=50)
    found = forecast(deals)
    assert found["months"][0]["unweighted"] == 1000
    (left,) = found["unconverted"]
    assert (left["currency"], left["unweighted"], left["weighted"]) == ("EUR", 1000, 500)
    rate(deals, "EUR", "2026-01-01", "1.1")
    found = forecast(deals)
    assert (found["months"][0]["unweighted"], found["months"][0]["weighted"]) == (2100, 1150)
    assert found["unconverted"] == []


def test_open_deals_have_the_latest_rate_and_won_ones_that_of_their_day(org: Org) -> None:
    account = org.account()["id"]
    rate(org, "EUR", "2026-01-01", "1.5")
    rate(org, "EUR", "2026-06-01", "2")
    org.opportunity(account_id=account, amount=100, currency="EUR", close_date="2026-04-01", probability=100)
    org.won(account_id=account, currency="EUR")
    assert months(org) == {"2026-04": (200, 200), "2026-05": (1350, 1350), "2026-06": (0, 0)}


def test_another_currency_to_tell_it_in(deals: Org) -> None:
    rate(deals, "EUR", "2026-01-01", "1.25")
    found = forecast(deals, f"{QUARTER}&currency=eur")
    assert found["currency"] == "EUR"
    assert [(month["unweighted"], month["weighted"]) for month in found["months"]] == [(800, 480), (720, 720), (400.4, 80.08)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("stage=proposal", {"2026-04": 1000}), ("status=won", {"2026-05": 900}), ("tags=y", {"2026-06": 500.5}),
        ("amount__gte=600", {"2026-04": 1000, "2026-05": 900}), ("search=june", {"2026-06": 500.5}),
        ("owner=me&tags=x", {"2026-04": 1000, "2026-06": 500.5}), ("status=lost", {}), ("probability__lt=60", {"2026-06": 500.5}),
    ],
)  # fmt: skip
def test_the_filters_of_the_list(deals: Org, query: str, expected: dict[str, float]) -> None:
    assert {each["month"]: each["unweighted"] for each in forecast(deals, query)["months"]} == expected


@pytest.mark.parametrize("group_by", ["owner", "stage", "account", "tag"])
def test_groups(deals: Org, group_by: str) -> None:
    plain, grouped = forecast(deals), forecast(deals, f"{QUARTER}&group_by={group_by}")
    for month in grouped["months"]:
        groups = month.pop("groups")
        assert all(next(iter(group)) == group_by for group in groups)
        if group_by == "tag":
            continue
        assert sum(group["unweighted"] for group in groups) == month["unweighted"]
        assert sum(group["count"] for group in groups) == month["count"]
    for part in ("months", "unconverted"):
        assert plain[part] == grouped[part]
    april = forecast(deals, f"{QUARTER}&group_by={group_by}")["months"][0]["groups"][0][group_by]
    assert april == {
        "owner": {"id": deals.admin_id, "email": "admin@yours.com"},
        "stage": "proposal",
        "account": deals.listed("search=april")["results"][0]["account"],
        "tag": "x",
    }[group_by]  # fmt: skip


def test_so_many_groups_are_shown_and_the_others_are_added_up(org: Org) -> None:
    for amount in (1, 2, 4):
        org.opportunity(amount=amount, close_date="2026-04-15", account_id=org.account(f"Worth {amount}")["id"], tags=[str(amount)])
    for group_by in ("account", "tag"):
        april, *_ = forecast(org, f"{QUARTER}&group_by={group_by}&groups_limit=1")["months"]
        assert [group["unweighted"] for group in april["groups"]] == [4]
        others = april["others"]
        assert (others["groups"], others["count"], others["unweighted"], others["weighted"]) == (2, 2, 3, 0.6)
        april, *_ = forecast(org, f"{QUARTER}&group_by={group_by}&groups_limit=3")["months"]
        assert [group["unweighted"] for group in april["groups"]] == [4, 2, 1]
        assert "others" not in april


def test_the_forecast_follows_every_change_at_once(org: Org) -> None:
    record = org.opportunity(amount=100, close_date="2026-04-15")
    path = f"{OPPORTUNITIES}{record['id']}/"

    def april() -> tuple[Any, Any]:
        return months(org)["2026-04"]

    assert april() == (100, 20)
    org.admin.patch(path, {"amount": 200})
    assert april() == (200, 40)
    org.admin.patch(path, {"close_date": "2026-05-15"})
    assert (april(), months(org)["2026-05"]) == ((0, 0), (200, 40))
    org.moved(record, stage="won", actual_amount=150, actual_close_date="2026-04-01")
    assert (april(), months(org)["2026-05"]) == ((150, 150), (0, 0))
    org.moved(record, stage="negotiation")
    assert (april(), months(org)["2026-05"]) == ((0, 0), (200, 160))
    org.admin.delete(path)
    assert months(org)["2026-05"] == (0, 0)
    org.admin.post(f"{path}restore/")
    assert months(org)["2026-05"] == (200, 160)
    org.moved(record, stage="lost", lost_reason="price")
    assert months(org)["2026-05"] == (0, 0)


@pytest.mark.parametrize("more", ["", "&group_by=stage", "&tags=x"])
def test_as_of_is_the_forecast_as_it_stood(org: Org, more: str) -> None:
    record = org.opportunity(amount=100, close_date="2026-04-15", tags=["x"])
    then, told = now(), forecast(org, QUARTER + more)
    org.admin.patch(f"{OPPORTUNITIES}{record['id']}/", {"amount": 999, "close_date": "2026-05-01"})
    assert forecast(org, QUARTER + more) != told
    past = forecast(org, f"{QUARTER}{more}&as_of={then}")
    assert past.pop("as_of")
    assert past == {name: value for name, value in told.items() if name != "as_of"}
    assert months(org, f"{QUARTER}{more}&as_of=2020-01-01T00:00:00Z")["2026-04"] == (0, 0)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("close_date__gte=soon", "close_date__gte"), ("close_date__lte=2026-02-30", "close_date__lte"),
        ("currency=XXQ", "currency"), ("group_by=month", "group_by"), ("as_of=soon", "as_of"),
        ("close_date__gte=2026-02-01&close_date__lte=2026-01-01", "close_date__lte"),
        ("close_date__gte=0001-01-01&close_date__lte=9999-12-31", "close_date__lte"),
        ("closed_date__gte=2026-01-01", "closed_date__gte"), ("page=1", "page"), ("status=opened", "status"),
        ("group_by=owner&group_by=tag", "group_by"), ("group_by=owner&groups_limit=0", "groups_limit"),
        ("group_by=owner&groups_limit=501", "groups_limit"),
    ],
)  # fmt: skip
def test_what_the_forecast_does_not_take_is_named(org: Org, query: str, name: str) -> None:
    assert set(errors(org.admin.get(f"{FORECAST}?{query}"))) == {name}


def test_dates_at_the_ends_of_the_calendar(org: Org) -> None:
    org.opportunity(amount=1, close_date="2026-04-01")
    assert list(months(org, "close_date__gte=0001-01-01")) == ["2026-04"]
    assert list(months(org, "close_date__lte=9999-12-31")) == ["2026-04"]
    assert list(months(org, "close_date__gte=9999-12-31&close_date__lte=9999-12-31")) == ["9999-12"]


def test_another_org_has_a_forecast_of_its_own(deals: Org, other_org: Org) -> None:
    found = forecast(other_org)
    assert found["currency"] == "EUR"
    assert {month["count"] for month in found["months"]} == {0}


def test_readers_may_see_the_forecast(deals: Org) -> None:
    client = deals.client(deals.user("read_only"))
    assert made(client.get(f"{FORECAST}?{QUARTER}"), 200) == forecast(deals)
