"""The layer around every request, over HTTP: identity, request ids, headers, verbs, sizes, and nothing without a token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scenarios import Org, made, raw, refused
from tests.support.server import Client, Server

ACCOUNTS = "/api/accounts/"


@pytest.fixture
def nobody(server: Server) -> Iterator[Client]:
    with Client(server.port, None) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/api", "/api/", ACCOUNTS, "/api/users/me/", "/api/nothing/", "//api//accounts/", "/api//accounts", "/api%2Faccounts/"]
)
def test_nothing_under_api_answers_without_a_token(nobody: Client, path: str) -> None:
    problem = refused(nobody.get(path), 401)
    assert problem["code"] == "unauthenticated"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer opp_wrong", "Bearer " + "x" * 600, "token"])
def test_a_token_that_is_no_good_is_challenged(nobody: Client, header: str) -> None:
    reply = nobody.get(ACCOUNTS, Authorization=header)
    refused(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_is_read_whatever_its_case(org: Org, nobody: Client) -> None:
    assert nobody.get("/api/", Authorization=f"bearer {org.token}").status == 200


def test_a_revoked_token_is_refused_at_once(org: Org) -> None:
    token = made(org.admin.post("/api/tokens/", {"name": "short-lived"}))
    client = org.with_token(token["token"])
    assert client.get(ACCOUNTS).status == 200
    assert org.admin.request("DELETE", f"/api/tokens/{token['id']}/").status == 204
    refused(client.get(ACCOUNTS), 401)
    refused(client.post(ACCOUNTS, {"name": "Acme"}), 401)


def test_a_changed_role_counts_at_once(org: Org) -> None:
    user = org.user("manager")
    client = org.client(user)
    made(client.post(ACCOUNTS, {"name": "Acme"}))
    made(org.admin.patch(f"/api/users/{user['id']}/", {"role": "read_only"}), 200)
    refused(client.post(ACCOUNTS, {"name": "Acme"}), 403)


def test_a_user_who_is_not_active_has_no_access(org: Org) -> None:
    user = org.user()
    client = org.client(user)
    assert client.get("/api/users/me/").json()["id"] == user["id"]
    made(org.admin.patch(f"/api/users/{user['id']}/", {"active": False}), 200)
    refused(client.get("/api/users/me/"), 401)


def test_a_sane_request_id_is_kept_and_any_other_replaced(org: Org) -> None:
    assert org.admin.get("/api/", X_Request_Id="job-7/a.b").headers["x-request-id"] == "job-7/a.b"
    for given in ("", "a b", "x" * 200, "<script>"):
        assert org.admin.get("/api/", X_Request_Id=given).headers["x-request-id"] not in ("", given)


def test_the_request_id_is_in_the_events_of_the_request(org: Org) -> None:
    made(org.admin.post(ACCOUNTS, {"name": "Acme"}, X_Request_Id="job-8"))
    assert org.admin.get("/api/events/").json()["results"][-1]["request_id"] == "job-8"


def test_every_answer_tells_browsers_to_trust_nothing(org: Org, nobody: Client) -> None:
    for reply in (org.admin.get(ACCOUNTS), nobody.get(ACCOUNTS), org.admin.get("/api/nothing"), nobody.get("/health/live")):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert "access-control-allow-origin" not in reply.headers


def test_a_slash_at_the_end_is_optional(org: Org) -> None:
    account = org.account()
    for path in (ACCOUNTS, ACCOUNTS[:-1], f"{ACCOUNTS}{account['id']}/", f"{ACCOUNTS}{account['id']}"):
        assert org.admin.get(path).status == 200
    made(org.admin.post(ACCOUNTS[:-1], {"name": "Acme"}))


def test_options_lists_every_verb_of_a_resource(org: Org, nobody: Client) -> None:
    account = org.account()
    expected = {
        ACCOUNTS: "GET, HEAD, OPTIONS, POST",
        f"{ACCOUNTS}{account['id']}/": "DELETE, GET, HEAD, OPTIONS, PATCH",
        f"/api/opportunities/{account['id']}": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
        f"/api/opportunities/{account['id']}/transition/": "OPTIONS, POST",
        "/health/live": "GET, HEAD, OPTIONS",
    }
    for path, verbs in expected.items():
        reply = nobody.request("OPTIONS", path)
        assert (reply.status, reply.headers["allow"], reply.body) == (204, verbs, b"")


def test_another_verb_is_refused_with_those_there_are(org: Org) -> None:
    for verb in ("PUT", "DELETE", "TRACE"):
        reply = org.admin.request(verb, ACCOUNTS)
        assert refused(reply, 405)["code"] == "method_not_allowed"
        assert reply.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_head_is_get_without_its_body(org: Org) -> None:
    record = f"{ACCOUNTS}{org.account()['id']}/"
    for path in (ACCOUNTS, record, "/", "/schema/", "/api/nothing"):
        get, head = org.admin.get(path), org.admin.request("HEAD", path)
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers.get("etag") == get.headers.get("etag")
        assert head.headers["content-length"] == get.headers["content-length"]
    refused(org.admin.request("OPTIONS", "/api/nothing"), 404)
    assert org.admin.request("HEAD", f"{record}nothing").status == 404


def test_a_body_that_is_too_large_is_refused_unread(org: Org) -> None:
    head = f"POST {ACCOUNTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {org.token}\r\ncontent-type: application/json\r\n"
    refused(raw(org.server.port, f"{head}content-length: 999999999\r\n\r\n".encode()), 413)
    chunk = b"x" * 65536
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for _ in range(20))
    refused(raw(org.server.port, f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunks), 413)


def test_what_is_not_there_is_said_in_the_same_shape(org: Org, nobody: Client) -> None:
    assert refused(org.admin.get("/api/nothing/"), 404)["detail"] == "There is nothing at /api/nothing/."
    refused(nobody.get("/nothing"), 404)
    refused(org.admin.get(f"{ACCOUNTS}not-an-id/"), 404)


def test_a_host_that_is_none_is_refused(org: Org) -> None:
    sent = f"GET {ACCOUNTS} HTTP/1.1\r\nhost: <x>\r\nauthorization: Bearer {org.token}\r\n\r\n"
    refused(raw(org.server.port, sent.encode()), 400)
