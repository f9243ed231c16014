"""Ids of other systems over HTTP: one live record has each, whoever asks at once; PUT creates or replaces by them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.scenarios import Json, Org, errors, made, refused
from tests.support.server import Client, Reply

DEALS, ACCOUNTS, CONTACTS = "/api/opportunities/", "/api/accounts/", "/api/contacts/"
BODIES: dict[str, Json] = {
    ACCOUNTS: {"name": "Acme"},
    CONTACTS: {"first_name": "Jane", "last_name": "Doe"},
    DEALS: {"name": "Annual"},
}
kinds = pytest.mark.parametrize("path", [DEALS, ACCOUNTS, CONTACTS])


def body(org: Org, path: str, **fields: Any) -> Json:
    more = {"account_id": org.account()["id"]} if path == DEALS else {}
    return {**BODIES[path], **more, **fields}


def by(path: str, text: str) -> str:
    return f"{path}by-external-id/{quote(text, safe='')}/"


def eight_times(org: Org, request: Callable[[Client], Reply]) -> list[Reply]:
    """The same request from eight clients at once."""
    clients = [org.with_token(org.token) for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(request, clients))


def found(org: Org, path: str, query: str) -> list[str | None]:
    return [item["external_id"] for item in made(org.admin.get(f"{path}?{query}&ordering=created_at"), 200)["results"]]


@kinds
def test_it_is_set_shown_filtered_and_in_history(org: Org, path: str) -> None:
    record = made(org.admin.post(path, body(org, path, external_id=" CRM-1 ")))
    assert record["external_id"] == "CRM-1"
    made(org.admin.post(path, body(org, path)))
    made(org.admin.post(path, body(org, path, external_id="a,b")))
    assert found(org, path, "external_id=CRM-1") == ["CRM-1"]
    assert found(org, path, "external_id=crm-1") == []
    assert found(org, path, "external_id=CRM-1,x&external_id=a%2Cb") == ["CRM-1", "a,b"]
    assert found(org, path, "external_id=a,b") == ["a,b"]
    assert found(org, path, "external_id__isnull=false") == ["CRM-1", "a,b"]
    assert None in found(org, path, "external_id__isnull=true")
    assert set(errors(org.admin.get(f"{path}?external_id="))) == {"external_id"}
    changed = made(org.admin.patch(f"{path}{record['id']}/", {"external_id": None}), 200)
    assert changed["external_id"] is None
    events = made(org.admin.get("/api/events/?limit=200"), 200)["results"]
    shown = [event["changes"]["external_id"] for event in events if "external_id" in event.get("changes", {})]
    assert ["CRM-1", None] in shown


@kinds
def test_put_creates_and_then_replaces(org: Org, path: str) -> None:
    at = by(path, "ä/b c?")
    first = org.admin.put(at, body(org, path))
    record = made(first, 201)
    assert first.headers["location"].endswith(f"{path}{record['id']}/")
    assert record["external_id"] == "ä/b c?"
    again = org.admin.put(at, {**body(org, path), "external_id": "ä/b c?"})
    assert made(again, 200)["id"] == record["id"]
    assert "location" not in again.headers
    assert set(errors(org.admin.put(at, body(org, path, external_id="other")))) == {"external_id"}
    assert set(errors(org.admin.put(by(path, "x" * 256), body(org, path)))) == {"external_id"}
    assert set(errors(org.admin.put(f"{path}by-external-id/%ff/", body(org, path)))) == {"external_id"}
    assert set(errors(org.admin.put(by(path, "a\nb"), body(org, path)))) == {"external_id"}
    assert refused(org.admin.put(by(path, "new"), body(org, path), If_Match='"1"'), 412)["code"] == "version_mismatch"
    assert refused(org.admin.put(at, body(org, path), If_Match='"77"'), 412)["code"] == "version_mismatch"


def test_put_clears_what_is_left_out(org: Org) -> None:
    made(org.admin.put(by(ACCOUNTS, "A"), {"name": "Acme", "domain": "acme.example", "custom_fields": {"size": 1}}))
    replaced = made(org.admin.put(by(ACCOUNTS, "A"), {"name": "Acme"}), 200)
    assert (replaced["domain"], replaced["custom_fields"], replaced["external_id"], replaced["version"]) == (None, {}, "A", 2)
    assert made(org.admin.put(by(ACCOUNTS, "A"), {"name": "Acme"}), 200)["version"] == 2
    made(org.admin.put(by(CONTACTS, "C"), {"first_name": "A", "last_name": "B", "phone": "1", "account_external_id": "A"}))
    replaced = made(org.admin.put(by(CONTACTS, "C"), {"first_name": "A", "last_name": "B"}), 200)
    assert (replaced["phone"], replaced["account_id"]) == (None, None)
    made(org.admin.put(by(DEALS, "D"), {"name": "A", "account_external_id": "A", "amount": 5, "stage": "proposal"}))
    replaced = made(org.admin.put(by(DEALS, "D"), {"name": "A", "account_external_id": "A"}), 200)
    assert (replaced["amount"], replaced["stage"], replaced["external_id"]) == (None, "proposal", "D")


def test_bodies_name_records_by_what_other_systems_call_them(org: Org) -> None:
    account, jane = org.account(external_id="A1"), org.contact(external_id="C1")
    rob = org.user(email="rob@yours.com")
    names = {"account_external_id": "A1", "stakeholder_external_ids": ["C1"], "owner_email": "ROB@yours.com"}
    deal = made(org.admin.post(DEALS, {"name": "Annual", **names}))
    assert (deal["account"]["id"], deal["owner"]["id"], deal["stakeholders"][0]["id"]) == (account["id"], rob["id"], jane["id"])
    wrong = {"account_external_id": "A2", "stakeholder_external_ids": ["C1", "C2"], "owner_email": "no@yours.com"}
    assert set(errors(org.admin.patch(f"{DEALS}{deal['id']}/", wrong))) == set(wrong)
    assert set(errors(org.admin.post(DEALS, {"nmae": "A"}))) == {"nmae", "name", "account_id"}
    other = org.account(external_id="A3")
    assert org.admin.delete(f"{ACCOUNTS}{other['id']}/").status == 204
    assert set(errors(org.admin.patch(f"{DEALS}{deal['id']}/", {"account_external_id": "A3"}))) == {"account_external_id"}


@kinds
def test_what_is_taken_is_a_409_and_free_again_afterwards(org: Org, path: str) -> None:
    record = made(org.admin.post(path, body(org, path, external_id="X")))
    problem = refused(org.admin.post(path, body(org, path, external_id="X")), 409)
    assert (problem["code"], problem["holder"]) == ("external_id_taken", record["id"])
    other = made(org.admin.post(path, body(org, path, external_id="Y")))
    assert refused(org.admin.patch(f"{path}{other['id']}/", {"external_id": "X"}), 409)["code"] == "external_id_taken"
    assert org.admin.delete(f"{path}{record['id']}/").status == 204
    assert made(org.admin.patch(f"{path}{other['id']}/", {"external_id": "X"}), 200)["external_id"] == "X"
    third = made(org.admin.put(by(path, "Y"), body(org, path)), 201)
    assert third["id"] not in (record["id"], other["id"])


def test_restoring_a_deal_whose_id_was_taken_is_a_409(org: Org) -> None:
    record = org.opportunity(external_id="X")
    assert org.admin.delete(f"{DEALS}{record['id']}/").status == 204
    other = org.opportunity(external_id="X")
    problem = refused(org.admin.post(f"{DEALS}{record['id']}/restore/"), 409)
    assert (problem["code"], problem["holder"]) == ("external_id_taken", other["id"])
    made(org.admin.patch(f"{DEALS}{other['id']}/", {"external_id": None}), 200)
    assert made(org.admin.post(f"{DEALS}{record['id']}/restore/"), 200)["external_id"] == "X"


@kinds
def test_another_org_has_its_own(org: Org, other_org: Org, path: str) -> None:
    made(org.admin.post(path, body(org, path, external_id="X")))
    theirs = made(other_org.admin.put(by(path, "X"), body(other_org, path)), 201)
    assert found(other_org, path, "external_id=X") == ["X"]
    assert made(other_org.admin.put(by(path, "X"), body(other_org, path)), 200)["id"] == theirs["id"]
    account = org.account(external_id="only ours")
    wrong = other_org.admin.post(DEALS, {"name": "A", "account_external_id": account["external_id"]})
    assert set(errors(wrong)) == {"account_external_id"}


@kinds
def test_of_many_creators_at_once_one_creates(org: Org, path: str) -> None:
    content = body(org, path, external_id="X")
    replies = eight_times(org, lambda client: client.post(path, content))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    assert found(org, path, "external_id=X") == ["X"]


@kinds
def test_of_many_who_put_at_once_one_creates_and_the_others_replace(org: Org, path: str) -> None:
    content = body(org, path)
    replies = eight_times(org, lambda client: client.put(by(path, "X"), content))
    assert sorted(reply.status for reply in replies) == [200] * 7 + [201]
    assert len({reply.json()["id"] for reply in replies}) == 1


def test_a_rep_puts_own_deals_alone(org: Org) -> None:
    rep = org.user(email="rep@yours.com")
    client = org.client(rep)
    org.account(external_id="A")
    assert made(client.put(by(DEALS, "D"), {"name": "A", "account_external_id": "A"}))["owner"]["id"] == rep["id"]
    org.opportunity(external_id="E")
    assert refused(client.put(by(DEALS, "E"), {"name": "A", "account_external_id": "A"}), 403)["code"] == "forbidden"
