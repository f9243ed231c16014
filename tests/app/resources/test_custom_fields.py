"""Custom field definitions over HTTP, and what they do to a deal's filters."""

from __future__ import annotations

import pytest

from tests.support.scenarios import OPPORTUNITIES, Org, errors, made, refused

PATH = "/api/custom-fields/"


def test_a_field_is_defined_read_changed_and_removed(org: Org) -> None:
    options = ["gold", {"value": "silver", "label": "Silver"}]
    reply = org.admin.post(PATH, {"key": "tier", "label": "Tier", "type": "dropdown", "options": options})
    field = made(reply)
    path = f"{PATH}tier/"
    assert reply.headers["location"] == path
    assert field == {
        "key": "tier",
        "label": "Tier",
        "type": "dropdown",
        "options": options,
        "required": False,
        "filterable": True,
    }
    assert made(org.admin.get(path), 200) == field
    changed = made(org.admin.patch(path, {"label": "Level", "type": "dropdown", "key": "tier"}), 200)
    assert changed == {**field, "label": "Level"}
    assert org.admin.request("DELETE", path).status == 204
    refused(org.admin.get(path), 404)
    refused(org.admin.patch(path, {"label": "x"}), 404)
    refused(org.admin.request("DELETE", path), 404)


def test_fields_are_listed_in_order_of_creation_in_the_envelope(org: Org) -> None:
    assert org.listed("", PATH) == {"count": 0, "next": None, "previous": None, "results": []}
    for key in ("b", "a", "c"):
        org.custom_field(key, "text")
    page = org.listed("page_size=2&fields=key", PATH)
    assert (page["count"], page["results"]) == (3, [{"key": "b"}, {"key": "a"}])
    assert page["next"].endswith("page_size=2&fields=key&page=2")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"key": "Tier"}, "key"),
        ({"key": "1st"}, "key"),
        ({"key": "x__gte"}, "key"),
        ({"type": "money"}, "type"),
        ({"label": " "}, "label"),
        ({"type": "dropdown"}, "options"),
        ({"type": "dropdown", "options": []}, "options"),
        ({"type": "dropdown", "options": ["a", "a"]}, "options"),
        ({"options": ["a"]}, "options"),
        ({"type": "dropdown", "options": [1]}, "options.0"),
        ({"requird": True}, "requird"),
    ],
)
def test_bad_definitions_are_refused_by_field(org: Org, fields: dict[str, object], named: str) -> None:
    assert list(errors(org.admin.post(PATH, {"key": "k", "label": "K", "type": "text", **fields}))) == [named]


def test_a_key_is_there_once(org: Org) -> None:
    org.custom_field("tier", "text")
    assert refused(org.admin.post(PATH, {"key": "tier", "label": "T", "type": "text"}), 409)["code"] == "key_taken"


def test_only_admins_define_fields(org: Org) -> None:
    manager = org.client(org.user("manager"))
    refused(manager.post(PATH, {"key": "k", "label": "K", "type": "text"}), 403)
    assert manager.get(PATH).status == 200


def test_a_field_that_is_not_filterable_is_no_parameter(org: Org) -> None:
    org.custom_field("secret", "text", filterable=False)
    assert "cf_secret" in errors(org.admin.get(f"{OPPORTUNITIES}?cf_secret=x"))
    made(org.admin.patch(f"{PATH}secret/", {"filterable": True}), 200)
    assert org.listed("cf_secret=x")["count"] == 0


def test_another_org_has_fields_of_its_own(org: Org, other_org: Org) -> None:
    org.custom_field("tier", "number")
    assert other_org.listed("", PATH)["count"] == 0
    other_org.custom_field("tier", "text")
    refused(other_org.admin.get(f"{PATH}nothing/"), 404)


def test_what_a_field_is_for_ever_may_be_repeated_and_not_changed(org: Org) -> None:
    field = org.custom_field("tier", "text")
    path = "/api/custom-fields/tier/"
    assert made(org.admin.patch(path, {**field, "label": "Level"}), 200)["label"] == "Level"
    assert errors(org.admin.patch(path, {"key": "level", "type": "number", "label": "L"})) == {
        "key": "This cannot be changed: it is tier.",
        "type": "This cannot be changed: it is text.",
    }
    assert made(org.admin.get(path), 200)["label"] == "Level"
