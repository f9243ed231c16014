"""The history of a deal, the org's feed and a deal's activities, as the contract has them."""

from __future__ import annotations

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused

ENTRY = [
    "position", "type", "id", "version", "occurred_at", "recorded_at", "actor", "token_id", "request_id", "comment",
    "import_id", "origin", "changes",
]  # fmt: skip


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


# History


def test_history_tells_who_when_and_what(org: Org) -> None:
    user = org.user("manager", email="maya@yours.com")
    record = org.opportunity(amount="10", tags=["a"], custom_fields={"x": 1})
    by = org.client(user)
    changed = by.patch(path_of(record), {"amount": "12.5", "tags": [], "custom_fields": {"x": 2}}, X_Request_Id="req-7")
    page = org.listed("", f"{path_of(record)}history/")
    assert list(page) == ["count", "next", "previous", "results"]
    assert page["count"] == 2
    created, updated = page["results"]
    assert list(created) == ENTRY
    assert (created["type"], created["version"], created["id"]) == ("opportunity.created", 1, record["id"])
    assert created["changes"]["name"] == [None, record["name"]]
    assert created["changes"]["amount"] == [None, "10.00"]
    assert created["changes"]["custom_fields.x"] == [None, 1]
    assert created["occurred_at"] == created["recorded_at"] == record["created_at"]
    assert created["actor"] == {"id": org.admin_id, "email": "admin@yours.com"}
    assert (updated["type"], updated["version"]) == ("opportunity.updated", 2)
    assert updated["changes"] == {"amount": ["10.00", "12.50"], "tags": [["a"], []], "custom_fields.x": [1, 2]}
    assert updated["actor"] == {"id": user["id"], "email": "maya@yours.com"}
    assert updated["request_id"] == "req-7" == changed.headers["x-request-id"]
    assert updated["token_id"] == org.listed(f"user={user['id']}", "/api/tokens/")["results"][0]["id"]
    assert updated["comment"] is None
    assert updated["position"] > created["position"]


def test_history_has_pages(org: Org) -> None:
    record = org.opportunity()
    for number in range(4):
        made(org.admin.patch(path_of(record), {"amount": number}), 200)
    page = org.listed("page_size=2&page=2", f"{path_of(record)}history/")
    assert [entry["version"] for entry in page["results"]] == [3, 4]
    assert page["next"].endswith(f"{path_of(record)}history/?page_size=2&page=3")
    refused(org.admin.get(f"{path_of(record)}history/?page=9"), 404)
    assert "page" in errors(org.admin.get(f"{path_of(record)}history/?pagee=9"))["pagee"]


def test_there_is_no_history_of_another_kind_or_org(org: Org, other_org: Org) -> None:
    refused(org.admin.get(f"{OPPORTUNITIES}{org.account()['id']}/history/"), 404)
    refused(org.admin.get(f"{OPPORTUNITIES}{other_org.opportunity()['id']}/history/"), 404)


def test_what_is_not_said_of_a_token(org: Org) -> None:
    made(org.admin.post("/api/tokens/", {"name": "secret"}))
    event = org.listed("limit=500", "/api/events/")["results"][-1]
    assert event["type"] == "token.issued"
    assert "hash" not in event["changes"]


# The feed


def test_the_feed_has_every_change_of_the_org_in_order(org: Org, other_org: Org) -> None:
    record = org.opportunity()
    other_org.opportunity()
    org.moved(record, stage="proposal")
    page = org.listed("", "/api/events/")
    assert list(page) == ["results", "next", "cursor"]
    assert page["next"] is None
    assert list(page["results"][0]) == ENTRY
    types = [event["type"] for event in page["results"]]
    assert types == [
        "organization.created", "pipeline.replaced", "user.created", "token.issued", "account.created",
        "opportunity.created", "opportunity.stage_changed",
    ]  # fmt: skip
    positions = [event["position"] for event in page["results"]]
    assert positions == sorted(set(positions))
    assert page["results"][-1] == org.history(record)[-1]


def test_the_feed_goes_on_from_a_position(org: Org) -> None:
    record = org.opportunity()
    for number in range(3):
        made(org.admin.patch(path_of(record), {"amount": number}), 200)
    every = org.listed("limit=500", "/api/events/")["results"]
    found, url = [], "/api/events/?limit=2"
    while url:
        page = made(org.admin.get(url), 200)
        assert len(page["results"]) <= 2
        found += page["results"]
        assert page["next"] is None or page["next"].startswith(f"http://127.0.0.1:{org.server.port}/api/events/?")
        url = page["next"] and "/api/events/" + page["next"].partition("/api/events/")[2]
    assert found == every
    last = every[-1]["position"]
    assert org.listed(f"after={last}", "/api/events/") == {"results": [], "next": None, "cursor": str(last)}
    assert org.listed(f"after={every[-2]['position']}", "/api/events/")["results"] == every[-1:]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=501", "after=99999999999999999999", "since=4"])
def test_bad_parameters_of_the_feed(org: Org, query: str) -> None:
    assert set(errors(org.admin.get(f"/api/events/?{query}"))) == {query.partition("=")[0]}


# Activities


def test_activities_are_logged_and_listed_newest_first(org: Org) -> None:
    record = org.opportunity()
    path = f"{path_of(record)}activities/"
    old = made(org.admin.post(path, {"type": "email", "subject": "Old", "occurred_at": "2026-01-01T10:00:00+02:00"}))
    assert list(old) == [
        "id", "opportunity_id", "type", "subject", "body", "occurred_at", "actor_id", "created_at", "updated_at", "version",
    ]  # fmt: skip
    assert (old["occurred_at"], old["opportunity_id"]) == ("2026-01-01T08:00:00Z", record["id"])
    assert (old["actor_id"], old["body"]) == (org.admin_id, None)
    new = made(org.admin.post(path, {"type": "note", "subject": "New", "body": "a\nb"}))
    assert new["occurred_at"] == new["created_at"]
    page = org.listed("", path)
    assert page == {"count": 2, "next": None, "previous": None, "results": [new, old]}
    assert org.listed("type=email", path)["results"] == [old]
    assert org.listed("ordering=occurred_at&fields=subject", path)["results"] == [{"subject": "Old"}, {"subject": "New"}]
    assert org.read(record)["activities"] == [new, old]


def test_a_record_shows_50_activities_with_a_link_to_all(org: Org) -> None:
    record = org.opportunity()
    path = f"{path_of(record)}activities/"
    for number in range(51):
        made(org.admin.post(path, {"type": "note", "subject": str(number)}))
    detail = org.read(record)
    assert [activity["subject"] for activity in detail["activities"]] == [str(number) for number in range(50, 0, -1)]
    assert detail["activities_url"].endswith(path)
    assert org.listed("", path)["count"] == 51


def test_activities_that_make_no_sense(org: Org) -> None:
    path = f"{path_of(org.opportunity())}activities/"
    assert set(errors(org.admin.post(path, {}))) == {"type", "subject"}
    for body, field in [
        ({"type": "fax"}, "type"),
        ({"subject": " "}, "subject"),
        ({"subject": "x" * 256}, "subject"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-01-01T10:00:00"}, "occurred_at"),
        ({"body": "x" * 10_001}, "body"),
        ({"subjct": "x"}, "subjct"),
    ]:
        assert set(errors(org.admin.post(path, {"type": "note", "subject": "x", **body}))) == {field}
    refused(org.admin.post(f"{OPPORTUNITIES}{org.admin_id}/activities/", {"type": "note", "subject": "x"}), 404)
