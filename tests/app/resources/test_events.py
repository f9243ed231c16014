"""The event feed as JSON pages."""

from __future__ import annotations

from typing import Any

from domain import opportunity
from tests.support.commands import Company, outcome
from tests.support.scenarios import OPPORTUNITIES, Org, errors, made
from tests.support.server import Client, Server

PATH = "/api/events/"


def followed(org: Org, limit: int) -> list[dict[str, Any]]:
    """The whole feed, page by page."""
    found: list[dict[str, Any]] = []
    path: str | None = f"{PATH}?limit={limit}"
    while path:
        page = made(org.admin.get(path), 200)
        assert list(page) == ["results", "next", "cursor"]
        assert len(page["results"]) <= limit
        found += page["results"]
        path = page["next"] and page["next"].partition(str(org.server.port))[2]
    return found


def test_everything_that_happened_is_there_in_order_whatever_the_pages(org: Org) -> None:
    deal = org.opportunity(amount="100")
    org.moved(deal, stage="won", actual_amount="90", actual_close_date="2026-05-05")
    org.user()
    events = followed(org, 500)
    assert events == followed(org, 2) == followed(org, 3)
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions))
    assert [event["type"] for event in events] == [
        "organization.created",
        "pipeline.replaced",
        "user.created",
        "token.issued",
        "account.created",
        "opportunity.created",
        "opportunity.won",
        "user.created",
    ]


def test_an_event_tells_who_did_what(org: Org) -> None:
    user = org.user("manager")
    deal = org.opportunity(amount="100")
    manager = org.client(user)
    sent = {"stage": "negotiation", "comment": "They are keen."}
    made(manager.post(f"{OPPORTUNITIES}{deal['id']}/transition/", sent, X_Request_Id="job-9"), 200)
    event = followed(org, 100)[-1]
    assert (event["id"], event["version"], event["type"]) == (deal["id"], 2, "opportunity.stage_changed")
    assert event["actor"] == {"id": user["id"], "email": user["email"]}
    assert (event["request_id"], event["comment"]) == ("job-9", "They are keen.")
    assert event["changes"] == {"stage": ["discovery", "negotiation"], "probability": [20, 80]}
    assert event["occurred_at"] <= event["recorded_at"]


def test_a_page_of_large_events_ends_earlier_and_nothing_is_left_out(server: Server, company: Company) -> None:
    deal = company.deal()
    edits = [opportunity.Update(custom_fields=dict.fromkeys("ab", f"{n}" + "x" * 8_000)) for n in range(300)]
    for result in company.committer.run([company.envelope(one, deal) for one in edits]):
        outcome(result)
    with Client(server.port, company.admin.token) as client:
        pages = [made(client.get(f"{PATH}?limit=500"), 200)]
        while pages[-1]["next"]:
            pages.append(made(client.get(f"{PATH}?limit=500&after={pages[-1]['results'][-1]['position']}"), 200))
    assert len(pages) == 2
    versions = [entry["version"] for page in pages for entry in page["results"] if entry["id"] == str(deal)]
    assert versions == list(range(1, 302))


def test_going_on_from_the_last_position_misses_nothing(org: Org) -> None:
    last = followed(org, 100)[-1]["position"]
    assert made(org.admin.get(f"{PATH}?after={last}"), 200) == {"results": [], "next": None, "cursor": str(last)}
    org.account()
    (event,) = made(org.admin.get(f"{PATH}?after={last}"), 200)["results"]
    assert event["type"] == "account.created"


def test_no_secret_is_in_the_feed(org: Org) -> None:
    made(org.admin.post("/api/tokens/", {"name": "export"}))
    token = followed(org, 100)[-1]
    assert token["type"] == "token.issued"
    assert "hash" not in token["changes"]


def test_what_only_admins_may_read_only_admins_see_in_the_feed(org: Org) -> None:
    manager = org.client(org.user("manager"))
    before = followed(org, 100)[-1]["position"]
    made(org.admin.post("/api/tokens/", {"name": "export"}))
    made(org.admin.post("/api/webhooks/", {"url": "https://hooks.example.com/secret", "events": ["opportunity.won"]}))
    org.account()
    path = f"{PATH}?after={before}&limit="
    seen = [event["type"] for event in made(org.admin.get(f"{path}100"), 200)["results"]]
    assert seen == ["token.issued", "webhook_endpoint.created", "account.created"]
    page = made(manager.get(f"{path}1"), 200)
    assert [event["type"] for event in page["results"]] == ["account.created"]
    assert page["next"] is None


def test_bad_parameters_are_refused_by_name(org: Org) -> None:
    assert set(errors(org.admin.get(f"{PATH}?after=x&limit=501&limt=1"))) == {"after", "limit", "limt"}
    assert set(errors(org.admin.get(f"{PATH}?after=-1"))) == {"after"}
    assert set(errors(org.admin.get(f"{PATH}?after=99999999999999999999"))) == {"after"}


def test_another_org_sees_nothing_of_it(org: Org, other_org: Org) -> None:
    org.opportunity()
    ours = {event["id"] for event in followed(org, 100)}
    assert ours.isdisjoint(event["id"] for event in followed(other_org, 100))
