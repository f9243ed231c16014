"""Custom fields as the contract has them: definitions, values by type, what is kept without a definition, and filters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused

FIELDS = "/api/custom-fields/"
CHOICE = {"options": ["gold", "silver"]}


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


def test_a_definition_is_created_listed_changed_and_removed(org: Org) -> None:
    reply = org.admin.post(
        FIELDS, {"key": "tier", "label": "Tier", "type": "dropdown", "options": ["gold", {"value": "s", "label": "Silver"}]}
    )
    definition = made(reply)
    assert definition == {
        "key": "tier",
        "label": "Tier",
        "type": "dropdown",
        "options": ["gold", {"value": "s", "label": "Silver"}],
        "required": False,
        "filterable": True,
    }
    assert reply.headers["location"] == f"{FIELDS}tier/"
    assert org.listed("", FIELDS) == {"count": 1, "next": None, "previous": None, "results": [definition]}
    changed = made(org.admin.patch(f"{FIELDS}tier/", {"label": "Level", "required": True}), 200)
    assert changed == {**definition, "label": "Level", "required": True}
    assert made(org.admin.get(f"{FIELDS}tier/"), 200) == changed
    assert org.admin.delete(f"{FIELDS}tier/").status == 204
    assert org.listed("", FIELDS)["count"] == 0
    refused(org.admin.get(f"{FIELDS}tier/"), 404)
    refused(org.admin.patch(f"{FIELDS}tier/", {"label": "x"}), 404)
    refused(org.admin.delete(f"{FIELDS}tier/"), 404)


@pytest.mark.parametrize("key", ["Tier", "1st", "_x", "a-b", "a b", "", "é", "x" * 65, "a__gte"])
def test_a_key_that_is_none(org: Org, key: str) -> None:
    assert set(errors(org.admin.post(FIELDS, {"key": key, "label": "X", "type": "text"}))) == {"key"}


def test_a_key_is_taken_once(org: Org) -> None:
    org.custom_field("tier", "text")
    problem = refused(org.admin.post(FIELDS, {"key": "tier", "label": "X", "type": "number"}), 409)
    assert problem["code"] == "key_taken"


def test_key_and_type_are_for_ever(org: Org) -> None:
    definition = org.custom_field("tier", "text")
    assert made(org.admin.patch(f"{FIELDS}tier/", {"key": "tier", "type": "text", "label": "Tier"}), 200) == definition
    assert set(errors(org.admin.patch(f"{FIELDS}tier/", {"key": "other", "type": "number"}))) == {"key", "type"}


def test_definitions_that_make_no_sense(org: Org) -> None:
    bad: list[tuple[Json, str]] = [
        ({"type": "integer"}, "type"),
        ({"type": "text", "options": ["a"]}, "options"),
        ({"type": "dropdown"}, "options"),
        ({"type": "dropdown", "options": ["a", "a"]}, "options"),
        ({"type": "multiselect", "options": [1]}, "options.0"),
        ({"type": "text", "label": " "}, "label"),
        ({"type": "text", "requird": True}, "requird"),
    ]
    for body, field in bad:
        wrong = errors(org.admin.post(FIELDS, {"key": "a", "label": "A", **body}))
        assert list(wrong) == [field], wrong


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("text", ["a", "", "ü" * 255], [1, True, ["a"], "x" * 256]),
        ("textarea", ["a\nb", "x" * 10_000], [1, "x" * 10_001]),
        ("number", [72, 72.5, -1, 0], ["72", True, 10**15]),
        ("checkbox", [True, False], ["true", 1, 0]),
        ("date", ["2026-02-28"], ["2026-02-30", "28.02.2026", "2026-02-28T00:00:00Z", 20260228]),
        ("dropdown", ["gold"], ["bronze", ["gold"], 1]),
        ("multiselect", [["gold", "silver"], []], ["gold", ["bronze"], [1], {"gold": True}]),
    ],
)
def test_values_are_judged_by_the_type(org: Org, type_: str, good: list[Any], bad: list[Any]) -> None:
    org.custom_field("f", type_, **(CHOICE if type_ in ("dropdown", "multiselect") else {}))
    record = org.opportunity()
    for value in good:
        after = made(org.admin.patch(path_of(record), {"custom_fields": {"f": value}}), 200)
        assert after["custom_fields"] == {"f": value}
        assert type(after["custom_fields"]["f"]) is type(value)
    for value in bad:
        wrong = errors(org.admin.patch(path_of(record), {"custom_fields": {"f": value, "free": 1}}))
        assert set(wrong) == {"custom_fields.f"}, value


def test_a_required_field_is_asked_for_where_the_whole_deal_is_sent(org: Org) -> None:
    record = org.opportunity()
    org.custom_field("tier", "dropdown", required=True, **CHOICE)
    body = {"name": "A", "account_id": record["account"]["id"]}
    assert set(errors(org.admin.post(OPPORTUNITIES, body))) == {"custom_fields.tier"}
    assert set(errors(org.admin.put(path_of(record), body))) == {"custom_fields.tier"}
    assert made(org.admin.patch(path_of(record), {"name": "B"}), 200)["custom_fields"] == {}
    record = org.opportunity(custom_fields={"tier": "gold"})
    assert set(errors(org.admin.patch(path_of(record), {"custom_fields": {"tier": None}}))) == {"custom_fields.tier"}


def test_undefined_keys_are_kept_as_given(org: Org) -> None:
    values = {"competitor": "incumbent_vendor", "Nested Key": {"a": [1, 2.5, None, True, {"b": "ü"}]}, "n": 0, "no": False}
    assert org.opportunity(custom_fields=values)["custom_fields"] == values


def test_strict_mode_knows_defined_keys_only(org: Org) -> None:
    kept = org.opportunity(custom_fields={"competitor": "x"})
    org.custom_field("tier", "text")
    made(org.admin.patch("/api/organization/", {"custom_fields_mode": "strict"}), 200)
    body = {"name": "A", "account_id": org.account()["id"], "custom_fields": {"teir": "x"}}
    assert "tier" in errors(org.admin.post(OPPORTUNITIES, body))["custom_fields.teir"]
    assert made(org.admin.patch(path_of(kept), {"name": "B"}), 200)["custom_fields"] == {"competitor": "x"}
    assert made(org.admin.patch(path_of(kept), {"custom_fields": {"competitor": None}}), 200)["custom_fields"] == {}


def test_removing_a_definition_keeps_old_values_readable(org: Org) -> None:
    org.custom_field("tier", "dropdown", **CHOICE)
    record = org.opportunity(custom_fields={"tier": "gold"})
    org.admin.delete(f"{FIELDS}tier/")
    after = org.read(record)
    assert (after["custom_fields"], after["custom_field_definitions"]) == ({"tier": "gold"}, [])
    assert org.listed("cf_tier=gold")["count"] == 1


def test_a_field_that_a_stage_requires_cannot_go(org: Org) -> None:
    org.custom_field("tier", "text")
    policy = made(org.admin.get("/api/pipeline/"), 200)
    body = {name: policy[name] for name in ("stages", "transitions", "lost_reasons", "allow_free_text")}
    body["stages"][1]["required_fields"] = ["custom_fields.tier"]
    made(org.admin.put("/api/pipeline/", body), 200)
    assert refused(org.admin.delete(f"{FIELDS}tier/"), 409)["stages"] == ["qualification"]


# Filters


@pytest.fixture
def deals(org: Org) -> Org:
    """Three deals: with all values, with others, with none."""
    for key, type_ in [
        ("n", "number"), ("c", "checkbox"), ("d", "date"), ("t", "text"), ("m", "multiselect"), ("o", "dropdown"),
    ]:  # fmt: skip
        org.custom_field(key, type_, **(CHOICE if type_ in ("dropdown", "multiselect") else {}))
    org.custom_field("secret", "text", filterable=False)
    account = org.account()["id"]
    one = {"n": 72, "c": True, "d": "2026-03-01", "t": "Old Vendor", "m": ["gold", "silver"], "o": "gold", "free": 72}
    two = {"n": 9.5, "c": False, "d": "2026-12-31", "t": "100%", "m": ["silver"], "o": "silver", "free": "Seventy"}
    org.opportunity("one", account_id=account, custom_fields=one)
    org.opportunity("two", account_id=account, custom_fields=two)
    org.opportunity("none", account_id=account)
    return org


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("cf_n=72", ["one"]),
        ("cf_n=72.0", ["one"]),
        ("cf_n=72,9.50", ["one", "two"]),
        ("cf_n=72&cf_n=9.5", ["one", "two"]),
        ("cf_n__in=72,9.5", ["one", "two"]),
        ("cf_n__gte=10", ["one"]),
        ("cf_n__gt=72", []),
        ("cf_n__lte=9.5", ["two"]),
        ("cf_n__lt=100", ["one", "two"]),
        ("cf_n__isnull=true", ["none"]),
        ("cf_n__isnull=false", ["one", "two"]),
        ("cf_c=true", ["one"]),
        ("cf_c=false", ["two"]),
        ("cf_c=true,false", ["one", "two"]),
        ("cf_c__isnull=true", ["none"]),
        ("cf_d=2026-03-01", ["one"]),
        ("cf_d__gte=2026-03-02", ["two"]),
        ("cf_d__lte=2026-03-01", ["one"]),
        ("cf_t=Old%20Vendor", ["one"]),
        ("cf_t__icontains=vendor", ["one"]),
        ("cf_t__icontains=0%25", ["two"]),
        ("cf_t__icontains=_", []),
        ("cf_m=gold", ["one"]),
        ("cf_m=silver", ["one", "two"]),
        ("cf_m__in=gold,silver", ["one", "two"]),
        ("cf_m__isnull=true", ["none"]),
        ("cf_o=gold", ["one"]),
        ("cf_o__in=gold,silver", ["one", "two"]),
        ("cf_free=72", ["one"]),
        ("cf_free__icontains=seven", ["two"]),
        ("cf_free__isnull=true", ["none"]),
        ("cf_unheard_of=1", []),
        ("cf_n=72&cf_c=false", []),
    ],
)
def test_custom_fields_filter_by_their_type(deals: Org, query: str, names: list[str]) -> None:
    page = deals.listed(f"{query}&ordering=created_at")
    assert sorted(item["name"] for item in page["results"]) == sorted(names)
    assert page["count"] == len(names)


@pytest.mark.parametrize(
    "name",
    [
        "cf_n",
        "cf_n__gte",
        "cf_c",
        "cf_d",
        "cf_d__lte",
        "cf_n__isnull",
        "cf_n__icontains",
        "cf_c__gte",
        "cf_m__gte",
        "cf_secret",
        "cf_",
    ],
)
def test_values_that_the_type_cannot_take_are_named(deals: Org, name: str) -> None:
    assert set(errors(deals.admin.get(f"{OPPORTUNITIES}?{name}=x"))) == {name}


def test_a_key_that_looks_like_an_operator(org: Org) -> None:
    org.custom_field("a__b", "number")
    org.opportunity(custom_fields={"a__b": 5})
    assert org.listed("cf_a__b=5")["count"] == 1
    assert org.listed("cf_a__b__gte=6")["count"] == 0
