"""Who may do what: tokens, users, roles, and another org that is not there at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused
from tests.support.server import Client, Reply

TOKENS, USERS = "/api/tokens/", "/api/users/"


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


# Tokens


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer nonsense", "Bearer a b", "Bearer " + "x" * 2000, "bearer"]
)
def test_without_a_good_token_there_is_nothing(org: Org, header: str | None) -> None:
    client = org.with_token(None)
    headers = {} if header is None else {"Authorization": header}
    for path in (OPPORTUNITIES, "/api/users/me/", "/api/", "/api/nothing-here/"):
        reply = client.get(path, **headers)
        problem = refused(reply, 401)
        assert problem["code"] == "unauthenticated"
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_is_known_whatever_its_case(org: Org) -> None:
    assert org.with_token(None).get("/api/users/me/", Authorization=f"bearer {org.token}").status == 200


def test_a_token_is_shown_once(org: Org) -> None:
    reply = org.admin.post(TOKENS, {"name": "export"})
    token = made(reply)
    assert list(token) == [
        "id", "name", "user_id", "prefix", "role", "expires_at", "revoked", "issued_with", "created_at", "updated_at", "version",
        "token",
    ]  # fmt: skip
    assert token["token"].startswith(token["prefix"])
    assert reply.headers["cache-control"] == "no-store"
    assert org.with_token(token["token"]).get("/api/users/me/").status == 200
    listed = org.listed("", TOKENS)
    assert listed["count"] == 2
    assert listed["results"][0] == {name: value for name, value in token.items() if name != "token"}
    assert token["token"].encode() not in org.admin.get(TOKENS).body


def test_a_revoked_token_is_no_good_at_once(org: Org) -> None:
    token = made(org.admin.post(TOKENS, {"name": "x"}))
    client = org.with_token(token["token"])
    record = org.opportunity(by=client)
    assert org.admin.delete(f"{TOKENS}{token['id']}/").status == 204
    refused(client.get(OPPORTUNITIES), 401)
    refused(client.patch(path_of(record), {"name": "B"}), 401)
    assert org.admin.delete(f"{TOKENS}{token['id']}/").status == 204
    assert org.listed("active=true", TOKENS)["count"] == 1


def test_a_token_may_expire_but_not_in_the_past(org: Org) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert set(errors(org.admin.post(TOKENS, {"name": "x", "expires_at": past}))) == {"expires_at"}
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert made(org.admin.post(TOKENS, {"name": "x", "expires_at": future}))["expires_at"].endswith("Z")


def test_everybody_has_tokens_of_their_own_and_an_admin_those_of_all(org: Org) -> None:
    user = org.user("rep")
    rep = org.client(user)
    mine = made(rep.post(TOKENS, {"name": "mine"}))
    assert mine["user_id"] == user["id"]
    assert {token["user_id"] for token in made(rep.get(TOKENS), 200)["results"]} == {user["id"]}
    assert org.listed(f"user={user['id']}", TOKENS)["count"] == 2
    refused(rep.post(TOKENS, {"name": "x", "user_id": org.admin_id}), 403)
    first = org.listed(f"user={org.admin_id}", TOKENS)["results"][0]
    assert rep.delete(f"{TOKENS}{first['id']}/").status in (403, 404)
    assert rep.delete(f"{TOKENS}{mine['id']}/").status == 204


def test_a_token_for_nobody(org: Org, other_org: Org) -> None:
    user_id = other_org.admin_id
    assert set(errors(org.admin.post(TOKENS, {"name": "x", "user_id": user_id}))) == {"user_id"}
    assert set(errors(org.admin.post(TOKENS, {}))) == {"name"}


# Users


def test_users_are_created_changed_and_listed(org: Org) -> None:
    reply = org.admin.post(USERS, {"email": "maya@yours.com", "name": "Maya", "role": "manager"})
    user = made(reply)
    assert list(user) == ["id", "email", "name", "role", "active", "created_at", "updated_at", "version"]
    assert (user["role"], user["active"]) == ("manager", True)
    assert reply.headers["location"] == f"{USERS}{user['id']}/"
    assert made(org.admin.get(f"{USERS}{user['id']}/"), 200) == user
    changed = made(org.admin.patch(f"{USERS}{user['id']}/", {"name": "Maya M.", "role": "rep"}), 200)
    assert (changed["name"], changed["role"], changed["version"]) == ("Maya M.", "rep", 2)
    assert org.listed("role=rep", USERS)["results"] == [changed]
    assert org.listed("email=MAYA@yours.com", USERS)["results"] == [changed]
    assert org.listed("search=maya", USERS)["count"] == 1
    assert org.listed("ordering=email&fields=email", USERS)["results"] == [
        {"email": "admin@yours.com"},
        {"email": "maya@yours.com"},
    ]
    refused(org.admin.delete(f"{USERS}{user['id']}/"), 405)


def test_me_is_whose_token_it_is(org: Org) -> None:
    user = org.user("read_only")
    me = made(org.client(user).get(f"{USERS}me/"), 200)
    assert {name: value for name, value in me.items() if name != "token"} == user


def test_an_email_is_taken_once_whatever_its_case(org: Org, other_org: Org) -> None:
    body = {"email": "Maya@yours.com", "name": "Maya", "role": "rep"}
    made(org.admin.post(USERS, body))
    assert refused(org.admin.post(USERS, body | {"email": "maya@YOURS.com"}), 409)["code"] == "email_taken"
    made(other_org.admin.post(USERS, body))


def test_users_that_make_no_sense(org: Org) -> None:
    assert set(errors(org.admin.post(USERS, {}))) == {"email", "name"}
    good = {"email": "a@yours.com", "name": "A", "role": "rep"}
    bad: list[tuple[Json, str]] = [
        ({"email": "nonsense"}, "email"),
        ({"email": "a@"}, "email"),
        ({"email": None}, "email"),
        ({"name": ""}, "name"),
        ({"role": "boss"}, "role"),
        ({"rol": "rep"}, "rol"),
    ]
    for body, field in bad:
        assert set(errors(org.admin.post(USERS, good | body))) == {field}


def test_an_org_keeps_an_active_admin(org: Org) -> None:
    me = f"{USERS}{org.admin_id}/"
    assert refused(org.admin.patch(me, {"active": False}), 409)["code"] == "last_admin"
    assert refused(org.admin.patch(me, {"role": "rep"}), 409)["code"] == "last_admin"
    org.client(org.user("admin"))
    assert made(org.admin.patch(me, {"role": "rep"}), 200)["role"] == "rep"


def test_a_role_and_an_end_count_at_once(org: Org) -> None:
    user = org.user("rep")
    client = org.client(user)
    record = org.opportunity(by=client)
    made(org.admin.patch(f"{USERS}{user['id']}/", {"role": "read_only"}), 200)
    refused(client.patch(path_of(record), {"name": "B"}), 403)
    assert client.get(OPPORTUNITIES).status == 200
    made(org.admin.patch(f"{USERS}{user['id']}/", {"active": False}), 200)
    refused(client.get(OPPORTUNITIES), 401)
    refused(client.patch(path_of(record), {"name": "B"}), 401)


# Roles


def writes(client: Client, org: Org, record: Json) -> dict[str, Reply]:
    """One of every write to a deal and to what it refers to."""
    path, account = path_of(record), record["account"]["id"]
    return {
        "create": client.post(OPPORTUNITIES, {"name": "New", "account_id": account, "owner_id": record["owner"]["id"]}),
        "patch": client.patch(path, {"amount": 1}),
        "put": client.put(path, {"name": "B", "account_id": account}),
        "transition": client.post(f"{path}transition/", {"stage": "proposal"}),
        "activity": client.post(f"{path}activities/", {"type": "note", "subject": "x"}),
        "delete": client.delete(path),
    }


def settings(client: Client) -> dict[str, Reply]:
    return {
        "user": client.post(USERS, {"email": "x@yours.com", "name": "X", "role": "rep"}),
        "custom field": client.post("/api/custom-fields/", {"key": "a", "label": "A", "type": "text"}),
        "rate": client.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}),
        "pipeline": client.put("/api/pipeline/", {"stages": []}),
        "organization": client.patch("/api/organization/", {"name": "X"}),
    }


def reads(client: Client, record: Json) -> list[Reply]:
    path = path_of(record)
    resources = ("accounts", "contacts", "users", "custom-fields", "pipeline", "exchange-rates", "tokens", "events")
    return [
        *(client.get(f"/api/{name}/") for name in resources),
        *(client.get(f"{path}{more}") for more in ("", "transitions/", "activities/", "history/")),
    ]


def test_read_only_reads_everything_and_changes_nothing(org: Org) -> None:
    record, client = org.opportunity(), org.client(org.user("read_only"))
    assert {reply.status for reply in reads(client, record)} == {200}
    assert {name: reply.status for name, reply in writes(client, org, record).items() if reply.status != 403} == {}
    assert {reply.status for reply in settings(client).values()} == {403}
    refused(client.post("/api/accounts/", {"name": "X"}), 403)
    refused(client.post("/api/contacts/", {"first_name": "X", "last_name": "Y"}), 403)


def test_a_rep_changes_deals_of_their_own_only(org: Org) -> None:
    user = org.user("rep")
    rep = org.client(user)
    theirs, own = org.opportunity(), org.opportunity(by=rep)
    assert own["owner"]["id"] == user["id"]
    assert {reply.status for reply in reads(rep, theirs)} == {200}
    assert {name: reply.status for name, reply in writes(rep, org, theirs).items() if reply.status != 403} == {}
    assert all(reply.status < 300 for reply in writes(rep, org, own).values())
    assert rep.post(f"{path_of(own)}restore/").status == 200
    assert {reply.status for reply in settings(rep).values()} == {403}
    assert rep.post("/api/accounts/", {"name": "X"}).status == 201


def test_a_manager_changes_every_deal_and_no_settings(org: Org) -> None:
    client, record = org.client(org.user("manager")), org.opportunity()
    assert all(reply.status < 300 for reply in writes(client, org, record).values())
    assert {reply.status for reply in settings(client).values()} == {403}


def test_an_admin_changes_settings(org: Org) -> None:
    replies = settings(org.admin)
    assert {name for name, reply in replies.items() if reply.status >= 300} == {"pipeline"}
    assert replies["pipeline"].status == 400


# Another org


def test_another_org_sees_nothing(org: Org, other_org: Org) -> None:
    record = org.opportunity()
    made(org.admin.post(f"{path_of(record)}activities/", {"type": "note", "subject": "x"}))
    field = org.custom_field("tier", "text")
    made(org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}), 200)
    account, contact, user = org.account(), org.contact(), org.user()
    token = made(org.admin.post(TOKENS, {"name": "x"}))
    spy = other_org.admin
    for path in (OPPORTUNITIES, "/api/accounts/", "/api/contacts/", "/api/custom-fields/", "/api/exchange-rates/"):
        assert made(spy.get(path), 200)["count"] == 0
    assert made(spy.get(USERS), 200)["count"] == 1
    assert made(spy.get(TOKENS), 200)["count"] == 1
    assert all(event["id"] not in (record["id"], account["id"]) for event in made(spy.get("/api/events/"), 200)["results"])
    for more in ("", "transitions/", "activities/", "history/"):
        refused(spy.get(f"{path_of(record)}{more}"), 404)
    assert {reply.status for name, reply in writes(spy, other_org, record).items() if name != "create"} == {404}
    refused(spy.post(f"{path_of(record)}restore/"), 404)
    for path, body in [
        (f"/api/accounts/{account['id']}/", {"name": "Mine"}),
        (f"/api/contacts/{contact['id']}/", {"title": "Mine"}),
        (f"{USERS}{user['id']}/", {"name": "Mine"}),
        (f"/api/custom-fields/{field['key']}/", {"label": "Mine"}),
    ]:
        refused(spy.get(path), 404)
        refused(spy.patch(path, body), 404)
    refused(spy.delete(f"{TOKENS}{token['id']}/"), 404)
    assert org.read(record)["version"] == 1
