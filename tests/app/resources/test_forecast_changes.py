"""The waterfall over HTTP, and the list of the opportunities behind its steps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from projections.clock import FAR
from tests.app.resources.test_forecast import QUARTER, forecast
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, now, refused

CHANGES = f"{OPPORTUNITIES}forecast/changes/"
BEHIND = f"{CHANGES}opportunities/"


def listed(org: Org, query: str) -> Json:
    return org.listed(query, BEHIND)


def test_start_plus_the_steps_is_the_end(org: Org) -> None:
    account = org.account()["id"]
    one = org.opportunity("one", account_id=account, amount=100, close_date="2026-04-15")
    two = org.opportunity("two", account_id=account, amount=50, close_date="2026-04-20")
    start = now()
    three = org.opportunity("three", account_id=account, amount=10, close_date="2026-04-01")
    org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"amount": 130})
    org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"close_date": "2026-05-01"})
    org.moved(two, stage="lost", lost_reason="price")
    org.admin.delete(f"{OPPORTUNITIES}{three['id']}/")
    end = now()
    asked = f"from={start}&to={end}&{QUARTER}"
    found = made(org.admin.get(f"{CHANGES}?{asked}&expand=opportunities"), 200)
    assert list(found)[:5] == ["currency", "from", "to", "total", "months"]
    april, may = found["months"][:2]
    assert list(april)[:3] == ["month", "unweighted", "weighted"]
    assert list(april["unweighted"]) == [
        "start", "created", "reopened", "increased", "decreased", "pulled_in", "pushed_out", "won", "lost", "deleted", "restored",
        "rate_change", "end",
    ]  # fmt: skip
    line = april["unweighted"]
    shown = {name: line[name] for name in ("start", "created", "increased", "pushed_out", "lost", "deleted", "end")}
    assert shown == {"start": 150, "created": 10, "increased": 30, "pushed_out": -130, "lost": -50, "deleted": -10, "end": 0}
    assert (may["unweighted"]["start"], may["unweighted"]["pushed_out"], may["unweighted"]["end"]) == (0, 130, 130)
    for part in (found["total"], april, may):
        for column in ("unweighted", "weighted"):
            values = dict(part[column])
            last = values.pop("end")
            assert round(sum(values.values()), 2) == last
    for month, then in zip(found["months"], forecast(org, f"{QUARTER}&as_of={start}")["months"], strict=True):
        assert (month["unweighted"]["start"], month["weighted"]["start"]) == (then["unweighted"], then["weighted"])
    for month, then in zip(found["months"], forecast(org, f"{QUARTER}&as_of={end}")["months"], strict=True):
        assert (month["unweighted"]["end"], month["weighted"]["end"]) == (then["unweighted"], then["weighted"])
    assert april["opportunities"]["lost"] == {"count": 1, "ids": [two["id"]]}
    plain = made(org.admin.get(f"{CHANGES}?{asked}"), 200)
    assert all("opportunities" not in part for part in (*plain["months"], plain["unscheduled"]))
    assert plain["months"][0]["unweighted"] == april["unweighted"]
    lost = listed(org, f"{asked}&month=2026-04&cause=lost")["results"]
    assert lost == [
        {"id": two["id"], "name": "two", "month": "2026-04", "cause": "lost", "currency": "USD", "unweighted": -50, "weighted": -10}
    ]
    assert [(each["name"], each["unweighted"]) for each in listed(org, f"{asked}&month=2026-04")["results"]] == [
        ("three", 10), ("three", -10), ("one", 30), ("two", -50), ("one", -130),
    ]  # fmt: skip
    assert [each["cause"] for each in listed(org, f"{asked}&month=2026-05")["results"]] == ["pushed_out"]


def test_the_opportunities_behind_come_page_by_page(org: Org) -> None:
    start = now()
    for number in range(3):
        org.opportunity(f"Deal {number}", amount=number, close_date="2026-04-15" if number else None)
    asked = f"from={start}&cause=created"
    assert [each["name"] for each in listed(org, asked)["results"]] == ["Deal 1", "Deal 2", "Deal 0"]
    first = listed(org, f"{asked}&page_size=2&fields=name,month")
    assert first["count"] == 3
    assert first["results"] == [{"name": "Deal 1", "month": "2026-04"}, {"name": "Deal 2", "month": "2026-04"}]
    assert org.admin.get(first["next"].removeprefix("http://test")).json()["results"] == [{"name": "Deal 0", "month": None}]
    (unscheduled,) = listed(org, f"{asked}&month=unscheduled")["results"]
    assert (unscheduled["name"], unscheduled["unweighted"]) == ("Deal 0", 0)
    refused(org.admin.get(f"{BEHIND}?{asked}&page=9"), 404)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "from"), ("from=soon", "from"), ("from=2026-01-01T00:00:00Z&to=soon", "to"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"), ("from=2026-01-01T00:00:00Z&currency=XXQ", "currency"),
        ("from=2026-01-01T00:00:00Z&fro=1", "fro"), ("from=2026-01-01", "from"), ("from=2026-01-01T00:00:00Z&expand=x", "expand"),
        ("from=2026-01-01T00:00:00Z&group_by=stage", "group_by"), ("from=2026-01-01T00:00:00Z&status=opened", "status"),
        ("from=2026-01-01T00:00:00Z&group_by=owner&groups_limit=0", "groups_limit"),
        ("from=2026-01-01T00:00:00Z&groups_limit=501", "groups_limit"), ("from=2026-01-01T00:00:00Z&as_of=now", "as_of"),
        ("from=2026-01-01T00:00:00Z&close_date=2026-01-01", "close_date"), ("from=2026-01-01T00:00:00Z&page=1", "page"),
    ],
)  # fmt: skip
def test_what_the_waterfall_does_not_take_is_named(org: Org, query: str, name: str) -> None:
    assert set(errors(org.admin.get(f"{CHANGES}?{query}"))) == {name}


def test_the_waterfall_goes_up_to_now_unless_told(org: Org) -> None:
    started = datetime.now(UTC)
    found = made(org.admin.get(f"{CHANGES}?from=2020-01-01T00:00:00Z"), 200)
    assert datetime.fromisoformat(found["to"]) >= started - FAR  # the database's clock is known as well as its answers are fast


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "from"), ("from=2026-01-01T00:00:00Z&month=2026-13", "month"), ("from=2026-01-01T00:00:00Z&month=0000-01", "month"),
        ("from=2026-01-01T00:00:00Z&month=2026-4", "month"), ("from=2026-01-01T00:00:00Z&cause=sold", "cause"),
        ("from=2026-01-01T00:00:00Z&page=0", "page"), ("from=2026-01-01T00:00:00Z&fields=amount", "fields"),
        ("from=2026-01-01T00:00:00Z&expand=opportunities", "expand"), ("from=2026-01-01T00:00:00Z&cursor=", "cursor"),
        ("from=2026-01-01T00:00:00Z&group_by=owner", "group_by"), ("from=2026-01-01T00:00:00Z&amount__gte=much", "amount__gte"),
    ],
)  # fmt: skip
def test_what_the_list_of_opportunities_behind_does_not_take_is_named(org: Org, query: str, name: str) -> None:
    assert set(errors(org.admin.get(f"{BEHIND}?{query}"))) == {name}


def test_months_at_the_end_of_the_calendar_have_opportunities_too(org: Org) -> None:
    org.opportunity(amount=1, close_date="2199-12-31")
    assert listed(org, "from=2020-01-01T00:00:00Z&month=2199-12")["count"] == 1
    assert listed(org, "from=2020-01-01T00:00:00Z&month=9999-12")["count"] == 0
    assert listed(org, "from=2020-01-01T00:00:00Z&month=0001-01")["count"] == 0


def test_the_filters_of_the_forecast(org: Org) -> None:
    org.custom_field("seats", "number")
    account = org.account("Globex")["id"]
    one = org.opportunity("one", account_id=account, amount=100, close_date="2026-04-15", tags=["x"], custom_fields={"seats": 5})
    org.opportunity("two", account_id=account, amount=50, close_date="2026-04-20", tags=["y"])
    start = now()
    org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"amount": 130, "tags": ["x", "y"]})
    end = now()

    def april(query: str) -> Json:
        found = made(org.admin.get(f"{CHANGES}?from={start}&to={end}&{QUARTER}&{query}"), 200)
        for edge, at in (("start", start), ("end", end)):
            then = forecast(org, f"{QUARTER}&{query}&as_of={at}")
            assert [month["unweighted"][edge] for month in found["months"]] == [month["unweighted"] for month in then["months"]]
        return {name: value for name, value in found["months"][0]["unweighted"].items() if value}

    for query in ("tags=x", "search=one", "amount__gte=60", "owner=me&tags=x", "status=open&tags=x", "cf_seats__gte=5"):
        assert april(query) == {"start": 100, "increased": 30, "end": 130}, query
    assert april("tags=y") == {"start": 50, "included": 130, "end": 180}
    assert april("amount__lte=100") == {"start": 150, "excluded": -100, "end": 50}
    assert april("owner=admin%40yours.com&search=globex") == {"start": 150, "increased": 30, "end": 180}
    assert april("status=won") == {}
    (included,) = listed(org, f"from={start}&to={end}&tags=y")["results"]
    assert (included["name"], included["cause"], included["unweighted"]) == ("one", "included", 130)
    assert listed(org, f"from={start}&to={end}&tags=x&cause=included")["count"] == 0


def test_whose_deals_changed(org: Org) -> None:
    rep = org.user("rep")["id"]
    one = org.opportunity("one", amount=100, close_date="2026-04-15")
    org.opportunity("two", amount=300, close_date="2026-04-20")
    start = now()
    org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"owner_id": rep})
    org.admin.patch(f"{OPPORTUNITIES}{one['id']}/", {"close_date": "2026-05-15"})
    asked = f"from={start}&{QUARTER}"
    plain = made(org.admin.get(f"{CHANGES}?{asked}"), 200)
    found = made(org.admin.get(f"{CHANGES}?{asked}&group_by=owner"), 200)
    groups = found["months"][0].pop("groups")
    assert [list(group) for group in groups] == [["owner", "unweighted", "weighted"]] * 2
    assert groups[0]["owner"] == {"id": org.admin_id, "email": "admin@yours.com"}
    assert {name: value for name, value in groups[0]["unweighted"].items() if value} == {
        "start": 400, "transferred_out": -100, "end": 300
    }  # fmt: skip
    assert {name: value for name, value in groups[1]["unweighted"].items() if value} == {"pushed_out": -100, "transferred_in": 100}
    assert [group["owner"]["id"] for group in found["total"].pop("groups")] == [org.admin_id, rep]
    for month in found["months"][1:]:
        month.pop("groups")
    assert found["unscheduled"].pop("groups") == []
    assert found["months"] == plain["months"]
    assert found["total"] == plain["total"]
    (out,) = listed(org, f"{asked}&owner=me&cause=transferred_out")["results"]
    assert (out["name"], out["unweighted"], out["month"]) == ("one", -100, "2026-04")
    assert [each["cause"] for each in listed(org, f"{asked}&owner={rep}&month=2026-04")["results"]] == [
        "pushed_out",
        "transferred_in",
    ]
    top = made(org.admin.get(f"{CHANGES}?{asked}&group_by=owner&groups_limit=1"), 200)["months"][0]
    assert [group["owner"]["id"] for group in top["groups"]] == [org.admin_id]
    assert (top["others"]["groups"], top["others"]["unweighted"]["transferred_in"]) == (1, 100)


def test_readers_may_see_the_waterfall_of_anybody(org: Org) -> None:
    org.opportunity(amount=1, close_date="2026-04-15")
    for role in ("read_only", "rep", "manager"):
        client = org.client(org.user(role))
        for query in ("group_by=owner", f"owner={org.admin_id}", "tags=x", "group_by=owner&expand=opportunities"):
            path = f"{CHANGES}?from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&{query}"
            assert made(client.get(path), 200) == made(org.admin.get(path), 200)
        assert client.get(f"{BEHIND}?from=2020-01-01T00:00:00Z&owner={org.admin_id}").json()["count"] == 1
