"""Many operations in one call: each by the rules of its single request, with its own result, or all of them or none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused
from tests.support.server import Client, Reply

ACCOUNTS, CONTACTS = "/api/accounts/", "/api/contacts/"
UNKNOWN = "00000000-0000-7000-8000-000000000999"


def send(client: Client, *operations: Json, mode: str = "independent", path: str = OPPORTUNITIES, **headers: str) -> Reply:
    return client.post(f"{path}bulk/", {"mode": mode, "operations": list(operations)}, **headers)


def done(client: Client, *operations: Json, **more: Any) -> list[Json]:
    answer = made(send(client, *operations, **more), 200)
    results: list[Json] = answer["results"]
    assert [result["index"] for result in results] == list(range(len(operations)))
    assert sum(answer["counts"].values()) == len(operations)
    return results


def statuses(results: list[Json]) -> list[int]:
    return [result["status"] for result in results]


def create(org: Org, name: str = "Annual", **fields: Any) -> Json:
    return {"op": "create", "data": {"name": name, "account_id": org.account()["id"], **fields}}


def deals(org: Org) -> list[Json]:
    found: list[Json] = made(org.admin.get(f"{OPPORTUNITIES}?ordering=created_at"), 200)["results"]
    return found


def test_every_operation_is_done_as_its_single_request(org: Org) -> None:
    acme = org.account(external_id="A")
    old = org.opportunity(name="Old", external_id="O", account_id=acme["id"])
    gone = org.opportunity(name="Gone", external_id="G")
    assert org.admin.delete(f"{OPPORTUNITIES}{gone['id']}/").status == 204
    won = {"stage": "won", "actual_amount": "5", "actual_close_date": "2026-01-01", "comment": " by phone "}
    results = done(
        org.admin,
        {"op": "create", "ref": "new", "data": {"name": "New", "account_external_id": "A", "external_id": "N"}},
        {"op": "update", "id": old["id"], "if_version": 1, "data": {"name": "Newer"}},
        {"op": "upsert", "external_id": "U", "ref": "up", "data": {"name": "Up", "account_external_id": "A"}},
        {"op": "upsert", "external_id": "U", "data": {"name": "Upper", "account_external_id": "A"}},
        {"op": "transition", "ref": "new", "data": won},
        {"op": "restore", "id": gone["id"]},
        {"op": "delete", "external_id": "O"},
        {"op": "restore", "external_id": "O"},
        {"op": "update", "ref": 2, "data": {"name": "Upper"}},
    )
    assert statuses(results) == [201, 200, 201, 200, 200, 200, 204, 200, 200]
    assert results[2]["id"] == results[3]["id"] == results[8]["id"]
    assert [results[0]["version"], results[4]["version"], results[8]["version"]] == [1, 2, 2]
    by_name = {deal["name"]: deal for deal in deals(org)}
    assert set(by_name) == {"New", "Newer", "Upper", "Gone"}
    assert (by_name["New"]["status"], by_name["New"]["actual_amount"]) == ("won", "5.00")
    assert [entry["comment"] for entry in org.history(by_name["New"])][-1] == "by phone"
    counts = made(send(org.admin, {"op": "update", "ref": 0, "data": {}}, create(org)), 200)["counts"]
    assert counts == {"created": 1, "changed": 0, "unchanged": 0, "failed": 1}


def test_each_refusal_says_what_its_single_request_would(org: Org) -> None:
    old = org.opportunity(external_id="O")
    results = done(
        org.admin,
        {"op": "create", "data": {"nmae": "A", "amount": "1.234"}},
        {"op": "update", "id": UNKNOWN, "data": {"name": "B"}},
        {"op": "update", "id": old["id"], "if_version": 7, "data": {"name": "B"}},
        {"op": "transition", "id": old["id"], "data": {"stage": "won"}},
        create(org, external_id="O"),
        {"op": "explode"},
        {"op": "update", "id": "no", "data": {"name": "B"}},
        {"op": "update", "data": {"name": "B"}},
        {"op": "update", "ref": "nobody", "data": {"name": "B"}},
        {"op": "update", "ref": 0, "data": {"name": "B"}},
        {"op": "update", "ref": 11, "data": {"name": "B"}},
        {"op": "delete", "external_id": "nobody"},
        {"op": "delete", "id": old["id"], "data": {"name": "B"}},
        {"op": "create", "id": UNKNOWN, "data": {"name": "\u0000"}, "extra": 1},
        {"op": "create", "external_id": "X", "data": {"name": "A", "account_id": UNKNOWN}},
        {"op": "upsert", "external_id": "X", "data": {"name": "A", "account_id": UNKNOWN, "external_id": "Y"}},
        {"op": "upsert", "data": {"name": "A"}},
        {"op": "upsert", "external_id": "a\nb", "if_version": 1, "data": {"name": "A", "account_id": UNKNOWN}},
        {"op": "upsert", "external_id": "Z", "if_version": 1, "data": {"name": "A", "account_id": UNKNOWN}},
        {"op": "create", "ref": "", "data": {"name": "A", "account_id": UNKNOWN}},
    )
    assert statuses(results) == [400, 404, 412, 400, 409, 400, 400, 400, 400, 409, 400, 404, 400, 400, 400, 400, 400, 400, 412, 400]
    said = [set(result.get("errors", {})) for result in results]
    assert said[0] == {"nmae", "name", "account_id"}
    assert said[3] == {"actual_amount", "actual_close_date"}
    assert (results[4]["code"], results[9]["code"]) == ("external_id_taken", "ref_failed")
    assert [said[n] for n in (5, 6, 7, 8, 10)] == [{"op"}, {"id"}, {"id"}, {"ref"}, {"ref"}]
    assert [said[n] for n in (12, 14, 15, 16, 17, 19)] == [
        {"name"}, {"external_id"}, {"external_id"}, {"external_id"}, {"external_id"}, {"ref"},
    ]  # fmt: skip
    assert said[13] == {"extra", "data.name"}
    assert all(result["code"] and result["detail"] for result in results)
    (left,) = deals(org)
    assert left["version"] == 1


def test_an_atomic_call_with_failures_lists_all_of_them_and_does_nothing(org: Org) -> None:
    old = org.opportunity(external_id="O")
    events = made(org.admin.get("/api/events/?limit=200"), 200)["results"]
    account_id = org.account()["id"]
    before = made(org.admin.get("/api/events/?limit=200"), 200)["results"]
    assert len(before) == len(events) + 1
    new = {"op": "create", "ref": "new", "data": {"name": "A", "account_id": account_id, "external_id": "N"}}
    problem = refused(
        send(
            org.admin,
            new,
            {"op": "update", "ref": "new", "data": {"name": "B"}},
            {"op": "delete", "id": old["id"]},
            {"op": "update", "id": old["id"], "data": {"name": "B"}},
            {"op": "create", "data": {}},
            mode="atomic",
        ),
        409,
    )
    assert (problem["code"], problem["counts"]["failed"]) == ("bulk_failed", 2)
    assert [(failure["index"], failure["status"]) for failure in problem["results"]] == [(3, 404), (4, 400)]
    assert made(org.admin.get("/api/events/?limit=200"), 200)["results"] == before
    assert statuses(done(org.admin, new, {"op": "delete", "id": old["id"]}, mode="atomic")) == [201, 204]
    assert [deal["external_id"] for deal in deals(org)] == ["N"]


@pytest.mark.parametrize("mode", ["atomic", "independent"])
def test_one_key_covers_the_call(org: Org, mode: str) -> None:
    operations = [create(org, "A"), create(org, "B")]
    first = send(org.admin, *operations, mode=mode, Idempotency_Key="once")
    again = send(org.admin, *operations, mode=mode, Idempotency_Key="once")
    assert (again.status, again.headers["idempotent-replayed"], again.body) == (200, "true", first.body)
    assert len(deals(org)) == 2
    assert refused(send(org.admin, operations[0], mode=mode, Idempotency_Key="once"), 422)["code"] == "idempotency_key_reused"
    refusal = send(org.admin, {"op": "create", "data": {}}, mode=mode, Idempotency_Key="twice")
    assert "idempotent-replayed" not in refusal.headers
    repeated = send(org.admin, {"op": "create", "data": {}}, mode=mode, Idempotency_Key="twice")
    assert (repeated.status, "idempotent-replayed" in repeated.headers) == ((409, False) if mode == "atomic" else (200, True))


def test_a_role_counts_for_each_operation(org: Org) -> None:
    rep = org.user(email="rep@yours.com")
    client, theirs = org.client(rep), org.opportunity()
    results = done(client, create(org), {"op": "update", "id": theirs["id"], "data": {"name": "B"}})
    assert statuses(results) == [201, 403]
    account = org.account()
    assert statuses(done(client, {"op": "delete", "id": account["id"]}, path=ACCOUNTS)) == [403]
    assert refused(send(org.client(org.user("read_only")), create(org)), 403)["code"] == "forbidden"


def test_accounts_and_contacts_in_bulk(org: Org) -> None:
    used = org.account()
    org.opportunity(account_id=used["id"])
    results = done(
        org.admin,
        {"op": "create", "ref": "a", "data": {"name": "A"}},
        {"op": "upsert", "external_id": "X", "data": {"name": "B", "domain": "b.example"}},
        {"op": "upsert", "external_id": "X", "data": {"name": "B"}},
        {"op": "delete", "id": used["id"]},
        {"op": "delete", "ref": "a"},
        {"op": "restore", "ref": "a"},
        path=ACCOUNTS,
    )
    assert statuses(results) == [201, 201, 200, 409, 204, 400]
    assert results[3]["code"] == "in_use"
    results = done(
        org.admin,
        {"op": "create", "data": {"first_name": "J", "last_name": "D", "account_external_id": "X", "external_id": "C"}},
        {"op": "update", "external_id": "C", "data": {"phone": "1"}},
        {"op": "delete", "external_id": "C"},
        path=CONTACTS,
    )
    assert statuses(results) == [201, 200, 204]


def test_a_call_has_from_1_to_500_operations_and_a_mode(org: Org) -> None:
    one = {"op": "delete", "id": UNKNOWN}
    assert statuses(done(org.admin, *[one] * 500)) == [404] * 500
    assert set(errors(send(org.admin, *[one] * 501))) == {"operations"}
    assert set(errors(send(org.admin))) == {"operations"}
    assert set(errors(org.admin.post(f"{OPPORTUNITIES}bulk/", {"mdoe": "atomic"}))) == {"mdoe", "mode", "operations"}
    assert set(errors(send(org.admin, one, mode="both"))) == {"mode"}
    assert set(errors(org.admin.post(f"{OPPORTUNITIES}bulk/", {"mode": "independent", "operations": [one, 1]}))) == {"operations.1"}
    assert refused(org.admin.post(f"{OPPORTUNITIES}bulk/", b"[1"), 400)["code"] == "malformed_body"


def test_another_org_is_out_of_reach(org: Org, other_org: Org) -> None:
    deal, account = org.opportunity(external_id="X"), org.account(external_id="A")
    results = done(
        other_org.admin,
        {"op": "update", "id": deal["id"], "data": {"name": "B"}},
        {"op": "update", "external_id": "X", "data": {"name": "B"}},
        {"op": "create", "data": {"name": "B", "account_id": account["id"]}},
        {"op": "create", "data": {"name": "B", "account_external_id": "A"}},
    )
    assert statuses(results) == [404, 404, 400, 400]
