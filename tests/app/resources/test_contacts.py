"""Contacts over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

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


def test_a_contact_that_live_deals_name_stays(org: Org) -> None:
    jane, omar = org.contact("Jane"), org.contact("Omar")
    first = org.opportunity(stakeholder_ids=[omar["id"], jane["id"]])
    second = org.won(stakeholder_ids=[jane["id"]])
    path = f"{PATH}{jane['id']}/"
    problem = refused(org.admin.delete(path), 409)
    assert (problem["code"], problem["deals"]) == ("in_use", 2)
    assert org.admin.delete(f"/api/opportunities/{second['id']}/").status == 204
    assert refused(org.admin.delete(path), 409)["deals"] == 1
    made(org.admin.patch(f"/api/opportunities/{first['id']}/", {"stakeholder_ids": [omar["id"]]}), 200)
    assert org.admin.delete(path).status == 204
    assert made(org.admin.post(f"/api/opportunities/{second['id']}/restore/"), 200)["stakeholders"] == []


def test_reps_make_and_change_contacts_and_accounts_and_delete_none(org: Org) -> None:
    rep = org.client(org.user("rep"))
    for path, body in ((PATH, {"first_name": "J", "last_name": "D"}), ("/api/accounts/", {"name": "Acme"})):
        own, other = made(rep.post(path, body)), made(org.admin.post(path, body))
        for record in (own, other):
            made(rep.patch(f"{path}{record['id']}/", body), 200)
            refused(rep.delete(f"{path}{record['id']}/"), 403)
        manager = org.client(org.user("manager"))
        assert manager.delete(f"{path}{own['id']}/").status == 204


def test_a_contact_is_either_named_or_gone_whoever_comes_first(org: Org) -> None:
    """Deals that name it arrive while it is deleted."""
    account = org.account()["id"]
    clients = [org.client(org.user("manager")) for _ in range(4)]
    for _ in range(10):
        contact = org.contact()["id"]
        body = {"name": "A", "account_id": account, "stakeholder_ids": [contact]}
        asked = [partial(one.post, "/api/opportunities/", body) for one in clients]
        asked.insert(2, partial(org.admin.delete, f"{PATH}{contact}/"))
        with ThreadPoolExecutor(len(asked)) as pool:
            replies = [future.result() for future in [pool.submit(each) for each in asked]]
        gone = replies.pop(2).status == 204
        named = [reply for reply in replies if reply.status == 201]
        assert gone is not bool(named)
        assert {reply.status for reply in replies} <= {201, 400}
        assert org.admin.get(f"{PATH}{contact}/").status == (404 if gone else 200)


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
