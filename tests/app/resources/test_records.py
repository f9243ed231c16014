"""Accounts, contacts, exchange rates and the org itself, as the contract has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused
from tests.support.server import Reply

ACCOUNTS, CONTACTS, RATES = "/api/accounts/", "/api/contacts/", "/api/exchange-rates/"
NOBODY = "00000000-0000-7000-8000-000000000999"


# Accounts


def test_an_account_from_its_creation_to_its_end(org: Org) -> None:
    reply = org.admin.post(ACCOUNTS, {"name": " Acme Corp ", "domain": "acme.example", "custom_fields": {"tier": "gold"}})
    account = made(reply)
    assert list(account) == ["id", "name", "domain", "custom_fields", "external_id", "created_at", "updated_at", "version"]
    assert (account["name"], account["domain"], account["custom_fields"]) == ("Acme Corp", "acme.example", {"tier": "gold"})
    assert UUID(account["id"]).version == 7
    path = f"{ACCOUNTS}{account['id']}/"
    assert reply.headers["location"] == path
    assert reply.headers["etag"].startswith('"1.')
    assert made(org.admin.get(path), 200) == account
    body = {"domain": None, "custom_fields": {"tier": None, "size": 5}}
    changed = made(org.admin.patch(path, body), 200)
    assert (changed["domain"], changed["custom_fields"], changed["version"]) == (None, {"size": 5}, 2)
    assert made(org.admin.patch(path, body), 200) == changed
    assert org.admin.delete(path).status == 204
    for gone in (org.admin.get(path), org.admin.patch(path, {"name": "X"}), org.admin.delete(path)):
        refused(gone, 404)
    assert org.listed("", ACCOUNTS)["count"] == 0


def test_an_account_with_deals_stays(org: Org) -> None:
    record = org.opportunity()
    path = f"{ACCOUNTS}{record['account']['id']}/"
    problem = refused(org.admin.delete(path), 409)
    assert (problem["code"], problem["deals"]) == ("in_use", 1)
    org.admin.delete(f"{OPPORTUNITIES}{record['id']}/")
    assert org.admin.delete(path).status == 204


def test_a_deal_whose_account_is_gone_cannot_be_restored_into_nothing(org: Org) -> None:
    record = org.opportunity()
    org.admin.delete(f"{OPPORTUNITIES}{record['id']}/")
    assert org.admin.delete(f"{ACCOUNTS}{record['account']['id']}/").status == 204
    restored = org.admin.post(f"{OPPORTUNITIES}{record['id']}/restore/")
    assert made(restored, 200)["account"] == record["account"]
    assert org.listed()["results"][0]["account"] == record["account"]


def test_accounts_that_make_no_sense(org: Org) -> None:
    assert set(errors(org.admin.post(ACCOUNTS, {}))) == {"name"}
    bad: list[tuple[Json, str]] = [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"domain": "x" * 256}, "domain"),
        ({"custom_fields": []}, "custom_fields"),
        ({"nmae": "x"}, "nmae"),
    ]
    for body, field in bad:
        assert set(errors(org.admin.post(ACCOUNTS, {"name": "A", **body}))) == {field}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "cba"), ("ordering=name", "abc"), ("ordering=-name", "cba"), ("name=a", "a"), ("name=a,b&ordering=name", "ab"),
        ("name__icontains=B", "b"), ("search=C", "c"), ("created_at__gte=2020-01-01", "cba"), ("updated_at__lt=2020-01-01", ""),
        ("page_size=2&page=2", "a"), ("limit=1&offset=1", "b"),
    ],
)  # fmt: skip
def test_lists_of_accounts(org: Org, query: str, names: str) -> None:
    for name in "abc":
        org.account(name)
    assert "".join(account["name"] for account in org.listed(query, ACCOUNTS)["results"]) == names


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        (ACCOUNTS, "nmae=x", "nmae"), (ACCOUNTS, "ordering=domain", "ordering"), (ACCOUNTS, "page=0", "page"),
        (ACCOUNTS, "created_at__gte=x", "created_at__gte"), (ACCOUNTS, "fields=nam", "fields"), (CONTACTS, "account=5", "account"),
        (CONTACTS, "email=x", "email"), ("/api/users/", "role=boss", "role"), ("/api/users/", "active=maybe", "active"),
        ("/api/tokens/", "user=x", "user"), ("/api/custom-fields/", "key=x", "key"), (RATES, "currency=XXQ", "currency"),
        (RATES, "curency=EUR", "curency"),
    ],
)  # fmt: skip
def test_lists_name_what_they_do_not_take(org: Org, path: str, query: str, name: str) -> None:
    assert set(errors(org.admin.get(f"{path}?{query}"))) == {name}


# Contacts


def test_a_contact_from_its_creation_to_its_end(org: Org) -> None:
    account = org.account()
    body = {
        "first_name": "Jane",
        "last_name": "Doe",
        "email": "jane@acme.example",
        "phone": "+1 555 0100",
        "title": "CFO",
        "account_id": account["id"],
    }
    reply = org.admin.post(CONTACTS, body)
    contact = made(reply)
    assert list(contact) == ["id", *body, "external_id", "created_at", "updated_at", "version"]
    assert {name: contact[name] for name in body} == body
    path = f"{CONTACTS}{contact['id']}/"
    assert reply.headers["location"] == path
    assert org.listed(f"account={account['id']}", CONTACTS)["results"] == [contact]
    assert org.listed("account__isnull=true", CONTACTS)["count"] == 0
    assert org.listed("search=ACME", CONTACTS)["count"] == 1
    changed = made(org.admin.patch(path, {"title": None, "account_id": None}), 200)
    assert (changed["title"], changed["account_id"], changed["version"]) == (None, None, 2)
    assert org.admin.delete(path).status == 204
    refused(org.admin.get(path), 404)


def test_a_restored_deal_shows_a_deleted_contact_no_more(org: Org) -> None:
    jane, omar = org.contact("Jane"), org.contact("Omar")
    record = org.opportunity(stakeholder_ids=[jane["id"], omar["id"]])
    assert refused(org.admin.delete(f"{CONTACTS}{jane['id']}/"), 409)["deals"] == 1
    path = f"/api/opportunities/{record['id']}/"
    assert org.admin.delete(path).status == 204
    assert org.admin.delete(f"{CONTACTS}{jane['id']}/").status == 204
    made(org.admin.post(f"{path}restore/"), 200)
    assert [one["first_name"] for one in org.read(record)["stakeholders"]] == ["Omar"]
    assert [one["first_name"] for one in org.listed()["results"][0]["stakeholders"]] == ["Omar"]
    assert org.history(record)[0]["changes"]["stakeholder_ids"] == [None, [jane["id"], omar["id"]]]


def test_contacts_that_make_no_sense(org: Org, other_org: Org) -> None:
    assert set(errors(org.admin.post(CONTACTS, {}))) == {"first_name", "last_name"}
    foreign = other_org.account()["id"]
    for body, field in [
        ({"first_name": " "}, "first_name"),
        ({"email": "jane"}, "email"),
        ({"account_id": NOBODY}, "account_id"),
        ({"account_id": foreign}, "account_id"),
        ({"account_id": "x"}, "account_id"),
        ({"phon": "1"}, "phon"),
    ]:
        assert set(errors(org.admin.post(CONTACTS, {"first_name": "J", "last_name": "D", **body}))) == {field}


# Exchange rates


def rate(org: Org, currency: str, valid_from: str, value: Any) -> Reply:
    return org.admin.put(RATES, {"currency": currency, "valid_from": valid_from, "rate": value})


def test_rates_are_put_one_by_one_and_listed(org: Org) -> None:
    first = made(rate(org, "EUR", "2026-01-01", "1.0835"), 200)
    assert list(first) == ["currency", "valid_from", "rate", "updated_at"]
    assert (first["currency"], first["valid_from"], first["rate"]) == ("EUR", "2026-01-01", "1.0835")
    later = made(rate(org, "eur", "2026-02-01", 1.1), 200)
    yen = made(rate(org, "JPY", "2026-01-01", "0.0066"), 200)
    assert org.listed("", RATES) == {"count": 3, "next": None, "previous": None, "results": [later, first, yen]}
    again = made(rate(org, "EUR", "2026-01-01", "1.09"), 200)
    assert again["rate"] == "1.09"
    assert org.listed("currency=EUR", RATES)["results"] == [later, again]
    assert org.listed("page_size=1&page=2", RATES)["results"] == [again]
    assert made(rate(org, "EUR", "2026-01-01", "1.090"), 200) == again
    assert org.listed("limit=500", "/api/events/")["results"][-1]["type"] == "exchange_rate.quoted"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "USD"), ("currency", "XXQ"), ("currency", "EURO"), ("currency", ""), ("currency", 5), ("currency", None),
        ("valid_from", "2026-02-30"), ("valid_from", "0001-01-01"), ("valid_from", None), ("rate", 0), ("rate", "-1"),
        ("rate", "NaN"), ("rate", "1e30"), ("rate", "0.0000000000001"), ("rate", "x"), ("rate", None),
    ],
)  # fmt: skip
def test_rates_that_make_no_sense(org: Org, field: str, value: Any) -> None:
    body = {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1", field: value}
    assert set(errors(org.admin.put(RATES, body))) == {field}


def test_a_rate_needs_all_its_parts(org: Org) -> None:
    assert set(errors(org.admin.put(RATES, {}))) == {"currency", "valid_from", "rate"}


# The org


def test_the_org_changes_its_name_and_mode_but_not_its_currency(org: Org) -> None:
    found: Json = made(org.admin.get("/api/organization/"), 200)
    assert (found["id"], found["name"], found["currency"], found["custom_fields_mode"]) == (org.id, "Yours", "USD", "keep")
    body = {"name": "Ours", "currency": "USD", "custom_fields_mode": "strict"}
    changed = made(org.admin.patch("/api/organization/", body), 200)
    assert (changed["name"], changed["currency"], changed["custom_fields_mode"]) == ("Ours", "USD", "strict")
    assert set(errors(org.admin.patch("/api/organization/", {"currency": "EUR"}))) == {"currency"}
    assert set(errors(org.admin.patch("/api/organization/", {"custom_fields_mode": "loose"}))) == {"custom_fields_mode"}
    assert set(errors(org.admin.patch("/api/organization/", {"name": ""}))) == {"name"}
