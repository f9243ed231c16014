"""Accounts over HTTP."""

from __future__ import annotations

from tests.support.scenarios import Org, errors, made, refused

PATH = "/api/accounts/"


def test_an_account_is_created_read_changed_and_deleted(org: Org) -> None:
    reply = org.admin.post(PATH, {"name": " Acme Corp ", "domain": "acme.example", "custom_fields": {"tier": "gold", "n": 1}})
    account = made(reply)
    path = f"{PATH}{account['id']}/"
    assert reply.headers["location"] == path
    assert list(account) == ["id", "name", "domain", "custom_fields", "external_id", "created_at", "updated_at", "version"]
    assert (account["name"], account["version"]) == ("Acme Corp", 1)
    changed = made(org.admin.patch(path, {"domain": None, "custom_fields": {"n": None, "m": 2}}), 200)
    assert (changed["domain"], changed["custom_fields"], changed["version"]) == (None, {"tier": "gold", "m": 2}, 2)
    assert made(org.admin.get(path), 200) == changed
    assert org.admin.request("DELETE", path).status == 204
    refused(org.admin.get(path), 404)
    refused(org.admin.patch(path, {"name": "B"}), 404)
    assert org.listed("", PATH)["count"] == 0


def test_a_change_that_changes_nothing_adds_no_version(org: Org) -> None:
    account = org.account()
    assert made(org.admin.patch(f"{PATH}{account['id']}/", {"name": "Acme Corp"}), 200) == account
    assert made(org.admin.patch(f"{PATH}{account['id']}/", {}), 200) == account


def test_bad_fields_are_named(org: Org) -> None:
    assert set(errors(org.admin.post(PATH, {"name": "", "domian": "x", "custom_fields": []}))) == {"domian", "custom_fields"}
    assert errors(org.admin.post(PATH, {"name": " "})) == {"name": "Must not be blank."}
    assert list(errors(org.admin.post(PATH, {"name": "x" * 256}))) == ["name"]


def test_an_account_with_deals_stays(org: Org) -> None:
    account = org.account()
    org.opportunity(account_id=account["id"])
    problem = refused(org.admin.request("DELETE", f"{PATH}{account['id']}/"), 409)
    assert problem["code"] == "in_use"


def test_a_renamed_account_shows_its_name_on_every_deal_at_once(org: Org) -> None:
    deal = org.opportunity()
    made(org.admin.patch(f"{PATH}{deal['account']['id']}/", {"name": "Acme Holding"}), 200)
    assert org.read(deal)["account"]["name"] == "Acme Holding"
    assert org.listed()["results"][0]["account"]["name"] == "Acme Holding"


def test_accounts_are_found_ordered_and_paged(org: Org) -> None:
    for name in ("Delta", "alpha 100%", "Charlie_1", "Bravo, Inc."):
        org.account(name)
    assert names(org, "ordering=-name")[0] in {"Delta", "alpha 100%"}
    assert names(org, "search=ALPHA") == ["alpha 100%"]
    assert names(org, "search=100%25") == ["alpha 100%"]
    assert names(org, "search=e_1") == ["Charlie_1"]
    assert names(org, "search=Bravo,") == ["Bravo, Inc."]
    assert names(org, "name=Delta,Charlie_1&ordering=name") == ["Charlie_1", "Delta"]
    first = org.listed("page_size=3&ordering=name", PATH)
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 3, None)
    second = org.admin.get(first["next"].partition(str(org.server.port))[2]).json()
    assert (len(second["results"]), second["next"]) == (1, None)
    assert second["previous"].endswith("page_size=3&ordering=name&page=1")
    assert org.listed("fields=name&limit=1&ordering=name", PATH)["results"][0].keys() == {"name"}


def names(org: Org, query: str) -> list[str]:
    return [account["name"] for account in org.listed(query, PATH)["results"]]


def test_another_org_sees_nothing_of_them(org: Org, other_org: Org) -> None:
    path = f"{PATH}{org.account()['id']}/"
    assert other_org.listed("", PATH)["count"] == 0
    refused(other_org.admin.get(path), 404)
    refused(other_org.admin.patch(path, {"name": "Mine"}), 404)
    refused(other_org.admin.request("DELETE", path), 404)


def test_who_may_only_read_changes_nothing(org: Org) -> None:
    account = org.account()
    reader = org.client(org.user("read_only"))
    assert reader.get(PATH).json()["count"] == 1
    refused(reader.post(PATH, {"name": "B"}), 403)
    refused(reader.patch(f"{PATH}{account['id']}/", {"name": "B"}), 403)
    refused(reader.request("DELETE", f"{PATH}{account['id']}/"), 403)
