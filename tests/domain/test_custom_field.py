"""Rules of defining custom fields, and of the values deals may have in them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from domain import custom_field
from domain.custom_field import Create, Definition, Delete, Option, Update
from domain.custom_value import checked
from domain.errors import Conflict, Errors, Forbidden, NotFound
from domain.opportunity import Update as UpdateDeal
from domain.pipeline import DEFAULT, Stage
from tests.support.domain import Given, created, is_sentence, policy

SEATS = Definition(key="seats", label="Seats", type="number")
DEFINITIONS = {
    definition.key: definition
    for definition in (
        SEATS,
        Definition(key="site", label="Site", type="text"),
        Definition(key="notes", label="Notes", type="textarea"),
        Definition(key="pilot", label="Pilot", type="checkbox"),
        Definition(key="start", label="Start", type="date"),
        Definition(key="region", label="Region", type="dropdown", options=("EMEA", Option("na", "North America"))),
        Definition(key="modules", label="Modules", type="multiselect", options=("crm", "erp")),
        Definition(key="code", label="Code", type="text", required=True),
    )
}


def errors(wanted: dict[str, Any], *, strict: bool = False, kept: dict[str, Any] | None = None) -> Errors:
    found: Errors = {}
    checked(DEFINITIONS, kept or {}, wanted, found, strict=strict)
    return found


def create(**changes: Any) -> Create:
    return Create(**{**structs.asdict(SEATS), **changes})


def test_definitions_stay_in_the_order_of_their_making() -> None:
    given = Given(by="admin").when(create()).when(create(key="region", type="text"))
    assert [definition.key for definition in given.state.definitions] == ["seats", "region"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"key": "Seats"}, "key"),
        ({"key": "1st"}, "key"),
        ({"key": "a" * 65}, "key"),
        ({"key": "seats__gte"}, "key"),
        ({"label": ""}, "label"),
        ({"options": ("a",)}, "options"),
        ({"type": "dropdown"}, "options"),
        ({"type": "dropdown", "options": ("a", "a")}, "options"),
        ({"type": "multiselect", "options": ("a", "")}, "options"),
        ({"type": "multiselect", "options": (Option("a", "x\0"),)}, "options"),
        ({"type": "dropdown", "options": tuple(map(str, range(201)))}, "options"),
    ],
)
def test_what_is_no_definition_is_refused_by_field(changes: dict[str, Any], path: str) -> None:
    assert path in Given(by="admin").refused(create(**changes))


def test_a_key_is_taken_once() -> None:
    with pytest.raises(Conflict) as refusal:
        Given(custom_field.Created(definition=SEATS), by="admin").when(create(label="Other"))
    assert refusal.value.code == "key_taken"


def test_there_is_an_end_to_custom_fields() -> None:
    many = [custom_field.Created(definition=structs.replace(SEATS, key=f"seats{number}")) for number in range(100)]
    assert Given(*many[1:], by="admin").when(create()).events
    assert Given(*many, by="admin").refused_as(Conflict, create()) == ("too_many", {})


def test_an_update_says_what_changed_and_nothing_if_nothing_did() -> None:
    given = Given(custom_field.Created(definition=SEATS), by="admin").when(Update(field="seats", label=" Seats ", required=True))
    given.then(custom_field.Updated(key="seats", required=True))
    given.when(Update(field="seats", label="Seats")).then()
    assert given.state.definitions == (structs.replace(SEATS, required=True),)


def test_a_field_that_goes_may_come_again_as_another() -> None:
    others = custom_field.Created(definition=structs.replace(SEATS, key="region"))
    given = Given(custom_field.Created(definition=SEATS), others, by="admin").when(Delete(key="seats"))
    given.then(custom_field.Deleted(key="seats"))
    assert [definition.key for definition in given.state.definitions] == ["region"]
    given.when(Update(field="region", options=(), label="Regions", filterable=False))
    given.when(create(type="text"))
    assert [(one.key, one.label, one.type) for one in given.state.definitions] == [
        ("region", "Regions", "number"),
        ("seats", "Seats", "text"),
    ]


def test_a_field_that_is_not_there_is_not_found() -> None:
    for command in (Update(field="no"), Delete(key="no")):
        with pytest.raises(NotFound):
            Given(custom_field.Created(definition=SEATS), by="admin").when(command)
        with pytest.raises(NotFound):
            Given(by="admin").when(command)


def test_a_field_that_a_stage_requires_cannot_go() -> None:
    demanding = [Stage(key, "Pilot", "open", 50, ("custom_fields.seats",)) for key in ("pilot", "trial")]
    rules = policy(SEATS, stages=structs.replace(DEFAULT, stages=(*DEFAULT.stages, *demanding)))
    with pytest.raises(Conflict, match="pilot, trial") as refusal:
        Given(custom_field.Created(definition=SEATS), by="admin", policy=rules).when(Delete(key="seats"))
    assert (refusal.value.code, refusal.value.extra) == ("in_use", {"stages": ["pilot", "trial"]})


def test_only_an_admin_defines_fields() -> None:
    with pytest.raises(Forbidden):
        Given().when(create(), by="manager")


def test_old_values_outlive_their_definition() -> None:
    deal = Given(created(custom_fields={"seats": 7}), policy=policy(mode="strict"))
    deal.when(UpdateDeal(name="B"))
    assert deal.state.custom_fields == {"seats": 7}
    assert "custom_fields.seats" in deal.refused(UpdateDeal(custom_fields={"seats": 8}))
    assert deal.when(UpdateDeal(custom_fields={"seats": None})).state.custom_fields == {}


def test_a_value_of_before_is_judged_only_when_it_changes() -> None:
    deal = Given(created(custom_fields={"seats": "many"}), policy=policy(SEATS))
    deal.when(UpdateDeal(name="B", custom_fields={"seats": "many"}))
    assert "custom_fields.seats" in deal.refused(UpdateDeal(custom_fields={"seats": "few"}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", "Berlin"), ("site", ""), ("notes", "x" * 10_000), ("seats", 72), ("seats", -1.5), ("seats", 0),
        ("seats", 10**15 - 1),
        ("pilot", False), ("start", "2026-02-28"), ("region", "na"), ("modules", ["erp"]), ("modules", []),
        ("code", "x"), ("undefined", {"a": [1, "b", None, True]}),
        ("undefined", 10**18 - 1), ("undefined", 1 - 10**18), ("undefined", [[[[[[[[1]]]]]]]]), ("undefined", " a "),
        ("Any key at all", 1),
    ],
)  # fmt: skip
def test_a_value_of_its_type_is_kept(key: str, value: Any) -> None:
    found: Errors = {}
    assert checked(DEFINITIONS, {}, {key: value}, found) == {key: value}
    assert not found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("site", 5), ("site", "x" * 256), ("site", "a\0b"), ("notes", "x" * 10_001), ("seats", "72"), ("seats", True),
        ("seats", 10**15), ("pilot", 1), ("pilot", "true"), ("start", "2026-02-29"), ("start", "20260228"), ("start", 5),
        ("start", "2026-W01-1"), ("region", "North America"), ("region", ["na"]), ("modules", "crm"), ("modules", ["hr"]),
        ("modules", [["crm"]]), ("code", ""), ("code", " "), ("code", None), ("undefined", "a\0"),
        ("undefined", {"a\0": 1}), ("undefined", {"a": "a\0"}), ("undefined", 10**18), ("undefined", -(10**18)),
        ("undefined", [[[[[[[[[1]]]]]]]]]), ("", 1), ("k" * 65, 1),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_key(key: str, value: Any) -> None:
    kept = {"code": "old"} if key == "code" else {}
    ((path, (message,)),) = errors({key: value}, kept=kept).items()
    assert path == f"custom_fields.{key[:64]}"
    assert is_sentence(message)


def test_strict_orgs_take_no_undefined_keys_and_name_the_nearest() -> None:
    (message,) = errors({"seat": 1}, strict=True)["custom_fields.seat"]
    assert "Did you mean 'seats'?" in message


def test_undefined_values_are_bounded_together() -> None:
    half = "x" * 8192
    assert not errors({"a": "x" * (16_384 - len('{"a":""}'))})
    (message,) = errors({"a": "x" * (16_385 - len('{"a":""}'))})["custom_fields"]
    assert is_sentence(message)
    assert not errors({"a": half})
    assert set(errors({"b": half}, kept={"a": half})) == {"custom_fields"}
    assert not errors({"notes": "x" * 9000}, kept={"a": half})


def test_the_number_of_fields_on_a_record_is_bounded() -> None:
    many = {f"k{number}": number for number in range(100)}
    assert not errors(many)
    assert set(errors({"one_more": 1}, kept=many)) == {"custom_fields"}


def test_true_is_not_one() -> None:
    found: Errors = {}
    assert checked({}, {"a": 1, "b": [1]}, {"a": True, "b": [True]}, found) == {"a": True, "b": [True]}
    assert checked({}, {"a": 72}, {"a": 72.0}, found) == {}


def test_options_chosen_twice_collapse() -> None:
    assert checked(DEFINITIONS, {}, {"modules": ["crm", "erp", "crm"]}, {}) == {"modules": ["crm", "erp"]}


def test_values_of_before_that_are_too_large_stand_in_the_way_of_no_defined_one() -> None:
    kept = {"old": "x" * 20_000}
    assert not errors({"notes": "new"}, kept=kept)
    many = {f"k{number}": number for number in range(98)}
    assert not errors({"notes": "new"}, kept={**kept, **many, "notes": "old"})


def test_defined_fields_count_too() -> None:
    many = {f"k{number}": number for number in range(100)}
    assert set(errors({"notes": "new"}, kept=many)) == {"custom_fields"}


def test_a_value_is_kept_in_normal_form_under_its_key_in_normal_form() -> None:
    assert checked(DEFINITIONS, {}, {"site": " Berlin ", "o\u0308": 1}, {}) == {"site": "Berlin", "ö": 1}


def test_what_is_the_same_is_left_out_of_what_is_not() -> None:
    kept = {"site": "Berlin", "list": [1, {"a": 2}], "seats": 1}
    assert checked(DEFINITIONS, kept, {**kept, "seats": 2}, {}) == {"seats": 2}


def test_none_removes_what_is_not_required() -> None:
    found: Errors = {}
    assert checked(DEFINITIONS, {"site": "Berlin"}, {"site": None}, found) == {"site": None}
    assert not found


def test_a_text_is_no_list_of_options() -> None:
    (message,) = errors({"modules": "crm"})["custom_fields.modules"]
    assert "list" in message


def test_what_is_no_option_is_named_with_the_nearest() -> None:
    (message,) = errors({"modules": ["erpp"]})["custom_fields.modules"]
    assert message.startswith("'erpp' ")
    assert "Did you mean 'erp'?" in message


def test_key_and_type_are_for_ever_but_may_be_repeated() -> None:
    given = Given(custom_field.Created(definition=SEATS), by="admin").when(Update(field="seats", key="seats", type="number")).then()
    errors = given.refused(Update(field="seats", key="chairs", type="text"))
    assert set(errors) == {"key", "type"}
    assert "seats" in errors["key"][0]
    assert "number" in errors["type"][0]


def test_an_update_touches_its_field_alone_and_is_judged_like_a_new_one() -> None:
    region = Definition(key="region", label="Region", type="dropdown", options=("EMEA", "NA"))
    given = Given(*(custom_field.Created(definition=one) for one in (SEATS, region)), by="admin")
    assert set(given.refused(Update(field="region", label="", options=("a", "a")))) == {"label", "options"}
    given.when(Update(field="seats", label="Chairs"))
    assert given.state.definitions == (structs.replace(SEATS, label="Chairs"), region)


def test_options_are_kept_in_normal_form() -> None:
    options = (" EMEA ", Option(" na ", " North America "))
    (event,) = Given(by="admin").when(create(type="dropdown", options=options)).events
    assert isinstance(event, custom_field.Created)
    assert event.definition.options == ("EMEA", Option("na", "North America"))
