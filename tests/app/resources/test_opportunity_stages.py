"""Stages as the contract has them: transitions, probability, reopening and the org's pipeline policy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused
from tests.support.server import Reply

WON = {"stage": "won", "actual_amount": "900", "actual_close_date": "2026-05-05"}
LOST = {"stage": "lost", "lost_reason": "price"}
OPEN = ["discovery", "qualification", "proposal", "negotiation"]


def path_of(record: Json) -> str:
    return f"{OPPORTUNITIES}{record['id']}/"


def transition(org: Org, record: Json, **body: Any) -> Reply:
    return org.admin.post(f"{path_of(record)}transition/", body)


def policy(org: Org) -> Json:
    """The org's policy, ready to be put."""
    found = made(org.admin.get("/api/pipeline/"), 200)
    return {name: found[name] for name in ("stages", "transitions", "lost_reasons", "allow_free_text")}


def put_policy(org: Org, **changes: Any) -> Json:
    return made(org.admin.put("/api/pipeline/", {**policy(org), **changes}), 200)


def moves(org: Org, record: Json) -> list[str]:
    return [to["stage"] for to in made(org.admin.get(f"{path_of(record)}transitions/"), 200)["transitions"]]


# Transition


def test_a_transition_answers_with_the_full_record(org: Org) -> None:
    record = org.opportunity()
    reply = transition(org, record, stage="qualification")
    after = made(reply, 200)
    assert list(after) == list(record)
    assert (after["stage"], after["probability"], after["version"]) == ("qualification", 40, 2)
    assert after["stage_entered_at"] == after["updated_at"] > record["stage_entered_at"]
    assert after["closed_at"] is None
    assert reply.headers["etag"].startswith('"2.')


def test_a_transition_needs_a_stage_that_is_there(org: Org) -> None:
    record = org.opportunity()
    assert set(errors(transition(org, record))) == {"stage"}
    assert "proposal" in errors(transition(org, record, stage="proposl"))["stage"]


def test_winning_with_an_actual_amount_of_0(org: Org) -> None:
    record = org.opportunity(amount="10")
    after = made(transition(org, record, **WON | {"actual_amount": 0}), 200)
    assert (after["status"], after["actual_amount"], after["amount"]) == ("won", "0.00", "10.00")


def test_closing_leaves_the_close_date_alone(org: Org) -> None:
    record = org.opportunity(close_date="2026-12-31")
    assert made(transition(org, record, **WON), 200)["close_date"] == "2026-12-31"


def test_everything_missing_is_told_at_once_with_what_else_is_wrong(org: Org) -> None:
    wrong = errors(transition(org, org.opportunity(), stage="won", amount="-1"))
    assert set(wrong) == {"actual_amount", "actual_close_date", "amount"}


def test_one_transition_is_one_event_with_its_comment(org: Org) -> None:
    record = org.opportunity()
    made(transition(org, record, **WON, amount="950", comment="Signed at last ✍"), 200)
    (entry,) = org.history(record)[1:]
    assert (entry["type"], entry["comment"]) == ("opportunity.won", "Signed at last ✍")
    assert {"stage", "status", "amount", "actual_amount", "actual_close_date"} <= set(entry["changes"])


@pytest.mark.parametrize("reason", ["price", "PRICE", "Price"])
def test_a_configured_reason_is_known_whatever_its_case(org: Org, reason: str) -> None:
    after = made(transition(org, org.opportunity(), stage="lost", lost_reason=reason), 200)
    assert (after["lost_reason"], after["lost_reason_code"]) == (reason, "price")


def test_free_text_is_a_reason_only_where_the_policy_allows_it(org: Org) -> None:
    after = made(transition(org, org.opportunity(), stage="lost", lost_reason="They went bankrupt"), 200)
    assert (after["lost_reason"], after["lost_reason_code"]) == ("They went bankrupt", None)
    put_policy(org, allow_free_text=False)
    record = org.opportunity()
    assert "price" in errors(transition(org, record, stage="lost", lost_reason="They went bankrupt"))["lost_reason"]
    assert "price" in errors(transition(org, record, stage="lost", lost_reason="prices"))["lost_reason"]
    assert made(transition(org, record, stage="lost", lost_reason="PRICE"), 200)["lost_reason_code"] == "price"


def test_closing_fields_belong_to_closed_deals(org: Org) -> None:
    record = org.opportunity()
    wrong = errors(transition(org, record, stage="proposal", actual_amount="5", actual_close_date="2026-05-05"))
    assert set(wrong) == {"actual_amount", "actual_close_date"}
    assert set(errors(org.admin.patch(path_of(record), {"lost_reason": "price"}))) == {"lost_reason"}


# No back door


@pytest.mark.parametrize("verb", ["patch", "put", "transition"])
def test_every_way_to_a_stage_obeys_the_policy(org: Org, verb: str) -> None:
    put_policy(org, transitions={"discovery": ["qualification", "won"], "won": ["discovery"]})
    record = org.opportunity()

    def move(**body: Any) -> Reply:
        match verb:
            case "patch":
                return org.admin.patch(path_of(record), body)
            case "put":
                return org.admin.put(path_of(record), {"name": "A", "account_id": record["account"]["id"], **body})
        return transition(org, record, **body)

    problem = refused(move(stage="proposal"), 409)
    assert (problem["code"], problem["allowed_stages"]) == ("transition_not_allowed", ["qualification", "won"])
    assert set(errors(move(stage="won"))) == {"actual_amount", "actual_close_date"}
    assert org.read(record)["version"] == 1
    assert made(move(**WON), 200)["status"] == "won"
    assert org.history(record)[-1]["type"] == "opportunity.won"


# Probability


def test_a_stage_sets_the_probability_unless_one_is_sent_along(org: Org) -> None:
    record = org.opportunity(probability=7)
    assert org.moved(record, stage="qualification")["probability"] == 40
    after = org.moved(record, stage="proposal", probability=55)
    assert (after["probability"], after["probability_source"]) == (55, "manual")
    after = made(org.admin.patch(path_of(record), {"stage": "negotiation"}), 200)
    assert (after["probability"], after["probability_source"]) == (80, "stage")


def test_closing_sets_100_and_0_whatever_is_sent(org: Org) -> None:
    assert org.moved(org.opportunity(), **WON, probability=5)["probability"] == 100
    assert org.moved(org.opportunity(), **LOST, probability=5)["probability"] == 0


def test_edits_that_keep_the_stage_never_touch_the_probability(org: Org) -> None:
    record = org.opportunity(probability=33)
    body = {"name": "B", "account_id": record["account"]["id"], "stage": "discovery"}
    assert made(org.admin.patch(path_of(record), {"amount": 5, "stage": "discovery"}), 200)["probability"] == 33
    assert made(org.admin.put(path_of(record), body), 200)["probability"] == 33
    assert org.moved(record, stage="discovery", amount=6)["probability"] == 33


def test_a_new_default_rewrites_no_deal(org: Org) -> None:
    record = org.opportunity()
    stages = policy(org)["stages"]
    stages[0]["probability"] = 25
    put_policy(org, stages=stages)
    assert org.read(record) == record
    assert org.opportunity()["probability"] == 25


@pytest.mark.parametrize("value", [-1, 101, 50.5, "50", True])
def test_a_probability_is_a_whole_number_from_0_to_100(org: Org, value: object) -> None:
    assert set(errors(org.admin.patch(path_of(org.opportunity()), {"probability": value}))) == {"probability"}


def test_a_closed_deal_has_the_probability_of_its_stage(org: Org) -> None:
    assert set(errors(org.admin.patch(path_of(org.won()), {"probability": 50}))) == {"probability"}


# Reopening


@pytest.mark.parametrize("closed", ["won", "lost"])
def test_reopening_clears_what_closing_had_set(org: Org, closed: str) -> None:
    record = org.won(amount="10") if closed == "won" else org.lost(amount="10")
    after = org.moved(record, stage="proposal")
    assert (after["status"], after["probability"], after["probability_source"]) == ("open", 60, "stage")
    assert {after[name] for name in ("actual_amount", "actual_close_date", "lost_reason", "lost_reason_code")} == {None}
    assert after["amount"] == "10.00"
    entry = org.history(record)[-1]
    assert entry["type"] == "opportunity.reopened"
    if closed == "won":
        assert entry["changes"]["actual_amount"] == ["900.00", None]
    else:
        assert entry["changes"]["lost_reason"] == ["price", None]


def test_won_and_lost_do_not_follow_each_other(org: Org) -> None:
    problem = refused(transition(org, org.won(), **LOST), 409)
    assert (problem["code"], problem["allowed_stages"]) == ("transition_not_allowed", OPEN)
    assert refused(transition(org, org.lost(), **WON), 409)["allowed_stages"] == OPEN


def test_a_closed_deal_keeps_what_its_stage_requires(org: Org) -> None:
    assert set(errors(org.admin.patch(path_of(org.won()), {"actual_amount": None}))) == {"actual_amount"}
    assert set(errors(org.admin.patch(path_of(org.lost()), {"lost_reason": None}))) == {"lost_reason"}
    assert made(org.admin.patch(path_of(org.won()), {"actual_amount": "1"}), 200)["actual_amount"] == "1.00"


# Transitions


def test_transitions_tell_where_a_deal_may_go_and_what_is_missing(org: Org) -> None:
    record = org.opportunity()
    told = made(org.admin.get(f"{path_of(record)}transitions/"), 200)
    assert told["stage"] == "discovery"
    assert [to["stage"] for to in told["transitions"]] == ["qualification", "proposal", "negotiation", "won", "lost"]
    won = told["transitions"][3]
    assert won == {
        "stage": "won",
        "label": "Won",
        "type": "won",
        "probability": 100,
        "required_fields": ["actual_amount", "actual_close_date"],
        "missing_fields": ["actual_amount", "actual_close_date"],
    }
    assert moves(org, org.won()) == OPEN


# Pipeline policy


@pytest.mark.parametrize(
    ("preset", "from_", "allowed"),
    [
        ("permissive", "proposal", ["discovery", "qualification", "negotiation", "won", "lost"]),
        ("no_skip", "proposal", ["discovery", "qualification", "negotiation", "lost"]),
        ("no_skip", "negotiation", ["discovery", "qualification", "proposal", "won", "lost"]),
        ("no_backward", "proposal", ["negotiation", "won", "lost"]),
        ("no_backward", "won", OPEN),
    ],
)
def test_presets(org: Org, preset: str, from_: str, allowed: list[str]) -> None:
    record = org.won() if from_ == "won" else org.opportunity(stage=from_)
    put_policy(org, transitions=preset)
    assert moves(org, record) == allowed
    outsider = "negotiation" if from_ == "proposal" and "negotiation" not in allowed else "won"
    if outsider not in allowed and outsider != from_:
        assert refused(transition(org, record, stage=outsider), 409)["allowed_stages"] == allowed


def test_a_stage_asks_for_its_required_fields(org: Org) -> None:
    org.custom_field("competitor", "text")
    stages = policy(org)["stages"]
    stages[2]["required_fields"] = ["amount", "close_date", "custom_fields.competitor"]
    stages[3]["required_fields"] = ["next_step"]
    put_policy(org, stages=stages)
    record = org.opportunity(amount=1)
    to = made(org.admin.get(f"{path_of(record)}transitions/"), 200)["transitions"][1]
    assert to["required_fields"] == ["amount", "close_date", "custom_fields.competitor"]
    assert to["missing_fields"] == ["close_date", "custom_fields.competitor"]
    assert set(errors(transition(org, record, stage="proposal"))) == {"close_date", "custom_fields.competitor"}
    assert set(errors(org.admin.patch(path_of(record), {"stage": "proposal", "close_date": "2026-01-01"}))) == {
        "custom_fields.competitor"
    }
    body = {"close_date": "2026-01-01", "custom_fields": {"competitor": "x"}}
    assert org.moved(record, stage="proposal", **body)["stage"] == "proposal"
    assert set(errors(org.admin.patch(path_of(record), {"amount": None}))) == {"amount"}
    assert set(errors(transition(org, record, stage="negotiation"))) == {"next_step"}
    assert org.moved(record, stage="negotiation", next_step="Sign")["stage"] == "negotiation"


def test_rules_go_by_type_and_not_by_name(org: Org) -> None:
    put_policy(
        org,
        stages=[
            {"key": "lost", "label": "Trouvé", "type": "open", "probability": 10},
            {"key": "signed", "label": "Signé", "type": "won"},
            {"key": "won", "label": "Perdu", "type": "lost"},
        ],
    )
    record = org.opportunity()
    assert (record["stage"], record["status"], record["probability"]) == ("lost", "open", 10)
    assert set(errors(transition(org, record, stage="won"))) == {"lost_reason"}
    after = made(transition(org, record, stage="won", lost_reason="price"), 200)
    assert (after["status"], after["probability"]) == ("lost", 0)
    record = org.moved(org.opportunity(), **WON | {"stage": "signed"})
    assert (record["status"], record["probability"]) == ("won", 100)


def test_a_stage_in_use_cannot_be_removed(org: Org) -> None:
    org.opportunity(stage="proposal")
    record = org.opportunity(stage="proposal")
    stages = [stage for stage in policy(org)["stages"] if stage["key"] != "proposal"]
    problem = refused(org.admin.put("/api/pipeline/", {**policy(org), "stages": stages}), 409)
    assert (problem["code"], problem["stages"]) == ("stage_in_use", {"proposal": 2})
    assert "2" in problem["detail"]
    org.moved(record, stage="won", actual_amount=1, actual_close_date="2026-01-01")
    assert refused(org.admin.put("/api/pipeline/", {**policy(org), "stages": stages}), 409)["stages"] == {"proposal": 1}
    deals = org.listed("stage=proposal")["results"]
    org.admin.delete(path_of(deals[0]))
    assert len(put_policy(org, stages=stages)["stages"]) == 5
    refused(org.admin.post(f"{path_of(deals[0])}restore/"), 409)


def test_the_policy_has_a_version_and_a_history(org: Org) -> None:
    reply = org.admin.get("/api/pipeline/")
    assert reply.headers["etag"].startswith('"1.')
    same = org.admin.put("/api/pipeline/", policy(org))
    assert made(same, 200) == reply.json()
    body = {**policy(org), "transitions": "no_skip"}
    refused(org.admin.put("/api/pipeline/", body, If_Match='"9"'), 412)
    assert made(org.admin.put("/api/pipeline/", body, If_Match='"1"'), 200)["version"] == 2
    event = org.listed("limit=500", "/api/events/")["results"][-1]
    assert (event["type"], event["changes"]) == ("pipeline.replaced", {"transitions": ["permissive", "no_skip"]})


def test_what_makes_no_sense_in_a_policy_is_told_by_its_place(org: Org) -> None:
    good = policy(org)
    stages = good["stages"]
    for changes, field in [
        ({"stages": []}, "stages"),
        ({"stages": stages[:4]}, "stages"),
        ({"stages": [*stages, stages[0]]}, "stages.6.key"),
        ({"stages": [{**stages[0], "key": "Not a key"}, *stages[1:]]}, "stages.0.key"),
        ({"stages": [{**stages[0], "type": "opened"}, *stages[1:]]}, "stages.0.type"),
        ({"stages": [{**stages[0], "label": ""}, *stages[1:]]}, "stages.0.label"),
        ({"stages": [{**stages[0], "probability": 101}, *stages[1:]]}, "stages.0.probability"),
        ({"stages": [{**stages[0], "required_fields": ["amout"]}, *stages[1:]]}, "stages.0.required_fields"),
        ({"stages": [{**stages[0], "colour": "red"}, *stages[1:]]}, "stages.0.colour"),
        ({"transitions": "no_skipping"}, "transitions"),
        ({"transitions": {"discovery": ["nowhere"]}}, "transitions.discovery"),
        ({"lost_reasons": [{"code": "a", "label": "A"}, {"code": "A", "label": "B"}]}, "lost_reasons.1.code"),
        ({"lost_reasons": [], "allow_free_text": False}, "lost_reasons"),
        ({"allow_free_txt": True}, "allow_free_txt"),
    ]:
        wrong = errors(org.admin.put("/api/pipeline/", {**good, **changes}))
        assert list(wrong) == [field]
