"""The activities of a deal over HTTP."""

from __future__ import annotations

from typing import Any

from tests.support.scenarios import OPPORTUNITIES, Org, errors, made, refused


def path(deal: dict[str, Any]) -> str:
    return f"{OPPORTUNITIES}{deal['id']}/activities/"


def test_activities_are_logged_and_listed_newest_first(org: Org) -> None:
    deal = org.opportunity()
    body = {"type": "call", "subject": "Pricing", "body": "Three years.", "occurred_at": "2026-03-04T15:00:00+01:00"}
    call = made(org.admin.post(path(deal), body))
    assert {name: call[name] for name in body} == {**body, "occurred_at": "2026-03-04T14:00:00Z"}
    assert (call["opportunity_id"], call["actor_id"]) == (deal["id"], org.admin_id)
    note = made(org.admin.post(path(deal), {"type": "note", "subject": "Later"}))
    assert [found["id"] for found in org.listed("", path(deal))["results"]] == [note["id"], call["id"]]
    assert [found["id"] for found in org.read(deal)["activities"]] == [note["id"], call["id"]]


def test_they_are_found_by_type_time_and_text(org: Org) -> None:
    deal, other = org.opportunity(), org.opportunity()
    for type_, day in (("call", "2026-03-01"), ("email", "2026-03-02"), ("email", "2026-03-03")):
        made(org.admin.post(path(deal), {"type": type_, "subject": f"{type_} {day}", "occurred_at": f"{day}T09:00:00Z"}))
    assert org.listed("type=email", path(deal))["count"] == 2
    assert org.listed("type=email,call&occurred_at__gte=2026-03-02", path(deal))["count"] == 2
    assert org.listed("occurred_at=2026-03-03", path(deal))["count"] == 1
    assert org.listed("search=2026-03-01", path(deal))["count"] == 1
    assert org.listed("ordering=occurred_at&limit=1", path(deal))["results"][0]["subject"] == "call 2026-03-01"
    assert org.listed("", path(other))["count"] == 0
    assert list(errors(org.admin.get(f"{path(deal)}?type=fax"))) == ["type"]


def test_all_that_is_wrong_is_told_at_once(org: Org) -> None:
    deal = org.opportunity()
    found = errors(org.admin.post(path(deal), {"type": "fax", "occurred_at": "2026-03-04T15:00:00", "sbject": "x"}))
    assert set(found) == {"type", "occurred_at", "sbject", "subject"}
    assert found["sbject"].endswith("Did you mean subject?")


def test_of_a_deal_that_is_not_there_there_are_none(org: Org, other_org: Org) -> None:
    deal = org.opportunity()
    body = {"type": "note", "subject": "x"}
    refused(other_org.admin.get(path(deal)), 404)
    refused(other_org.admin.post(path(deal), body), 404)
    assert org.admin.request("DELETE", f"{OPPORTUNITIES}{deal['id']}/").status == 204
    refused(org.admin.get(path(deal)), 404)
    refused(org.admin.post(path(deal), body), 404)


def test_a_rep_logs_on_own_deals_only(org: Org) -> None:
    user = org.user("rep")
    rep = org.client(user)
    refused(rep.post(path(org.opportunity()), {"type": "note", "subject": "x"}), 403)
    made(rep.post(path(org.opportunity(owner_id=user["id"])), {"type": "note", "subject": "x"}))
