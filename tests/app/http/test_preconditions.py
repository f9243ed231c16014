"""``ETag``, ``If-Match``, ``If-None-Match`` and ``Idempotency-Key``."""

from __future__ import annotations

import pytest

from app.http import etag, idempotency_key
from app.http.problems import Refused
from tests.support.scenarios import Org, made, refused

ACCOUNTS = "/api/accounts/"


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"5"', {5}),
        ('W/"5"', {5}),
        ('"5.1f3a90c2"', {5}),
        ('W/"5.1f3a90c2"', {5}),
        ('"5.x"', set()),
        ("5", {5}),
        ('"4", W/"5" ,"x"', {4, 5}),
        ('"x"', set()),
        ('""', set()),
        ('"99999999999999999999999"', set()),
        ("*", None),
    ],
)
def test_entity_tags_are_versions(header: str, versions: set[int] | None) -> None:
    assert etag.versions(header) == versions


@pytest.mark.parametrize("header", ["", "abc", '"5', '5"', '"5";"6"', "W/5", '"5",', "-1"])
def test_a_precondition_that_cannot_be_read_is_refused(header: str) -> None:
    with pytest.raises(Refused, match="If-Match must list entity tags"):
        etag.versions(header)


@pytest.mark.parametrize("header", ["", " ", "x" * 256, "a b", "ä", "a\tb"])
def test_an_idempotency_key_is_visible_ascii(header: str) -> None:
    with pytest.raises(Refused):
        idempotency_key.parse(header)


def test_a_request_is_the_same_with_its_slash_and_without() -> None:
    one = idempotency_key.fingerprint("POST", "/api/accounts/", b"{}")
    assert one == idempotency_key.fingerprint("POST", "/api/accounts", b"{}")
    assert one != idempotency_key.fingerprint("POST", "/api/contacts", b"{}")
    assert one != idempotency_key.fingerprint("POST", "/api/accounts", b"{ }")


def test_if_match_changes_only_what_was_read(org: Org) -> None:
    path = f"{ACCOUNTS}{org.account()['id']}/"
    assert org.admin.get(path).headers["etag"].startswith('"1.')
    changed = org.admin.patch(path, {"name": "B"}, If_Match='"1"')
    assert changed.headers["etag"] == org.admin.get(path).headers["etag"]
    problem = refused(org.admin.patch(path, {"name": "C"}, If_Match='"1"'), 412)
    assert problem["version"] == 2
    for header in ('"1", "2"', "*"):
        assert org.admin.patch(path, {"name": "B"}, If_Match=header).status == 200
    refused(org.admin.patch(path, {"name": "C"}, If_Match='"some-other-tag"'), 412)
    refused(org.admin.patch(path, {"name": "C"}, If_Match="abc"), 400)
    refused(org.admin.request("DELETE", path, If_Match='"1"'), 412)
    assert org.admin.request("DELETE", path, If_Match='W/"2"').status == 204
    refused(org.admin.patch(path, {"name": "C"}, If_Match='"2"'), 404)


def test_a_list_of_tags_holds_if_any_of_them_does(org: Org) -> None:
    path = f"{ACCOUNTS}{org.account()['id']}/"
    assert made(org.admin.patch(path, {"name": "B"}, If_Match='"9", "1"'), 200)["name"] == "B"


def test_if_none_match_spares_the_body(org: Org) -> None:
    path = f"{ACCOUNTS}{org.account()['id']}/"
    tag = org.admin.get(path).headers["etag"]
    for header in (tag, f"W/{tag}", f'"7", {tag}', "*"):
        reply = org.admin.get(path, If_None_Match=header)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    for header in ('"1"', '"2"', "1"):
        assert org.admin.get(path, If_None_Match=header).status == 200


def test_a_record_is_not_the_same_when_what_it_embeds_changed(org: Org) -> None:
    account, owner = org.account(), org.user("rep")
    contact = org.contact()
    deal = org.opportunity(account_id=account["id"], owner_id=owner["id"], stakeholder_ids=[contact["id"]])
    path = f"/api/opportunities/{deal['id']}/"
    changes = [
        ("PATCH", f"{ACCOUNTS}{account['id']}/", {"name": "Renamed"}),
        ("PATCH", f"/api/users/{owner['id']}/", {"email": "renamed@yours.com"}),
        ("PATCH", f"/api/contacts/{contact['id']}/", {"title": "CFO"}),
        ("POST", f"{path}activities/", {"type": "note", "subject": "x"}),
        ("POST", "/api/custom-fields/", {"key": "tier", "label": "Tier", "type": "text"}),
    ]
    tag = ""
    for method, changed, body in changes:
        tag = org.admin.get(path).headers["etag"]
        assert org.admin.get(path, If_None_Match=tag).status == 304
        assert org.admin.request(method, changed, body).status in (200, 201)
        assert org.admin.get(path, If_None_Match=tag).status == 200
    assert org.admin.patch(path, {"name": "B"}, If_Match=tag).status == 200


def test_a_write_answers_with_the_tag_of_the_read_that_follows(org: Org) -> None:
    deal = org.opportunity(stakeholder_ids=[org.contact()["id"]])
    path = f"/api/opportunities/{deal['id']}/"
    writes = [
        ("POST", f"{path}transition/", {"stage": "proposal"}, path),
        ("PATCH", path, {"amount": "7"}, path),
        ("POST", "/api/custom-fields/", {"key": "tier", "label": "Tier", "type": "text"}, "/api/custom-fields/tier/"),
        ("PATCH", "/api/organization/", {"name": "B"}, "/api/organization/"),
    ]
    for method, written, body, read in writes:
        reply = org.admin.request(method, written, body)
        assert reply.headers["etag"] == org.admin.get(read).headers["etag"], read
    reply = org.admin.post("/api/webhooks/", {"url": "https://1.1.1.1/hooks", "events": ["opportunity.won"]})
    assert reply.headers["etag"] == org.admin.get(f"/api/webhooks/{reply.json()['id']}/").headers["etag"]


def test_a_post_with_a_key_is_done_once_and_answered_alike(org: Org) -> None:
    first = org.admin.post(ACCOUNTS, {"name": "Acme"}, Idempotency_Key="k1")
    again = org.admin.post(ACCOUNTS, {"name": "Acme"}, Idempotency_Key="k1")
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == first.headers["etag"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert org.listed("", ACCOUNTS)["count"] == 1


def test_a_key_is_for_one_request_of_one_user(org: Org, other_org: Org) -> None:
    made(org.admin.post(ACCOUNTS, {"name": "Acme"}, Idempotency_Key="k2"))
    refused(org.admin.post(ACCOUNTS, {"name": "Other"}, Idempotency_Key="k2"), 422)
    refused(org.admin.post("/api/contacts/", {"first_name": "A", "last_name": "B"}, Idempotency_Key="k2"), 422)
    made(org.client(org.user()).post(ACCOUNTS, {"name": "Other"}, Idempotency_Key="k2"))
    made(other_org.admin.post(ACCOUNTS, {"name": "Other"}, Idempotency_Key="k2"))


def test_a_refused_request_leaves_its_key_free(org: Org) -> None:
    refused(org.admin.post(ACCOUNTS, {"name": " "}, Idempotency_Key="k3"), 400)
    made(org.admin.post(ACCOUNTS, {"name": "Acme"}, Idempotency_Key="k3"))


def test_a_malformed_key_is_refused(org: Org) -> None:
    refused(org.admin.post(ACCOUNTS, {"name": "Acme"}, Idempotency_Key="a b"), 400)
