"""Who may not do a thing learns nothing of what it would have come to: no earlier answer, no version, no record of another org."""

from __future__ import annotations

import pytest

from domain.permissions import Role
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused
from tests.support.server import Client

HOOK: Json = {"url": "https://1.1.1.1/hooks", "events": ["opportunity.won"]}
NOBODY = "00000000-0000-7000-8000-000000000999"


def demote(org: Org, user: Json, role: Role) -> None:
    made(org.admin.patch(f"/api/users/{user['id']}/", {"role": role}), 200)


def test_a_repeated_request_is_answered_to_whoever_may_do_it_now(org: Org) -> None:
    user = org.user("admin")
    client = org.client(user)
    account = org.account()["id"]
    deal = org.opportunity(by=client)
    hook = made(org.admin.post("/api/webhooks/", HOOK))
    asked: list[tuple[str, Json | None]] = [
        ("/api/webhooks/", HOOK),
        (f"/api/webhooks/{hook['id']}/rotate-secret/", None),
        (f"/api/webhooks/{hook['id']}/test/", None),
        ("/api/tokens/", {"name": "x"}),
        ("/api/users/", {"email": "new@yours.com", "name": "New"}),
        ("/api/custom-fields/", {"key": "tier", "label": "Tier", "type": "text"}),
        ("/api/accounts/", {"name": "B"}),
        ("/api/contacts/", {"first_name": "A", "last_name": "B"}),
        (OPPORTUNITIES, {"name": "B", "account_id": account}),
        (f"{OPPORTUNITIES}{deal['id']}/transition/", {"stage": "proposal"}),
        (f"{OPPORTUNITIES}{deal['id']}/activities/", {"type": "note", "subject": "x"}),
    ]
    first = [client.post(path, body, Idempotency_Key=f"k{n}") for n, (path, body) in enumerate(asked)]
    assert all(reply.status < 300 for reply in first)
    again = [client.post(path, body, Idempotency_Key=f"k{n}") for n, (path, body) in enumerate(asked)]
    assert all(reply.headers["idempotent-replayed"] == "true" for reply in again)
    assert org.admin.delete(f"/api/webhooks/{hook['id']}/").status == 204
    demote(org, user, "read_only")
    for n, (path, body) in enumerate(asked):
        refused(client.post(path, body, Idempotency_Key=f"k{n}"), 403)


def test_a_deal_given_away_is_not_shown_to_the_repeated_request_of_its_former_owner(org: Org) -> None:
    rep = org.client(org.user("rep"))
    deal = org.opportunity(by=rep)
    path = f"{OPPORTUNITIES}{deal['id']}/transition/"
    made(rep.post(path, {"stage": "proposal"}, Idempotency_Key="k"), 200)
    made(org.admin.patch(f"{OPPORTUNITIES}{deal['id']}/", {"owner_id": org.admin_id}), 200)
    refused(rep.post(path, {"stage": "proposal"}, Idempotency_Key="k"), 403)


def test_no_answer_to_a_repeated_request_has_a_secret(org: Org) -> None:
    hook = made(org.admin.post("/api/webhooks/", HOOK, Idempotency_Key="a"))
    token = made(org.admin.post("/api/tokens/", {"name": "x"}, Idempotency_Key="b"))
    assert hook["secret"]
    assert token["token"]
    assert made(org.admin.post("/api/webhooks/", HOOK, Idempotency_Key="a"))["secret"] is None
    assert made(org.admin.post("/api/tokens/", {"name": "x"}, Idempotency_Key="b"))["token"] is None
    rotate = f"/api/webhooks/{hook['id']}/rotate-secret/"
    assert made(org.admin.post(rotate, Idempotency_Key="c"), 200)["secret"]
    assert made(org.admin.post(rotate, Idempotency_Key="c"), 200)["secret"] is None


def writes(org: Org) -> list[tuple[str, str, Json | None]]:
    """One of every write that heeds ``If-Match``."""
    deal = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    account, contact = f"/api/accounts/{org.account()['id']}/", f"/api/contacts/{org.contact()['id']}/"
    hook = f"/api/webhooks/{made(org.admin.post('/api/webhooks/', HOOK))['id']}/"
    token = made(org.admin.post("/api/tokens/", {"name": "x"}))
    org.custom_field("tier", "text")
    return [
        ("PATCH", deal, {"name": "B"}),
        ("PUT", deal, {"name": "B", "account_id": NOBODY}),
        ("DELETE", deal, None),
        ("POST", f"{deal}transition/", {"stage": "proposal"}),
        ("POST", f"{deal}restore/", None),
        ("PATCH", account, {"name": "B"}),
        ("DELETE", account, None),
        ("PATCH", contact, {"title": "B"}),
        ("DELETE", contact, None),
        ("PATCH", hook, {"description": "B"}),
        ("DELETE", hook, None),
        ("POST", f"{hook}rotate-secret/", None),
        ("DELETE", f"/api/tokens/{token['id']}/", None),
        ("PATCH", f"/api/users/{org.admin_id}/", {"name": "B"}),
        ("PATCH", "/api/custom-fields/tier/", {"label": "B"}),
        ("PATCH", "/api/organization/", {"name": "B"}),
        ("PUT", "/api/pipeline/", {"stages": []}),
    ]


def statuses(client: Client, asked: list[tuple[str, str, Json | None]]) -> dict[str, int]:
    return {f"{method} {path}": client.request(method, path, body, If_Match='"77"').status for method, path, body in asked}


def test_permission_comes_before_the_version(org: Org) -> None:
    asked = writes(org)
    assert set(statuses(org.client(org.user("read_only")), asked).values()) == {403}
    version_first = {name for name, status in statuses(org.admin, asked).items() if status not in (412, 400)}
    assert version_first == set()


@pytest.mark.parametrize("role", ["admin", "read_only"])
def test_what_is_another_orgs_is_as_if_it_were_not(org: Org, other_org: Org, role: Role) -> None:
    """Whatever ``If-Match`` says, the answer is that about a record that never was."""
    spy = other_org.client(other_org.user(role))
    for method, path, body in writes(org):
        parts = path.split("/")
        if len(parts) < 5 or parts[2] == "custom-fields":
            continue
        nowhere = "/".join([*parts[:3], NOBODY, *parts[4:]])
        for headers in ({}, {"If_Match": '"77"'}):
            replies = [spy.request(method, each, body, **headers) for each in (path, nowhere)]
            assert replies[0].status in (403, 404), (method, path)
            assert replies[0].status == replies[1].status, (method, path)
            assert "version" not in replies[0].json()


MALFORMED = b"{" + b'"x":[' * 50_000


def test_the_role_is_looked_at_before_the_body(org: Org) -> None:
    """Whatever a body that nobody may send is, even no JSON at all, is not read."""
    hook = f"/api/webhooks/{made(org.admin.post('/api/webhooks/', HOOK))['id']}/"
    bodiless = {("POST", f"{hook}{verb}/") for verb in ("test", "replay", "rotate-secret")}
    asked = {(method, path) for method, path, _ in writes(org) if "/tokens/" not in path} | bodiless
    asked |= {("POST", f"/api/{name}/") for name in ("opportunities", "accounts", "contacts", "users", "tokens", "custom-fields")}
    asked |= {
        ("POST", "/api/webhooks/"),
        ("PUT", "/api/exchange-rates/"),
        ("POST", f"/api/webhooks/deliveries/{NOBODY}/redeliver/"),
    }
    asked |= {("POST", f"{OPPORTUNITIES}{org.opportunity()['id']}/activities/")}
    reader = org.client(org.user("read_only"))
    for method, path in asked:
        for query in ("", "?x=1"):
            refused(reader.request(method, path + query, MALFORMED, Content_Type="text/plain"), 403)
    rep = org.client(org.user("rep"))
    for method, path in asked:
        for_admins = any(f"/api/{name}/" in path for name in ("users", "custom-fields", "webhooks", "exchange-rates", "pipeline"))
        if for_admins or "/api/organization/" in path:
            refused(rep.request(method, path, MALFORMED), 403)


def test_who_was_promoted_a_moment_ago_may(org: Org) -> None:
    user = org.user("read_only")
    client = org.client(user)
    refused(client.put("/api/pipeline/", {"stages": []}), 403)
    demote(org, user, "admin")
    refused(client.put("/api/pipeline/", {"stages": []}), 400)
    demote(org, user, "read_only")
    refused(client.put("/api/pipeline/", {"stages": []}), 403)


def test_actions_take_neither_parameters_nor_bodies(org: Org) -> None:
    deal = org.opportunity()
    hook = f"/api/webhooks/{made(org.admin.post('/api/webhooks/', HOOK))['id']}/"
    delivery = made(org.admin.post(f"{hook}test/"), 202)["id"]
    actions = [
        ("POST", f"{OPPORTUNITIES}{deal['id']}/restore/"),
        ("POST", f"{hook}rotate-secret/"),
        ("POST", f"{hook}test/"),
        ("POST", f"{hook}deliveries/{delivery}/redeliver/"),
        ("POST", f"/api/webhooks/deliveries/{delivery}/redeliver/"),
    ]
    for method, path in actions:
        assert errors(org.admin.request(method, f"{path}?x=1")) == {"x": "Unknown parameter: this address takes none."}, path
        assert errors(org.admin.request(method, path, {"x": 1})) == {"x": "Unknown field."}, path
        refused(org.admin.request(method, path, b"x=1", Content_Type="text/plain"), 415)
    assert errors(org.admin.post(f"{hook}replay/?x=1", {"from_position": 1})) == {
        "x": "Unknown parameter: this address takes none."
    }
    for method, path in actions:
        assert org.admin.request(method, path, {}).status < 300, path
