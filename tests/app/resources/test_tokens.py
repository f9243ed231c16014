"""API tokens over HTTP."""

from __future__ import annotations

import psycopg

from tests.support.scenarios import Org, errors, made, refused

PATH = "/api/tokens/"


def test_a_token_is_shown_once_and_works(org: Org) -> None:
    reply = org.admin.post(PATH, {"name": "export", "expires_at": "2099-01-01T00:00:00+01:00"}, Idempotency_Key="t1")
    token = made(reply)
    assert reply.headers["cache-control"] == "no-store"
    assert token["expires_at"] == "2098-12-31T23:00:00Z"
    assert token["token"].startswith(token["prefix"])
    assert org.with_token(token["token"]).get("/api/users/me/").json()["id"] == org.admin_id
    again = made(org.admin.post(PATH, {"name": "export", "expires_at": "2099-01-01T00:00:00+01:00"}, Idempotency_Key="t1"))
    assert again == {**token, "token": None}
    listed = org.listed("search=export", PATH)["results"]
    assert listed == [{name: value for name, value in token.items() if name != "token"}]


def test_the_token_itself_is_nowhere_in_the_database(org: Org, shared_database_url: str) -> None:
    token = made(org.admin.post(PATH, {"name": "export"}, Idempotency_Key="t2"))["token"]
    with psycopg.connect(shared_database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", (f"%{token}%",)).fetchone()
            assert rows == (0,), table
            state = "convert_from(state, 'UTF8')" if table == "opportunities_events" else "''"
            rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {state} LIKE %s", (f"%{token}%",)).fetchone()
            assert rows == (0,), table


def test_an_expired_token_is_no_token(org: Org) -> None:
    assert set(errors(org.admin.post(PATH, {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}))) == {"expires_at"}
    assert set(errors(org.admin.post(PATH, {"name": "x", "expires_at": "2099-01-01T00:00:00"}))) == {"expires_at"}


def test_nobody_can_bring_a_hash_of_their_own(org: Org) -> None:
    assert set(errors(org.admin.post(PATH, {"name": "x", "hash": "0" * 64, "prefix": "opp_0000"}))) == {"hash", "prefix"}


def test_one_sees_and_makes_only_ones_own(org: Org) -> None:
    user = org.user()
    client = org.client(user)
    mine = made(client.post(PATH, {"name": "mine"}))
    assert mine["user_id"] == user["id"]
    assert client.get(PATH).json()["count"] == 2
    assert client.get(f"{PATH}?user={org.admin_id}").json()["count"] == 0
    refused(client.post(PATH, {"name": "x", "user_id": org.admin_id}), 403)
    theirs = org.listed(f"user={org.admin_id}", PATH)["results"][0]
    refused(client.request("DELETE", f"{PATH}{theirs['id']}/"), 403)
    assert org.listed("", PATH)["count"] == 3
    assert client.request("DELETE", f"{PATH}{mine['id']}/").status == 204


def test_a_revoked_token_says_so_and_can_be_revoked_again(org: Org) -> None:
    token = made(org.admin.post(PATH, {"name": "old"}))
    for _ in range(2):
        assert org.admin.request("DELETE", f"{PATH}{token['id']}/").status == 204
    (found,) = org.listed("active=false", PATH)["results"]
    assert (found["id"], found["revoked"]) == (token["id"], True)
    refused(org.with_token(token["token"]).get(PATH), 401)


def test_another_orgs_token_cannot_be_revoked(org: Org, other_org: Org) -> None:
    token = made(org.admin.post(PATH, {"name": "ours"}))
    refused(other_org.admin.request("DELETE", f"{PATH}{token['id']}/"), 404)
    assert errors(other_org.admin.post(PATH, {"name": "x", "user_id": org.admin_id}))["user_id"]
