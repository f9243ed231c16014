"""Contacts over HTTP."""

from __future__ import annotations

from tests.support.scenarios import Org, errors, made, refused

PATH = "/api/contacts/"
NOBODY = "00000000-0000-7000-8000-000000000999"


def test_a_contact_is_created_read_changed_and_deleted(org: Org) -> None:
    account = org.account()
    body = {"first_name": "Jane", "last_name": "Doe", "email": "jane@acme.com", "phone": "1", "title": "CFO"}
    contact = made(org.admin.post(PATH, {**body, "account_id": account["id"]}))
    assert {name: contact[name] for name in (*body, "account_id")} == {**body, "account_id": account["id"]}
    path = f"{PATH}{contact['id']}/"
    changed = made(org.admin.patch(path, {"title": None, "account_id": None}), 200)
    assert (changed["title"], changed["account_id"], changed["phone"]) == (None, None, "1")
    assert made(org.admin.get(path), 200) == changed
    assert org.admin.request("DELETE", path).status == 204
    refused(org.admin.get(path), 404)


def test_all_that_is_wrong_is_told_at_once(org: Org, other_org: Org) -> None:
    theirs = other_org.account()["id"]
    found = errors(org.admin.post(PATH, {"first_name": " ", "last_name": "D", "email": "no", "account_id": theirs}))
    assert set(found) == {"first_name", "email", "account_id"}
    assert theirs in found["account_id"]
    assert NOBODY in errors(org.admin.post(PATH, {"first_name": "J", "last_name": "D", "account_id": NOBODY}))["account_id"]


def test_deals_show_a_deleted_contact_no_more(org: Org) -> None:
    contact = org.contact()
    deal = org.opportunity(stakeholder_ids=[contact["id"]])
    assert [found["id"] for found in deal["stakeholders"]] == [contact["id"]]
    assert org.admin.request("DELETE", f"{PATH}{contact['id']}/").status == 204
    assert org.read(deal)["stakeholders"] == []


def test_contacts_are_found_by_account_address_and_name(org: Org) -> None:
    account = org.account()
    org.contact("Ann", "Lee", email="ann@acme.com", account_id=account["id"])
    org.contact("Bob", "Ray")
    assert firsts(org, f"account={account['id']}") == ["Ann"]
    assert firsts(org, "account__isnull=true") == ["Bob"]
    assert firsts(org, "email=ANN@acme.com") == ["Ann"]
    assert firsts(org, "email__isnull=true") == ["Bob"]
    assert firsts(org, "search=acme") == ["Ann"]
    assert firsts(org, "search=bob ray".replace(" ", "%20")) == ["Bob"]
    assert firsts(org, "ordering=-email") == ["Ann", "Bob"]
    assert firsts(org, "ordering=-name") == ["Bob", "Ann"]


def firsts(org: Org, query: str) -> list[str]:
    return [contact["first_name"] for contact in org.listed(query, PATH)["results"]]


def test_another_org_sees_nothing_of_them(org: Org, other_org: Org) -> None:
    path = f"{PATH}{org.contact()['id']}/"
    assert other_org.listed("", PATH)["count"] == 0
    refused(other_org.admin.get(path), 404)
    refused(other_org.admin.patch(path, {"title": "Mine"}), 404)
