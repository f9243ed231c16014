"""Exchange rates over HTTP."""

from __future__ import annotations

from tests.support.scenarios import Org, errors, made, refused
from tests.support.server import Reply

PATH = "/api/exchange-rates/"


def put(org: Org, currency: str, day: str, rate: object) -> Reply:
    return org.admin.request("PUT", PATH, {"currency": currency, "valid_from": day, "rate": rate})


def test_rates_are_put_and_listed_the_latest_first(org: Org) -> None:
    made(put(org, "eur", "2026-01-01", "1.1"), 200)
    made(put(org, "EUR", "2026-02-01", 1.25), 200)
    made(put(org, "JPY", "2026-01-01", "0.0065"), 200)
    found = [(rate["currency"], rate["valid_from"], rate["rate"]) for rate in org.listed("", PATH)["results"]]
    assert found == [("EUR", "2026-02-01", "1.25"), ("EUR", "2026-01-01", "1.1"), ("JPY", "2026-01-01", "0.0065")]
    page = org.listed("currency=eur&page_size=1&fields=rate", PATH)
    assert (page["count"], page["results"]) == (2, [{"rate": "1.25"}])


def test_a_later_rate_for_a_day_takes_the_place_of_the_first(org: Org) -> None:
    made(put(org, "EUR", "2026-01-01", "1.1"), 200)
    assert made(put(org, "EUR", "2026-01-01", "1.2"), 200)["rate"] == "1.2"
    assert [rate["rate"] for rate in org.listed("", PATH)["results"]] == ["1.2"]


def test_the_answer_is_the_rate_that_was_put_also_where_it_was_there(org: Org) -> None:
    first = made(put(org, "EUR", "2026-01-01", "1.1"), 200)
    made(put(org, "EUR", "2026-02-01", "1.2"), 200)
    assert made(put(org, "EUR", "2026-01-01", 1.1), 200) == first


def test_bad_rates_are_refused_by_field(org: Org) -> None:
    assert set(errors(put(org, "XXQ", "2026-02-30", "NaN"))) == {"valid_from", "rate"}
    assert set(errors(put(org, "XXQ", "2026-02-28", "0"))) == {"currency", "rate"}
    assert "own" in errors(put(org, "USD", "2026-01-01", "1"))["currency"]
    assert set(errors(put(org, "EUR", "2026-01-01", "1e400"))) == {"rate"}
    assert set(errors(org.admin.request("PUT", PATH, {}))) == {"currency", "valid_from", "rate"}


def test_only_admins_put_rates_and_each_org_has_its_own(org: Org, other_org: Org) -> None:
    manager = org.client(org.user("manager"))
    refused(manager.request("PUT", PATH, {"currency": "EUR", "valid_from": "2026-01-01", "rate": 1}), 403)
    made(put(org, "EUR", "2026-01-01", "1.1"), 200)
    assert other_org.listed("", PATH)["count"] == 0
