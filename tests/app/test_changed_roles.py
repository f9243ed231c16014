"""What an answer depends on is the role at the moment of reading: a demoted admin is shown nothing once more."""

from __future__ import annotations

from typing import Any

import pytest

from app.routes import ROUTES
from domain.permissions import Role
from tests.support.scenarios import Org, made
from tests.support.server import Client, Reply

HOOK = {"url": "https://hooks.example.com/x", "events": ["opportunity.won"]}


def everything(org: Org) -> dict[str, str]:
    """A path to read for each route of the API that can be read, by route."""
    deal = org.opportunity(amount="100")
    hook = made(org.admin.post("/api/webhooks/", HOOK))
    delivery = made(org.admin.post(f"/api/webhooks/{hook['id']}/test/"), 202)
    org.custom_field("seats", "number")
    made(org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}), 200)
    ids = {"webhooks": hook["id"], "accounts": deal["account"]["id"], "users": org.admin_id, "contacts": org.contact()["id"]}
    paths = {}
    for handler in ROUTES:
        for path in handler.paths:
            if path.startswith("/api/") and "GET" in handler.http_methods:
                kind = path.split("/")[2]
                id_ = delivery["id"] if "/deliveries/" in path else ids.get(kind, deal["id"])
                paths[path] = path.replace("{id:uuid}", id_) + "/"
    for path in ("/api/opportunities/forecast/changes", "/api/opportunities/forecast/changes/opportunities"):
        paths[path] += "?from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z"
    return paths


def seen(reply: Reply) -> tuple[int, Any]:
    """All of an answer but the id of its request."""
    told = reply.json() if "json" in reply.headers["content-type"] else reply.body
    if isinstance(told, dict):
        told.pop("request_id", None)
    return reply.status, told


@pytest.mark.parametrize(("earlier", "later"), [("admin", "read_only"), ("read_only", "admin")])
def test_the_first_answer_after_a_change_of_role_is_that_of_the_new_role(org: Org, earlier: Role, later: Role) -> None:
    paths = everything(org)
    somebody = org.user(earlier)
    theirs = org.client(somebody)
    differing = set()
    for route, path in paths.items():
        before = seen(theirs.get(path))
        become(org, somebody, later)
        first = seen(theirs.get(path))
        assert first == seen(theirs.get(path)), path
        if first != before:
            differing.add(route)
        become(org, somebody, earlier)
    assert {"/api/events", "/api/webhooks", "/api/tokens", "/api/webhooks/{id:uuid}"} <= differing


def become(org: Org, user: dict[str, Any], role: Role) -> None:
    made(org.admin.patch(f"/api/users/{user['id']}/", {"role": role}), 200)


def test_a_demoted_admin_sees_no_more_of_tokens_and_webhooks_in_the_feed(org: Org) -> None:
    user = org.user("admin")
    theirs = org.client(user)
    made(org.admin.post("/api/webhooks/", HOOK))
    assert kinds(theirs) >= {"token", "webhook_endpoint"}
    become(org, user, "read_only")
    assert kinds(theirs).isdisjoint({"token", "webhook_endpoint"})


def kinds(client: Client) -> set[str]:
    return {entry["type"].partition(".")[0] for entry in made(client.get("/api/events/?limit=500"), 200)["results"]}
