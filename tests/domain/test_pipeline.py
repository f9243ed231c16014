"""Rules of the pipeline policy and of changing it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from domain import pipeline
from domain.custom_field import Definition
from domain.errors import Conflict, Forbidden
from domain.facts import Facts
from domain.pipeline import DEFAULT, LostReason, Replace, Replaced, Stage, Transitions
from tests.support.domain import PIPELINE, Given, policy

OPEN = ["discovery", "qualification", "proposal", "negotiation"]


def set_up(**changes: Any) -> Given:
    """A pipeline as the default one but for the changes."""
    return Given(by="admin").when(structs.replace(DEFAULT, **changes))


def rules(transitions: Transitions) -> pipeline.State:
    state = set_up(transitions=transitions).state
    assert isinstance(state, pipeline.State)
    return state


def test_the_default_is_the_one_of_the_contract() -> None:
    assert [(stage.key, stage.type, stage.probability) for stage in PIPELINE.stages] == [
        ("discovery", "open", 20),
        ("qualification", "open", 40),
        ("proposal", "open", 60),
        ("negotiation", "open", 80),
        ("won", "won", 100),
        ("lost", "lost", 0),
    ]
    assert PIPELINE.initial.key == "discovery"


def test_permissive_lets_open_deals_go_anywhere_and_closed_ones_be_reopened() -> None:
    state = rules("permissive")
    assert list(state.allowed("proposal")) == ["discovery", "qualification", "negotiation", "won", "lost"]
    assert list(state.allowed("won")) == OPEN
    assert list(state.allowed("lost")) == OPEN


def test_no_skip_goes_forward_one_stage_at_a_time() -> None:
    state = rules("no_skip")
    assert list(state.allowed("discovery")) == ["qualification", "lost"]
    assert list(state.allowed("proposal")) == ["discovery", "qualification", "negotiation", "lost"]
    assert list(state.allowed("negotiation")) == ["discovery", "qualification", "proposal", "won", "lost"]
    assert list(state.allowed("won")) == OPEN


def test_no_backward_goes_to_later_stages_only() -> None:
    state = rules("no_backward")
    assert list(state.allowed("discovery")) == ["qualification", "proposal", "negotiation", "won", "lost"]
    assert list(state.allowed("negotiation")) == ["won", "lost"]
    assert list(state.allowed("lost")) == OPEN


def test_a_map_allows_what_it_says_and_nothing_else() -> None:
    state = rules({"discovery": ("won", "discovery", "proposal"), "won": ("lost",)})
    assert list(state.allowed("discovery")) == ["proposal", "won"]
    assert list(state.allowed("won")) == ["lost"]
    assert list(state.allowed("proposal")) == []


def test_out_of_a_stage_that_is_gone_any_move_is_allowed() -> None:
    assert list(PIPELINE.allowed("gone")) == [*OPEN, "won", "lost"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"stages": DEFAULT.stages[:-1]}, "stages"),
        ({"stages": DEFAULT.stages[4:]}, "stages"),
        ({"stages": ()}, "stages"),
        ({"stages": (*DEFAULT.stages, Stage("won", "Again", "won"))}, "stages.6.key"),
        ({"stages": (*DEFAULT.stages, Stage("No Key", "X", "open"))}, "stages.6.key"),
        ({"stages": (*DEFAULT.stages, Stage("x", " ", "open"))}, "stages.6.label"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "open", 101))}, "stages.6.probability"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "won", 90))}, "stages.6.probability"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "lost", 10))}, "stages.6.probability"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "open", 1, ("amuont",)))}, "stages.6.required_fields"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "open", 1, ("lost_reason",)))}, "stages.6.required_fields"),
        ({"stages": (*DEFAULT.stages, Stage("x", "X", "open", 1, ("custom_fields.no",)))}, "stages.6.required_fields"),
        ({"transitions": {"nowhere": ("won",)}}, "transitions.nowhere"),
        ({"transitions": {"discovery": ("nowhere",)}}, "transitions.discovery"),
        ({"lost_reasons": (), "allow_free_text": False}, "lost_reasons"),
        ({"lost_reasons": (LostReason("", "X"),)}, "lost_reasons.0.code"),
        ({"lost_reasons": (LostReason("x", "a\0"),)}, "lost_reasons.0.label"),
        ({"lost_reasons": (LostReason("x", "X"), LostReason("X", "Y"))}, "lost_reasons.1.code"),
    ],
)
def test_what_is_no_pipeline_is_refused_by_place(changes: dict[str, Any], path: str) -> None:
    assert path in Given(by="admin").refused(structs.replace(DEFAULT, **changes))


def test_a_stage_may_require_a_defined_custom_field() -> None:
    stages = (*DEFAULT.stages, Stage("pilot", "Pilot", "open", 50, ("custom_fields.seats",)))
    defined = policy(Definition(key="seats", label="Seats", type="number"))
    assert Given(by="admin", policy=defined).when(structs.replace(DEFAULT, stages=stages)).events


def test_closed_stages_have_their_probability_without_being_told() -> None:
    stages = (Stage("a", "A", "open", 5), Stage("won", "W", "won"), Stage("lost", "L", "lost"))
    assert [stage.probability for stage in set_up(stages=stages).state.stages] == [5, 100, 0]


def test_a_stage_in_use_can_neither_go_nor_change_its_type() -> None:
    given = set_up()
    used = Facts(in_use={"proposal": 12, "won": 3, "negotiation": 0})
    without = tuple(stage for stage in DEFAULT.stages if stage.key not in ("proposal", "negotiation"))
    with pytest.raises(Conflict, match=r"\(12 in 'proposal'\)") as refusal:
        given.when(structs.replace(DEFAULT, stages=without), facts=used)
    assert (refusal.value.code, refusal.value.extra) == ("stage_in_use", {"stages": {"proposal": 12}})
    with pytest.raises(Conflict, match=r"\(12 in 'proposal', 3 in 'won'\)"):
        given.when(structs.replace(DEFAULT, stages=(DEFAULT.stages[0], Stage("w", "W", "won"), DEFAULT.stages[-1])), facts=used)
    turned = tuple(structs.replace(stage, type="open", probability=90) if stage.key == "won" else stage for stage in DEFAULT.stages)
    with pytest.raises(Conflict):
        given.when(structs.replace(DEFAULT, stages=(*turned, Stage("signed", "S", "won"))), facts=used)
    renamed = tuple(structs.replace(stage, label=stage.label.upper()) for stage in reversed(DEFAULT.stages))
    assert given.when(structs.replace(DEFAULT, stages=renamed), facts=used).events


def test_the_same_policy_again_is_no_event() -> None:
    set_up().when(DEFAULT).then()


def test_only_an_admin_changes_it() -> None:
    with pytest.raises(Forbidden):
        Given().when(DEFAULT, by="manager")


def test_what_is_left_out_gets_its_default() -> None:
    (event,) = Given(by="admin").when(Replace(stages=DEFAULT.stages)).events
    assert isinstance(event, Replaced)
    assert (event.transitions, event.lost_reasons, event.allow_free_text) == ("permissive", (), True)


def test_complaints_about_a_policy_are_limited() -> None:
    stages = [Stage(f"s{n}", "S", "open", required_fields=("x" * 64,) * 500) for n in range(50)]
    wanted = Replace(stages=tuple(stages), transitions={"a": ("b" * 100_000,) * 1_000})
    texts = [text for texts in Given(by="admin").refused(wanted).values() for text in texts]
    assert len(texts) == 50
    assert all(len(text) < 3_000 for text in texts)


def test_a_new_policy_replaces_the_old_one() -> None:
    given = set_up().when(structs.replace(DEFAULT, transitions="no_skip", allow_free_text=False))
    assert (given.state.transitions, given.state.allow_free_text) == ("no_skip", False)


def test_labels_and_codes_are_kept_in_normal_form() -> None:
    stages = (Stage("a", " Anfang\u0308 ", "open", 5, ("amount",)), *DEFAULT.stages[-2:])
    state = set_up(stages=stages, lost_reasons=(LostReason(" price ", " Too dear "),)).state
    assert state.stages[0] == Stage("a", "Anfang\u0308", "open", 5, ("amount",))
    assert state.lost_reasons == (LostReason("price", "Too dear"),)


def test_names_that_are_not_known_are_repeated_up_to_64_characters() -> None:
    long = "x" * 65
    bad = structs.replace(
        DEFAULT,
        stages=(*DEFAULT.stages, Stage("x", "X", "open", 1, (long,))),
        transitions={long: (), "discovery": (long,)},
    )
    errors = Given(by="admin").refused(bad)
    assert set(errors) == {"stages.6.required_fields", f"transitions.{long[:64]}", "transitions.discovery"}
    for (message,) in errors.values():
        assert f" {long[:64]!r}. " in message


def test_a_probability_that_no_stage_can_have_is_told_once() -> None:
    stages = (*DEFAULT.stages, Stage("x", "X", "won", 101))
    (message,) = Given(by="admin").refused(structs.replace(DEFAULT, stages=stages))["stages.6.probability"]
    assert "from 0 to 100" in message


def test_what_closes_a_deal_may_be_required_where_it_is_closed() -> None:
    closing = ("actual_amount", "actual_close_date", "lost_reason")
    allowed = {type_: tuple(name for name in names if name in closing) for type_, names in pipeline.REQUIRABLE_BY_TYPE.items()}
    assert allowed == {"open": (), "won": closing[:2], "lost": closing}
