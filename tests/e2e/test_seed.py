"""The seed's examples over HTTP, as they are written there: shapes, order of keys, types and status codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Org, made, refused
from tests.support.server import Client

ITEM = (
    "id", "name", "account", "amount", "currency", "stage", "probability", "close_date", "owner", "stakeholders",
    "custom_fields", "created_at",
)  # fmt: skip


class Seed:
    """The records that the examples name, and the rep who asks."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.account = org.account("Acme Corp")
        self.contact = org.contact("Jane", "Doe", email="jane@acme.example", account_id=self.account["id"])
        self.owner = org.user("rep", email="rep@yours.com")
        self.rep: Client = org.client(self.owner)

    def body(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": "Acme — Annual 2026",
            "account_id": self.account["id"],
            "amount": "24000",
            "currency": "USD",
            "stage": "discovery",
            "close_date": "2026-06-30",
            "stakeholder_ids": [self.contact["id"]],
            "custom_fields": {"competitor": "incumbent_vendor"},
            **changes,
        }

    def created(self, **changes: Any) -> dict[str, Any]:
        return made(self.rep.post(OPPORTUNITIES, self.body(**changes)))

    def item(self, record: dict[str, Any]) -> dict[str, Any]:
        """The seed's list item with the ids and times of this run."""
        return {
            "id": record["id"],
            "name": "Acme — Annual 2026",
            "account": {"id": self.account["id"], "name": "Acme Corp"},
            "amount": "24000.00",
            "currency": "USD",
            "stage": "proposal",
            "probability": 60,
            "close_date": "2026-06-30",
            "owner": {"id": self.owner["id"], "email": "rep@yours.com"},
            "stakeholders": [{"id": self.contact["id"], "first_name": "Jane", "last_name": "Doe"}],
            "custom_fields": {"competitor": "incumbent_vendor"},
            "created_at": record["created_at"],
        }


@pytest.fixture
def seed(org: Org) -> Seed:
    return Seed(org)


def test_list(seed: Seed) -> None:
    record = seed.created(stage="proposal")
    seed.created(stage="discovery")
    seed.created(stage="proposal", close_date="2027-01-01")
    reply = seed.rep.get(f"{OPPORTUNITIES}?stage=proposal&close_date__lte=2026-12-31")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    page = json.loads(reply.body)
    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], page["next"], page["previous"]) == (1, None, None)
    (item,) = page["results"]
    assert tuple(item)[: len(ITEM)] == ITEM
    expected = seed.item(record)
    # Text for text: the order of the keys inside and the decimals of the amount too.
    assert json.dumps({name: item[name] for name in ITEM}) == json.dumps(expected)
    assert list(item)[len(ITEM) :] == [
        "status", "tags", "actual_amount", "actual_close_date", "lost_reason", "lost_reason_code", "next_step", "external_id",
        "stage_entered_at", "closed_at", "updated_at", "version",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("stage=proposal", True),
        ("stage=discovery", False),
        ("owner={owner}", True),
        ("account={account}", True),
        ("close_date__gte=2026-06-30", True),
        ("close_date__gte=2026-07-01", False),
        ("close_date__lte=2026-06-30", True),
        ("close_date__lte=2026-06-29", False),
        ("amount__gte=24000", True),
        ("amount__gte=24000.01", False),
        ("tags=renewal", True),
        ("tags=other", False),
        ("cf_competitor=incumbent_vendor", True),
        ("cf_competitor=nobody", False),
    ],
)
def test_filterable_fields(seed: Seed, query: str, found: bool) -> None:
    seed.created(stage="proposal", tags=["renewal"])
    query = query.format(owner=seed.owner["id"], account=seed.account["id"])
    assert made(seed.rep.get(f"{OPPORTUNITIES}?{query}"), 200)["count"] == int(found)


def test_create(seed: Seed) -> None:
    reply = seed.rep.post(OPPORTUNITIES, seed.body())
    record = made(reply)
    assert reply.headers["location"] == f"{OPPORTUNITIES}{record['id']}/"
    assert reply.headers["etag"].startswith('"1.')
    assert (record["amount"], record["stage"], record["probability"]) == ("24000.00", "discovery", 20)
    assert record["owner"] == {"id": seed.owner["id"], "email": "rep@yours.com"}
    assert made(seed.rep.get(reply.headers["location"]), 200) == record


def test_detail(seed: Seed) -> None:
    record = seed.created()
    path = f"{OPPORTUNITIES}{record['id']}/"
    logged = made(seed.rep.post(f"{path}activities/", {"type": "call", "subject": "Talked about pricing"}))
    detail = made(seed.rep.get(path), 200)
    assert tuple(detail)[: len(ITEM)] == ITEM
    assert detail["activities"] == [logged]
    assert detail["stakeholders"] == [made(seed.rep.get(f"/api/contacts/{seed.contact['id']}/"), 200)]
    assert detail["custom_field_definitions"] == []
    definition = seed.org.custom_field("competitor", "text")
    assert made(seed.rep.get(path), 200)["custom_field_definitions"] == [definition]


def test_patch(seed: Seed) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/"
    reply = seed.rep.patch(path, {"amount": 26000.5})
    assert made(reply, 200)["amount"] == "26000.50"
    assert reply.headers["etag"].startswith('"2.')


def test_put(seed: Seed) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/"
    record = made(seed.rep.put(path, seed.body(name="Acme — Annual 2027", amount=None)), 200)
    assert (record["name"], record["amount"]) == ("Acme — Annual 2027", None)


def test_delete(seed: Seed) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/"
    reply = seed.rep.delete(path)
    assert (reply.status, reply.body) == (204, b"")
    refused(seed.rep.get(path), 404)


def test_transition(seed: Seed) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/"
    record = made(seed.rep.post(f"{path}transition/", {"stage": "negotiation"}), 200)
    assert (record["stage"], record["probability"]) == ("negotiation", 80)
    assert made(seed.rep.get(path), 200) == record


def test_won_requires_the_actual_amount_and_close_date(seed: Seed) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/transition/"
    assert set(refused(seed.rep.post(path, {"stage": "won"}))["errors"]) == {"actual_amount", "actual_close_date"}
    body = {"stage": "won", "actual_amount": "23500", "actual_close_date": "2026-06-15"}
    record = made(seed.rep.post(path, body), 200)
    assert (record["status"], record["actual_amount"], record["actual_close_date"]) == ("won", "23500.00", "2026-06-15")


@pytest.mark.parametrize(("reason", "code"), [("competitor", "competitor"), ("They went silent", None)])
def test_lost_requires_a_reason_in_free_text_or_by_code(seed: Seed, reason: str, code: str | None) -> None:
    path = f"{OPPORTUNITIES}{seed.created()['id']}/transition/"
    assert set(refused(seed.rep.post(path, {"stage": "lost"}))["errors"]) == {"lost_reason"}
    record = made(seed.rep.post(path, {"stage": "lost", "lost_reason": reason}), 200)
    assert (record["status"], record["lost_reason"], record["lost_reason_code"]) == ("lost", reason, code)


def test_closing_is_an_event_of_its_own(seed: Seed) -> None:
    won, lost = seed.created(), seed.created()
    closing = {"stage": "won", "actual_amount": 1, "actual_close_date": "2026-06-15"}
    made(seed.rep.post(f"{OPPORTUNITIES}{won['id']}/transition/", closing), 200)
    made(seed.rep.post(f"{OPPORTUNITIES}{lost['id']}/transition/", {"stage": "lost", "lost_reason": "price"}), 200)
    feed = made(seed.rep.get("/api/events/?limit=500"), 200)["results"]
    assert [(event["type"], event["id"]) for event in feed][-2:] == [
        ("opportunity.won", won["id"]),
        ("opportunity.lost", lost["id"]),
    ]


def test_forecast(seed: Seed) -> None:
    for month, amount, probability, won in [("04", 125000, 30, 55000), ("05", 115000, 40, 30000), ("06", 220000, 70, None)]:
        seed.created(amount=amount, probability=probability, close_date=f"2026-{month}-15")
        if won:
            closing = {"stage": "won", "actual_amount": won, "actual_close_date": f"2026-{month}-30"}
            seed.created(**closing)
    query = "close_date__gte=2026-04-01&close_date__lte=2026-06-30"
    reply = seed.rep.get(f"{OPPORTUNITIES}forecast/?{query}")
    assert reply.status == 200
    found = json.loads(reply.body)
    assert list(found)[:2] == ["currency", "months"]
    months = [{name: month[name] for name in list(month)[:3]} for month in found["months"]]
    # Text for text: whole numbers have no decimals.
    assert json.dumps({"currency": found["currency"], "months": months}) == json.dumps(
        {
            "currency": "USD",
            "months": [
                {"month": "2026-04", "unweighted": 180000, "weighted": 92500},
                {"month": "2026-05", "unweighted": 145000, "weighted": 76000},
                {"month": "2026-06", "unweighted": 220000, "weighted": 154000},
            ],
        }
    )
