"""What a token is worth: its user's role or less, what may be issued with it, and what ends with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.writing.committer import Committer
from app.writing.provisioning import issue_token
from domain.permissions import ROLES, Role
from tests.support.scenarios import OPPORTUNITIES, Json, Org, made, refused
from tests.support.server import Client

PATH = "/api/tokens/"
ME = "/api/users/me/"
WEBHOOK: Json = {"url": "https://1.1.1.1/hooks", "events": ["opportunity.won"]}


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


def issued(client: Client, **fields: Any) -> Json:
    return made(client.post(PATH, {"name": "further", **fields}))


def capped(org: Org, role: Role) -> Client:
    """An admin's client whose token is worth a role."""
    return org.with_token(issued(org.admin, role=role)["token"])


def good(org: Org, *tokens: Json) -> list[bool]:
    return [org.with_token(token["token"]).get(ME).status == 200 for token in tokens]


# Its role


def test_a_token_is_worth_no_more_than_its_role_wherever_roles_count(org: Org) -> None:
    deal = org.opportunity()
    client = capped(org, "read_only")
    assert client.get(OPPORTUNITIES).status == 200
    refused(client.patch(f"{OPPORTUNITIES}{deal['id']}/", {"name": "B"}), 403)
    refused(client.post("/api/accounts/", {"name": "B"}), 403)
    for path in ("/api/webhooks/",):
        refused(client.get(path), 403)
    refused(client.post("/api/webhooks/", WEBHOOK), 403)
    feed = made(client.get("/api/events/?limit=500"), 200)["results"]
    assert {event["type"] for event in feed}.isdisjoint({"token.issued", "webhook_endpoint.created"})
    assert {token["user_id"] for token in made(client.get(PATH), 200)["results"]} == {org.admin_id}
    made(capped(org, "manager").patch(f"{OPPORTUNITIES}{deal['id']}/", {"name": "B"}), 200)
    refused(capped(org, "manager").post("/api/users/", {"email": "x@yours.com", "name": "X"}), 403)


def test_a_role_beyond_the_users_gives_nothing(org: Org) -> None:
    user = org.user("rep")
    client = org.with_token(issued(org.admin, user_id=user["id"], role="admin")["token"])
    refused(client.get("/api/webhooks/"), 403)
    refused(client.post("/api/webhooks/", WEBHOOK), 403)


def test_the_role_is_shown_in_lists_and_to_whoever_asks_who_they_are(org: Org) -> None:
    token = issued(org.admin, role="read_only")
    assert (token["role"], org.listed("search=further", PATH)["results"][0]["role"]) == ("read_only", "read_only")
    me = made(org.with_token(token["token"]).get(ME), 200)
    shown = {"id": token["id"], "role": "read_only", "effective_role": "read_only", "expires_at": None}
    assert (me["role"], me["token"]) == ("admin", shown)
    mine = made(org.admin.get(ME), 200)["token"]
    assert (mine["role"], mine["effective_role"]) == (None, "admin")
    assert token["issued_with"] == mine["id"]


def test_a_role_that_there_is_not_is_refused(org: Org) -> None:
    assert "role" in refused(org.admin.post(PATH, {"name": "x", "role": "boss"}))["errors"]


# What may be issued with it


@pytest.mark.parametrize("role", ["rep", "manager"])
def test_nobody_but_an_admin_makes_an_hour_last_for_ever(org: Org, role: Role) -> None:
    user = org.user(role)
    hour = issued(org.admin, user_id=user["id"], expires_at=soon(hours=1))
    client = org.with_token(hour["token"])
    refused(client.post(PATH, {"name": "x", "expires_at": soon(hours=2)}), 403)
    assert issued(client)["expires_at"] == hour["expires_at"]
    assert issued(client, expires_at=soon(minutes=5))["expires_at"] < hour["expires_at"]
    refused(client.post(PATH, {"name": "x", "user_id": org.admin_id}), 403)


def test_nobody_makes_more_of_a_role(org: Org) -> None:
    for n, role in enumerate(ROLES[1:-1], start=1):
        client = capped(org, role)
        for stronger in ROLES[n + 1 :]:
            refused(client.post(PATH, {"name": "x", "role": stronger}), 403)
        assert issued(client)["role"] == role
        assert issued(client, role="read_only")["role"] == "read_only"


def test_with_read_only_nothing_is_issued(org: Org) -> None:
    for client in (capped(org, "read_only"), org.client(org.user("read_only"))):
        refused(client.post(PATH, {"name": "x"}), 403)


def test_an_admin_issues_without_limits(org: Org) -> None:
    client = org.with_token(issued(org.admin, expires_at=soon(hours=1))["token"])
    assert issued(client)["expires_at"] is None


# What ends with it


def test_with_a_token_end_those_issued_with_it_and_with_those(org: Org) -> None:
    user = org.user("rep")
    other = issued(org.admin, user_id=user["id"])
    first = issued(org.admin, user_id=user["id"])
    second = issued(org.with_token(first["token"]))
    third = issued(org.with_token(second["token"]))
    assert org.admin.delete(f"{PATH}{first['id']}/").status == 204
    assert good(org, first, second, third, other) == [False, False, False, True]
    listed = {token["id"]: token["revoked"] for token in org.listed(f"user={user['id']}", PATH)["results"]}
    assert listed == {first["id"]: True, second["id"]: True, third["id"]: True, other["id"]: False}


def test_the_token_that_revokes_the_one_it_came_from_stays(org: Org) -> None:
    old = issued(org.admin)
    new, spare = (issued(org.with_token(old["token"])) for _ in range(2))
    assert org.with_token(new["token"]).delete(f"{PATH}{old['id']}/").status == 204
    assert good(org, old, new, spare) == [False, True, False]


def test_the_last_token_of_an_admin_cannot_be_revoked(org: Org) -> None:
    mine = made(org.admin.get(ME), 200)["token"]["id"]
    org.user("admin")
    issued(org.admin, role="read_only")
    with_it = issued(org.admin)
    problem = refused(org.admin.delete(f"{PATH}{mine}/"), 409)
    assert problem["code"] == "last_admin_token"
    assert "create another one" in problem["detail"]
    assert good(org, with_it) == [True]
    assert org.with_token(with_it["token"]).delete(f"{PATH}{mine}/").status == 204
    refused(org.admin.get(ME), 401)


def test_a_weak_token_revokes_no_stronger_one(org: Org) -> None:
    strong, weak = issued(org.admin), issued(org.admin, role="read_only")
    client = org.with_token(weak["token"])
    refused(client.delete(f"{PATH}{strong['id']}/"), 403)
    assert client.delete(f"{PATH}{weak['id']}/").status == 204


@pytest.mark.parametrize("change", [{"role": "manager"}, {"active": False}])
def test_an_admin_steps_down_only_where_another_one_has_a_token(org: Org, change: Json) -> None:
    other = org.user("admin")
    path = f"/api/users/{org.admin_id}/"
    assert refused(org.admin.patch(path, change), 409)["code"] == "last_admin_token"
    issued(org.admin, user_id=other["id"], role="manager")
    refused(org.admin.patch(path, change), 409)
    org.client(other)
    made(org.admin.patch(path, change), 200)


def test_of_two_admins_who_revoke_their_last_tokens_at_once_one_stays(org: Org, committer: Committer) -> None:
    other = org.user("admin")
    _, secret = issue_token(committer, UUID(org.id), UUID(other["id"]), "by the operator")
    clients = [org.admin, org.with_token(secret)]
    ids = [made(client.get(ME), 200)["token"]["id"] for client in clients]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(client.delete, f"{PATH}{id_}/") for client, id_ in zip(clients, ids, strict=True)]
        statuses = sorted(future.result().status for future in futures)
    assert statuses == [204, 409]
    assert sorted(client.get(ME).status for client in clients) == [200, 401]
