"""Create, PATCH, PUT, DELETE and restore of an opportunity, line by line as the contract has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused

NOBODY = "00000000-0000-7000-8000-000000000999"


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


# Create


def test_only_name_and_account_are_required(org: Org) -> None:
    assert set(errors(org.admin.post(OPPORTUNITIES, {}))) == {"name", "account_id"}
    account = org.account()
    record = made(org.admin.post(OPPORTUNITIES, {"name": "Annual", "account_id": account["id"]}))
    shown = {name: record[name] for name in ("amount", "currency", "stage", "probability", "close_date", "status")}
    assert shown == {
        "amount": None,
        "currency": "USD",
        "stage": "discovery",
        "probability": 20,
        "close_date": None,
        "status": "open",
    }
    assert record["owner"] == {"id": org.admin_id, "email": "admin@yours.com"}
    assert (record["stakeholders"], record["tags"], record["custom_fields"]) == ([], [], {})
    assert (record["probability_source"], record["version"]) == ("stage", 1)
    assert record["stage_entered_at"] == record["created_at"] == record["updated_at"]
    assert record["closed_at"] is None


def test_explicit_nulls_are_the_same_as_nothing(org: Org) -> None:
    fields = (
        "amount", "currency", "stage", "probability", "close_date", "owner_id", "stakeholder_ids", "tags", "custom_fields",
        "actual_amount", "actual_close_date", "lost_reason",
    )  # fmt: skip
    nothing: Json = dict.fromkeys(fields)
    record = org.opportunity(**nothing)
    assert (record["currency"], record["stage"], record["probability"]) == ("USD", "discovery", 20)


def test_ids_are_uuid7_and_times_are_utc(org: Org) -> None:
    record = org.opportunity()
    assert UUID(record["id"]).version == 7
    assert record["created_at"].endswith("Z")


def test_an_explicit_probability_of_0_is_kept(org: Org) -> None:
    record = org.opportunity(probability=0)
    assert (record["probability"], record["probability_source"]) == (0, "manual")


@pytest.mark.parametrize(
    ("currency", "sent", "shown"),
    [
        ("USD", "24000", "24000.00"),
        ("USD", 24000, "24000.00"),
        ("USD", 24000.5, "24000.50"),
        ("USD", "0", "0.00"),
        ("USD", "1.10", "1.10"),
        ("USD", "1.1000", "1.10"),
        ("USD", "2.4e4", "24000.00"),
        ("USD", "999999999999999.99", "999999999999999.99"),
        ("usd", "5", "5.00"),
        ("JPY", "24000", "24000"),
        ("JPY", "24000.0", "24000"),
        ("BHD", "1.125", "1.125"),
    ],
)
def test_money_is_shown_with_the_decimals_of_its_currency(org: Org, currency: str, sent: Any, shown: str) -> None:
    record = org.opportunity(currency=currency, amount=sent)
    assert (record["amount"], record["currency"]) == (shown, currency.upper())
    assert org.listed()["results"][0]["amount"] == shown


@pytest.mark.parametrize(
    ("currency", "sent"),
    [
        ("USD", "-1"), ("USD", -0.01), ("USD", "1.001"), ("USD", 1.001), ("JPY", "0.5"), ("USD", "1000000000000000"),
        ("USD", 1e15), ("USD", "NaN"), ("USD", "Infinity"), ("USD", "abc"), ("USD", ""), ("USD", " 1"), ("USD", "1,000"),
        ("USD", "1_000"), ("USD", True), ("USD", [1]), ("USD", {"value": 1}), ("USD", "٣"), ("USD", "1e400000"),
        ("USD", "0x10"), ("USD", "1e-30"),
    ],
)  # fmt: skip
def test_other_amounts_are_refused(org: Org, currency: str, sent: Any) -> None:
    account = org.account()
    body = {"name": "A", "account_id": account["id"], "currency": currency, "amount": sent}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == {"amount"}
    record = org.opportunity(account_id=account["id"], currency=currency)
    assert set(errors(org.admin.patch(path_of(record), {"amount": sent}))) == {"amount"}


def test_a_deal_created_won_needs_what_the_transition_does_and_is_won_in_the_log(org: Org) -> None:
    account = org.account()
    body: dict[str, Any] = {"name": "Won", "account_id": account["id"], "stage": "won"}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == {"actual_amount", "actual_close_date"}
    body |= {"actual_amount": 0, "actual_close_date": "2026-02-01", "probability": 5}
    reply = org.admin.post(OPPORTUNITIES, body)
    record = made(reply)
    assert (record["status"], record["probability"], record["actual_amount"]) == ("won", 100, "0.00")
    assert [entry["type"] for entry in org.history(record)] == ["opportunity.created", "opportunity.won"]
    assert reply.headers["etag"].startswith(f'"{record["version"]}.')


def test_a_deal_created_lost_needs_a_reason_and_is_lost_in_the_log(org: Org) -> None:
    account = org.account()
    body = {"name": "Lost", "account_id": account["id"], "stage": "lost"}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == {"lost_reason"}
    record = made(org.admin.post(OPPORTUNITIES, body | {"lost_reason": "Price"}))
    assert (record["status"], record["probability"], record["lost_reason_code"]) == ("lost", 0, "price")
    assert [entry["type"] for entry in org.history(record)][-1] == "opportunity.lost"


def test_unknown_and_foreign_references_are_named(org: Org, other_org: Org) -> None:
    account, contact = other_org.account(), other_org.contact()
    body = {
        "name": "A",
        "account_id": account["id"],
        "owner_id": other_org.admin_id,
        "stakeholder_ids": [contact["id"], NOBODY],
    }
    wrong = errors(org.admin.post(OPPORTUNITIES, body))
    assert set(wrong) == {"account_id", "owner_id", "stakeholder_ids"}
    assert account["id"] in wrong["account_id"]
    assert other_org.admin_id in wrong["owner_id"]
    assert contact["id"] in wrong["stakeholder_ids"]
    assert NOBODY in wrong["stakeholder_ids"]
    assert set(errors(org.admin.patch(path_of(org.opportunity()), body))) == set(wrong)


def test_a_deleted_record_and_an_inactive_user_cannot_be_referred_to(org: Org) -> None:
    account, contact, user = org.account(), org.contact(), org.user()
    assert org.admin.delete(f"/api/accounts/{account['id']}/").status == 204
    assert org.admin.delete(f"/api/contacts/{contact['id']}/").status == 204
    made(org.admin.patch(f"/api/users/{user['id']}/", {"active": False}), 200)
    body = {"name": "A", "account_id": account["id"], "owner_id": user["id"], "stakeholder_ids": [contact["id"]]}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == {"account_id", "owner_id", "stakeholder_ids"}


@pytest.mark.parametrize("change", [{"role": "read_only"}, {"active": False}])
def test_a_deal_is_given_to_nobody_who_cannot_work_on_it(org: Org, change: dict[str, Any]) -> None:
    user, record = org.user(), org.opportunity()
    had = org.opportunity(owner_id=user["id"])
    made(org.admin.patch(f"/api/users/{user['id']}/", change), 200)
    body = {"name": "A", "account_id": record["account"]["id"], "owner_id": user["id"]}
    for reply in (
        org.admin.post(OPPORTUNITIES, body),
        org.admin.patch(path_of(record), {"owner_id": user["id"]}),
        org.admin.put(path_of(record), body),
        org.admin.patch(path_of(record), {"owner_id": user["id"], "stage": "proposal"}),
    ):
        wrong = errors(reply)
        assert set(wrong) == {"owner_id"}
        assert user["id"] in wrong["owner_id"]
    # What they have they keep.
    assert made(org.admin.put(path_of(had), {**body, "name": "B"}), 200)["owner"]["id"] == user["id"]
    assert org.admin.delete(path_of(had)).status == 204
    assert made(org.admin.post(f"{path_of(had)}restore/"), 200)["owner"]["id"] == user["id"]


def test_tags_and_stakeholders_are_kept_once_in_their_order(org: Org) -> None:
    jane, omar = org.contact("Jane"), org.contact("Omar")
    record = org.opportunity(tags=["b", "a", "b"], stakeholder_ids=[omar["id"], jane["id"], omar["id"]])
    assert record["tags"] == ["b", "a"]
    assert [person["first_name"] for person in record["stakeholders"]] == ["Omar", "Jane"]


# PATCH


def test_patch_changes_only_the_keys_sent(org: Org) -> None:
    before = org.opportunity(amount="10", close_date="2026-06-30", tags=["a"], custom_fields={"x": 1})
    reply = org.admin.patch(path_of(before), {"name": "Renamed"})
    after = made(reply, 200)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"name", "version", "updated_at"}
    assert reply.headers["etag"].startswith('"2.')
    assert org.read(before) == after


def test_patch_clears_with_null(org: Org) -> None:
    contact = org.contact()
    record = org.opportunity(
        amount="10", close_date="2026-06-30", tags=["a"], stakeholder_ids=[contact["id"]], custom_fields={"x": 1}
    )
    cleared = made(
        org.admin.patch(
            path_of(record),
            dict.fromkeys(("amount", "close_date", "tags", "stakeholder_ids", "custom_fields", "probability")),
        ),
        200,
    )
    assert (cleared["amount"], cleared["close_date"]) == (None, None)
    assert (cleared["tags"], cleared["stakeholders"], cleared["custom_fields"]) == ([], [], {})


@pytest.mark.parametrize("name", ["name", "account_id", "stage", "owner_id", "currency"])
def test_what_a_deal_cannot_be_without_cannot_be_cleared(org: Org, name: str) -> None:
    assert set(errors(org.admin.patch(path_of(org.opportunity()), {name: None}))) == {name}


def test_patch_merges_custom_fields_and_replaces_lists(org: Org) -> None:
    jane, omar = org.contact("Jane"), org.contact("Omar")
    record = org.opportunity(tags=["a", "b"], stakeholder_ids=[jane["id"]], custom_fields={"a": 1, "b": 2})
    body = {"tags": ["c"], "stakeholder_ids": [omar["id"]], "custom_fields": {"b": None, "c": 3}}
    after = made(org.admin.patch(path_of(record), body), 200)
    assert (after["tags"], after["custom_fields"]) == (["c"], {"a": 1, "c": 3})
    assert [person["id"] for person in after["stakeholders"]] == [omar["id"]]


def test_a_next_step_is_set_changed_and_cleared_by_every_write_and_kept_in_history(org: Org) -> None:
    record = org.opportunity(next_step=" Call Jane ")
    assert record["next_step"] == org.listed()["results"][0]["next_step"] == "Call Jane"
    assert made(org.admin.patch(path_of(record), {"next_step": "Send the offer"}), 200)["next_step"] == "Send the offer"
    assert org.moved(record, stage="proposal", next_step="Negotiate")["next_step"] == "Negotiate"
    assert made(org.admin.patch(path_of(record), {"name": "B"}), 200)["next_step"] == "Negotiate"
    assert made(org.admin.put(path_of(record), {"name": "B", "account_id": record["account"]["id"]}), 200)["next_step"] is None
    steps = [entry["changes"].get("next_step") for entry in org.history(record)]
    assert steps == [
        [None, "Call Jane"],
        ["Call Jane", "Send the offer"],
        ["Send the offer", "Negotiate"],
        None,
        ["Negotiate", None],
    ]


def test_an_amount_must_be_possible_in_a_new_currency(org: Org) -> None:
    record = org.opportunity(amount="10.50")
    assert "currency" in errors(org.admin.patch(path_of(record), {"currency": "JPY"}))
    after = made(org.admin.patch(path_of(record), {"currency": "JPY", "amount": 1050}), 200)
    assert (after["currency"], after["amount"]) == ("JPY", "1050")


def test_a_write_that_changes_nothing_appends_nothing(org: Org) -> None:
    record = org.opportunity(amount="10", tags=["a"], custom_fields={"n": 1})
    same = {"name": record["name"], "amount": 10.0, "currency": "usd", "tags": ["a"], "custom_fields": {"n": 1}}
    for reply in (
        org.admin.patch(path_of(record), {}),
        org.admin.patch(path_of(record), same),
        org.admin.post(f"{path_of(record)}transition/", {"stage": "discovery"}),
        org.admin.post(f"{path_of(record)}restore/"),
    ):
        assert made(reply, 200) == record
        assert reply.headers["etag"].startswith('"1.')
    assert len(org.history(record)) == 1


def test_read_only_keys_are_ignored_and_unknown_ones_named_with_the_nearest(org: Org) -> None:
    record = org.opportunity()
    read_only = {
        "id": NOBODY, "account": {}, "owner": 5, "stakeholders": "x", "created_at": 1, "updated_at": None, "version": 99,
        "status": "won", "activities": [], "activities_url": "", "custom_field_definitions": [],
        "probability_source": "x", "stage_entered_at": 0, "closed_at": "x", "lost_reason_code": "price",
    }  # fmt: skip
    assert made(org.admin.patch(path_of(record), read_only), 200) == record
    assert made(org.admin.post(OPPORTUNITIES, {**read_only, "name": "A", "account_id": record["account"]["id"]}))
    wrong = errors(org.admin.patch(path_of(record), {"amout": 5, "zzzzzz": 1, "close_dat": None}))
    assert set(wrong) == {"amout", "zzzzzz", "close_dat"}
    assert "amount" in wrong["amout"]
    assert "close_date" in wrong["close_dat"]


def test_a_record_that_was_read_can_be_sent_back(org: Org) -> None:
    contact = org.contact()
    record = org.won(amount="10", stakeholder_ids=[contact["id"]], tags=["a"], custom_fields={"x": {"y": [1]}})
    same = {**record, "account_id": record["account"]["id"], "stakeholder_ids": [contact["id"]]}
    assert made(org.admin.patch(path_of(record), same), 200) == record
    assert made(org.admin.put(path_of(record), same), 200) == record


def test_everything_wrong_is_told_at_once(org: Org) -> None:
    body = {"name": " ", "account_id": 5, "amount": "x", "close_date": "2026-13-01", "tags": "a", "probability": "high"}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == set(body) - {"name"}
    body = {
        "name": " ",
        "account_id": NOBODY,
        "amount": "1.001",
        "close_date": "0001-01-01",
        "currency": "XYZ",
        "probability": 101,
    }
    wrong = errors(org.admin.post(OPPORTUNITIES, body))
    assert {"name", "account_id", "close_date", "currency", "probability"} <= set(wrong)


# PUT


def test_put_needs_the_required_fields(org: Org) -> None:
    assert set(errors(org.admin.put(path_of(org.opportunity()), {"amount": 5}))) == {"name", "account_id"}


def test_put_clears_omitted_fields_but_keeps_stage_owner_and_probability(org: Org) -> None:
    contact, user = org.contact(), org.user()
    record = org.opportunity(
        amount="10", close_date="2026-06-30", tags=["a"], stakeholder_ids=[contact["id"]], custom_fields={"x": 1},
        stage="proposal", owner_id=user["id"], probability=33,
    )  # fmt: skip
    after = made(org.admin.put(path_of(record), {"name": "B", "account_id": record["account"]["id"]}), 200)
    assert (after["amount"], after["close_date"], after["tags"]) == (None, None, [])
    assert (after["stakeholders"], after["custom_fields"]) == ([], {})
    assert (after["stage"], after["owner"]["id"], after["probability"]) == ("proposal", user["id"], 33)
    assert (after["probability_source"], after["version"]) == ("manual", 2)


def test_put_does_not_create(org: Org) -> None:
    body = {"name": "A", "account_id": org.account()["id"]}
    refused(org.admin.put(f"{OPPORTUNITIES}{NOBODY}/", body), 404)


# DELETE and restore


def test_a_deleted_deal_is_gone_everywhere_but_in_the_log(org: Org) -> None:
    record = org.opportunity(amount="10", close_date="2026-06-30")
    reply = org.admin.delete(path_of(record))
    assert (reply.status, reply.body) == (204, b"")
    for gone in (
        org.admin.get(path_of(record)),
        org.admin.patch(path_of(record), {"name": "B"}),
        org.admin.put(path_of(record), {"name": "B", "account_id": record["account"]["id"]}),
        org.admin.delete(path_of(record)),
        org.admin.post(f"{path_of(record)}transition/", {"stage": "proposal"}),
        org.admin.get(f"{path_of(record)}transitions/"),
        org.admin.get(f"{path_of(record)}activities/"),
        org.admin.post(f"{path_of(record)}activities/", {"type": "note", "subject": "x"}),
    ):
        refused(gone, 404)
    assert org.listed()["count"] == 0
    assert org.history(record)[-1]["type"] == "opportunity.deleted"
    assert org.listed("limit=500", "/api/events/")["results"][-1]["type"] == "opportunity.deleted"


def test_restore_brings_it_back_as_it_was(org: Org) -> None:
    record = org.opportunity(amount="10", tags=["a"])
    org.admin.delete(path_of(record))
    reply = org.admin.post(f"{path_of(record)}restore/")
    restored = made(reply, 200)
    assert {name for name in record if record[name] != restored[name]} == {"version", "updated_at"}
    assert reply.headers["etag"].startswith('"3.')
    assert org.listed()["count"] == 1
    assert [entry["type"].partition(".")[2] for entry in org.history(record)] == ["created", "deleted", "restored"]


def test_what_is_not_there_cannot_be_restored(org: Org) -> None:
    refused(org.admin.post(f"{OPPORTUNITIES}{NOBODY}/restore/"), 404)
