"""What every resource has from HTTP: errors, entity tags, idempotency keys, verbs, slashes; and what stands beside the
API: health, metrics, its documentation."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, made, refused
from tests.support.server import Reply, Server

NOBODY = "00000000-0000-7000-8000-000000000999"


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


# Errors


def test_an_error_has_one_shape(org: Org) -> None:
    problem = refused(org.admin.post(OPPORTUNITIES, {"account_id": 5, "custom_fields": {"a": {"b": "\u0000"}}}))
    assert list(problem) == ["type", "title", "status", "detail", "code", "errors", "request_id"]
    assert problem["title"] == "Bad Request"
    assert set(problem["errors"]) == {"name", "account_id", "custom_fields.a.b"}
    assert all(isinstance(texts, list) for texts in problem["errors"].values())


@pytest.mark.parametrize(
    "path",
    [
        "/api/nothing/", "/api/opportunities/nothing/", "/api/opportunities/123/", f"/api/opportunities/{NOBODY}/",
        f"/api/accounts/{NOBODY}/", f"/api/contacts/{NOBODY}/", f"/api/users/{NOBODY}/", "/api/custom-fields/nothing/",
        "/nothing", "/schema/files/nothing.js", "/schema/files/..%2f__init__.py", "/api/opportunities/%00/", "/api/%ff/",
        f"/api/opportunities/{NOBODY}/nothing/",
    ],
)  # fmt: skip
def test_what_is_not_there_is_404(org: Org, path: str) -> None:
    assert refused(org.admin.get(path), 404)["code"] == "not_found"


def test_a_request_id_is_taken_over_or_made(org: Org) -> None:
    assert org.admin.get(OPPORTUNITIES, X_Request_Id="abc-1").headers["x-request-id"] == "abc-1"
    made_up = org.admin.get(OPPORTUNITIES, X_Request_Id="no\tgood" * 50).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made_up)


def test_a_parameter_that_nobody_reads_is_refused(org: Org) -> None:
    record = org.opportunity()
    path = path_of(record)
    for reply in (
        org.admin.get(f"/api/accounts/{record['account']['id']}/?x=1"),
        org.admin.get("/api/users/me/?x=1"),
        org.admin.get("/api/pipeline/?x=1"),
        org.admin.get("/api/organization/?x=1"),
        org.admin.get(f"{path}?x=1"),
        org.admin.get(f"{path}transitions/?x=1"),
        org.admin.post(f"{OPPORTUNITIES}?x=1", {"name": "A", "account_id": record["account"]["id"]}),
        org.admin.patch(f"{path}?x=1", {"name": "B"}),
        org.admin.post(f"{path}transition/?x=1", {"stage": "proposal"}),
        org.admin.delete(f"{path}?x=1"),
    ):
        assert set(refused(reply)["errors"]) == {"x"}
    assert org.read(record) == record


# Verbs


ALLOWED = {
    OPPORTUNITIES: "GET, HEAD, OPTIONS, POST",
    f"{OPPORTUNITIES}{NOBODY}/": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    f"{OPPORTUNITIES}{NOBODY}/transition/": "OPTIONS, POST",
    "/api/accounts/": "GET, HEAD, OPTIONS, POST",
    f"/api/users/{NOBODY}/": "GET, HEAD, OPTIONS, PATCH",
    "/api/pipeline/": "GET, HEAD, OPTIONS, PUT",
    "/api/exchange-rates/": "GET, HEAD, OPTIONS, PUT",
    "/api/events/": "GET, HEAD, OPTIONS",
    "/health/live": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_options_and_405_name_every_verb(org: Org, path: str) -> None:
    reply = org.with_token(None).request("OPTIONS", path)
    assert reply.status in (200, 204)
    assert reply.headers["allow"] == ALLOWED[path]
    for verb in ("GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"):
        if verb not in ALLOWED[path]:
            reply = org.admin.request(verb, path)
            assert refused(reply, 405)["code"] == "method_not_allowed"
            assert set(reply.headers["allow"].split(", ")) == set(ALLOWED[path].split(", "))


@pytest.mark.parametrize("path", [OPPORTUNITIES, "/api/users/me/", "/api/nothing/", "/health/live", "/schema/openapi.json"])
def test_head_is_get_without_a_body(org: Org, path: str) -> None:
    got, head = org.admin.get(path), org.admin.request("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    ours = {"content-type", "content-length", "etag"}
    assert {k: v for k, v in head.headers.items() if k in ours} == {k: v for k, v in got.headers.items() if k in ours}


def test_the_trailing_slash_is_optional(org: Org) -> None:
    record = org.opportunity()
    for path in (OPPORTUNITIES, path_of(record), f"{path_of(record)}history/", "/api/pipeline/", "/api/users/me/", "/api/"):
        with_, without = org.admin.get(path), org.admin.get(path.rstrip("/"))
        assert (with_.status, without.status) == (200, 200)
        assert with_.body == without.body
    assert made(org.admin.post("/api/accounts", {"name": "A"}))
    assert made(org.admin.patch(path_of(record).rstrip("/"), {"name": "B"}), 200)["name"] == "B"


# Entity tags


def test_if_none_match_saves_the_body(org: Org) -> None:
    record = org.opportunity()
    for path in (path_of(record), f"/api/accounts/{record['account']['id']}/", "/api/users/me/", "/api/pipeline/"):
        tag = org.admin.get(path).headers["etag"]
        for header in (tag, f'"99", {tag}', f"W/{tag}", "*"):
            reply = org.admin.get(path, If_None_Match=header)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
        assert org.admin.get(path, If_None_Match='"99"').status == 200


def test_if_match_refuses_a_change_of_what_was_not_read(org: Org) -> None:
    record = org.opportunity()
    path = path_of(record)
    body = {"name": "B", "account_id": record["account"]["id"]}

    def attempts(tag: str) -> list[Reply]:
        return [
            org.admin.patch(path, {"name": "B"}, If_Match=tag),
            org.admin.put(path, body, If_Match=tag),
            org.admin.post(f"{path}transition/", {"stage": "proposal"}, If_Match=tag),
            org.admin.delete(path, If_Match=tag),
        ]

    for reply in attempts('"9"'):
        assert refused(reply, 412)["version"] == 1
    for reply in attempts('"abc"'):
        refused(reply, 412)
    assert org.read(record)["version"] == 1
    assert made(org.admin.patch(path, {"name": "B"}, If_Match='"1"'), 200)["version"] == 2
    assert made(org.admin.patch(path, {"name": "C"}, If_Match='"1", "2"'), 200)["version"] == 3
    assert made(org.admin.patch(path, {"name": "D"}, If_Match='W/"3"'), 200)["version"] == 4
    assert made(org.admin.patch(path, {"name": "E"}, If_Match="*"), 200)["version"] == 5
    assert org.admin.delete(path, If_Match='"5"').status == 204
    refused(org.admin.post(f"{path}restore/", If_Match='"5"'), 412)
    assert made(org.admin.post(f"{path}restore/", If_Match='"6"'), 200)["version"] == 7


def test_if_match_is_for_every_record(org: Org) -> None:
    contact, user = org.contact(), org.user()
    field = org.custom_field("tier", "text")
    for path, body in [
        (f"/api/accounts/{org.account()['id']}/", {"name": "B"}),
        (f"/api/contacts/{contact['id']}/", {"title": "B"}),
        (f"/api/users/{user['id']}/", {"name": "B"}),
        (f"/api/custom-fields/{field['key']}/", {"label": "B"}),
        ("/api/organization/", {"name": "B"}),
    ]:
        refused(org.admin.patch(path, body, If_Match='"7"'), 412)
        reply = org.admin.patch(path, body, If_Match=org.admin.get(path).headers["etag"])
        assert reply.status == 200
        assert reply.headers["etag"].startswith('"2.')


def test_if_match_of_what_is_not_there_is_404(org: Org) -> None:
    refused(org.admin.patch(f"{OPPORTUNITIES}{NOBODY}/", {"name": "B"}, If_Match='"1"'), 404)


# Idempotency keys


def replayed(reply: Reply) -> bool:
    return reply.headers.get("idempotent-replayed") == "true"


def test_a_key_gives_the_first_answer_again(org: Org) -> None:
    account = org.account()["id"]
    body = {"name": "A", "account_id": account}
    first = org.admin.post(OPPORTUNITIES, body, Idempotency_Key="key-1")
    record = made(first)
    assert not replayed(first)
    made(org.admin.patch(path_of(record), {"name": "B"}), 200)
    again = org.admin.post(OPPORTUNITIES, body, Idempotency_Key="key-1")
    assert made(again) == record
    assert replayed(again)
    assert {name: again.headers.get(name) for name in ("location", "etag")} == {
        name: first.headers.get(name) for name in ("location", "etag")
    }
    assert org.listed()["count"] == 1
    assert made(org.admin.post(OPPORTUNITIES, body, Idempotency_Key="key-2"))["id"] != record["id"]


def test_a_key_for_another_request_is_422(org: Org) -> None:
    account = org.account()["id"]
    made(org.admin.post(OPPORTUNITIES, {"name": "A", "account_id": account}, Idempotency_Key="key"))
    for reply in (
        org.admin.post(OPPORTUNITIES, {"name": "B", "account_id": account}, Idempotency_Key="key"),
        org.admin.post("/api/accounts/", {"name": "A"}, Idempotency_Key="key"),
    ):
        assert refused(reply, 422)["code"] == "idempotency_key_reused"


def test_every_post_takes_a_key(org: Org) -> None:
    record = org.opportunity()
    path = path_of(record)
    for number, (target, body) in enumerate(
        [
            (f"{path}transition/", {"stage": "proposal"}),
            (f"{path}activities/", {"type": "note", "subject": "x"}),
            ("/api/accounts/", {"name": "A"}),
            ("/api/contacts/", {"first_name": "A", "last_name": "B"}),
            ("/api/users/", {"email": "x@yours.com", "name": "X", "role": "rep"}),
            ("/api/custom-fields/", {"key": "a", "label": "A", "type": "text"}),
        ]
    ):
        first = org.admin.post(target, body, Idempotency_Key=f"k{number}")
        again = org.admin.post(target, body, Idempotency_Key=f"k{number}")
        assert (again.status, again.body) == (first.status, first.body), target
        assert first.status < 300, first.body
        assert replayed(again)
    org.admin.delete(path)
    first = org.admin.post(f"{path}restore/", Idempotency_Key="r")
    assert org.admin.post(f"{path}restore/", Idempotency_Key="r").body == first.body


def test_a_token_is_not_shown_again_under_its_key(org: Org) -> None:
    first = made(org.admin.post("/api/tokens/", {"name": "x"}, Idempotency_Key="t"))
    again = made(org.admin.post("/api/tokens/", {"name": "x"}, Idempotency_Key="t"))
    assert again == {**first, "token": None}


def test_a_refusal_does_not_use_up_a_key(org: Org) -> None:
    refused(org.admin.post("/api/accounts/", {"name": ""}, Idempotency_Key="key"))
    made(org.admin.post("/api/accounts/", {"name": "A"}, Idempotency_Key="key"))


def test_keys_are_everybodys_own(org: Org, other_org: Org) -> None:
    rep = org.client(org.user("rep"))
    ids = {
        made(client.post("/api/accounts/", {"name": "A"}, Idempotency_Key="key"))["id"]
        for client in (org.admin, rep, other_org.admin)
    }
    assert len(ids) == 3


# Health, metrics, documentation


def test_health(server: Server, org: Org) -> None:
    anybody = org.with_token(None)
    for path in ("/health/live", "/health/ready", "/health/live/"):
        reply = anybody.get(path)
        assert (reply.status, reply.json()["status"]) == (200, "ok")


def test_metrics_count_requests_by_route(org: Org) -> None:
    org.admin.get(f"{OPPORTUNITIES}{NOBODY}/")
    reply = org.with_token(None).get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    text = reply.body.decode()
    assert re.search(r'http_request_duration_seconds_count\{method="GET",route="/api/opportunities/\{id\}",status="404"\}', text)
    assert NOBODY not in text


def test_the_documentation_asks_no_other_host_for_anything(org: Org) -> None:
    anybody = org.with_token(None)
    for path in ("/schema/", "/schema", "/"):
        page = anybody.get(path)
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        text = page.body.decode()
        for source in re.findall(r'(?:src|href)="([^"]+)"', text):
            assert not re.match(r"(https?:)?//", source), source
            if not source.startswith(("#", "data:")):
                target = source if source.startswith("/") else f"/schema/{source.removeprefix('./')}"
                got = anybody.get(target)
                assert got.status in (200, 401), target


def test_the_openapi_document_is_complete(org: Org) -> None:
    reply = org.with_token(None).get("/schema/openapi.json")
    document: dict[str, Any] = reply.json()
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    for path, verbs in {
        "/api/opportunities/": "get post",
        "/api/opportunities/{id}/": "get patch put delete",
        "/api/opportunities/{id}/transition/": "post",
        "/api/opportunities/{id}/transitions/": "get",
        "/api/opportunities/{id}/restore/": "post",
        "/api/opportunities/{id}/activities/": "get post",
        "/api/opportunities/{id}/history/": "get",
        "/api/accounts/": "get post",
        "/api/accounts/{id}/": "get patch delete",
        "/api/contacts/": "get post",
        "/api/contacts/{id}/": "get patch delete",
        "/api/users/": "get post",
        "/api/users/{id}/": "get patch",
        "/api/users/me/": "get",
        "/api/custom-fields/": "get post",
        "/api/custom-fields/{key}/": "get patch delete",
        "/api/pipeline/": "get put",
        "/api/exchange-rates/": "get put",
        "/api/events/": "get",
        "/api/tokens/": "get post",
        "/api/tokens/{id}/": "delete",
        "/health/live": "get",
        "/health/ready": "get",
        "/metrics": "get",
    }.items():
        assert set(verbs.split()) <= set(paths[path]), path
    for path, operations in paths.items():
        for verb, operation in operations.items():
            assert operation["summary"], (path, verb)
            assert operation["responses"], (path, verb)
            if path.startswith("/api"):
                assert {"401", "429", "503"} <= set(operation["responses"]), (path, verb)
            if body := operation.get("requestBody"):
                for media_type, content in body["content"].items():
                    assert "example" in content or media_type == "multipart/form-data", (path, verb)


def test_what_was_read_may_be_sent_back(org: Org) -> None:
    user, field = org.user(), org.custom_field("tier", "text")
    for path in (
        f"/api/accounts/{org.account()['id']}/",
        f"/api/contacts/{org.contact()['id']}/",
        f"/api/users/{user['id']}/",
        f"/api/custom-fields/{field['key']}/",
        "/api/organization/",
        "/api/pipeline/",
    ):
        read = org.admin.get(path)
        write = org.admin.put if path == "/api/pipeline/" else org.admin.patch
        same = write(path, read.json())
        assert (made(same, 200), same.headers["etag"]) == (read.json(), read.headers["etag"]), path
