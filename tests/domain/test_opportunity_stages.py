"""Rules of moving a deal between stages: the same ones by transition, PATCH and PUT."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain import opportunity
from domain.custom_field import Definition
from domain.errors import Conflict
from domain.event import Command, Event
from domain.opportunity import ChangeStage, Replace, Update
from domain.pipeline import DEFAULT, LostReason, Stage
from domain.pipeline import Replace as ReplacePipeline
from tests.support.domain import ACCOUNT, NOW, TODAY, Given, changes, created, lost, policy, won

Move = Callable[..., Command]


def _put(**fields: Any) -> Command:
    return Replace(**{"name": "Annual 2026", "account_id": ACCOUNT, "amount": Decimal(24000), **fields})


PATHS = pytest.mark.parametrize("move", [ChangeStage, Update, _put], ids=["transition", "patch", "put"])


@PATHS
def test_a_move_between_open_stages_takes_the_stage_s_probability(move: Move) -> None:
    deal = Given(created(probability=35, probability_source="manual")).when(move(stage="negotiation"))
    deal.then(opportunity.StageChanged(changes=changes(stage="negotiation", probability=80, probability_source="stage")))
    assert deal.state.stage_entered_at == NOW + timedelta(hours=1)


@PATHS
def test_a_probability_in_the_same_request_wins_over_the_stage_s(move: Move) -> None:
    deal = Given(created()).when(move(stage="negotiation", probability=0)).state
    assert (deal.probability, deal.probability_source) == (0, "manual")


@PATHS
def test_winning_needs_amount_and_date_and_says_so_at_once(move: Move) -> None:
    assert set(Given(created()).refused(move(stage="won"))) == {"actual_amount", "actual_close_date"}
    assert set(Given(created()).refused(move(stage="won", actual_close_date=TODAY))) == {"actual_amount"}


@PATHS
def test_winning_is_one_event_with_all_that_changed(move: Move) -> None:
    deal = Given(created()).when(
        move(stage="won", actual_amount=Decimal(0), actual_close_date=TODAY, probability=3, amount=Decimal(9))
    )
    deal.then(
        opportunity.Won(
            changes=changes(
                stage="won", status="won", probability=100, amount=Decimal("9.00"), actual_amount=Decimal("0.00"),
                actual_close_date=TODAY,
            )
        )
    )  # fmt: skip


@PATHS
def test_losing_needs_a_reason(move: Move) -> None:
    assert set(Given(created()).refused(move(stage="lost"))) == {"lost_reason"}
    assert set(Given(created()).refused(move(stage="lost", lost_reason="  "))) == {"lost_reason"}
    Given(created()).when(move(stage="lost", lost_reason="Price")).then(
        opportunity.Lost(changes=changes(stage="lost", status="lost", probability=0, lost_reason="Price", lost_reason_code="price"))
    )


@PATHS
def test_free_text_is_no_reason_where_the_org_wants_codes(move: Move) -> None:
    strict = ReplacePipeline(stages=DEFAULT.stages, lost_reasons=(LostReason("price", "Too dear"),), allow_free_text=False)
    deal = Given(created(), policy=policy(stages=strict))
    (message,) = deal.refused(move(stage="lost", lost_reason="prize"))["lost_reason"]
    assert "'price'" in message
    assert deal.when(move(stage="lost", lost_reason="TOO DEAR")).state.lost_reason_code == "price"


@PATHS
@pytest.mark.parametrize("closing", [won(), lost()], ids=["won", "lost"])
def test_reopening_clears_how_it_was_closed(move: Move, closing: Any) -> None:
    deal = Given(created(), closing).when(move(stage="proposal"))
    assert [type(event) for event in deal.events] == [opportunity.Reopened]
    state = deal.state
    assert (state.status, state.probability, state.probability_source) == ("open", 60, "stage")
    assert (state.actual_amount, state.actual_close_date, state.lost_reason, state.lost_reason_code) == (None,) * 4


@PATHS
def test_reopening_takes_closing_fields_only_as_an_echo_of_the_old_ones(move: Move) -> None:
    deal = Given(created(), won())
    assert "actual_amount" in deal.refused(move(stage="proposal", actual_amount=Decimal(1)))
    deal.when(move(stage="proposal", actual_amount=Decimal(23000), actual_close_date=TODAY))
    assert deal.state.actual_amount is None


@PATHS
def test_won_and_lost_do_not_change_into_each_other(move: Move) -> None:
    with pytest.raises(Conflict) as refusal:
        Given(created(), won()).when(move(stage="lost", lost_reason="price"))
    assert refusal.value.code == "transition_not_allowed"
    assert refusal.value.extra["allowed_stages"] == ["discovery", "qualification", "proposal", "negotiation"]


@PATHS
def test_where_a_map_lets_won_become_lost_the_old_closing_goes(move: Move) -> None:
    free = ReplacePipeline(stages=DEFAULT.stages, transitions={"won": ("lost",), "lost": ("won",)})
    deal = Given(created(), won(), policy=policy(stages=free)).when(move(stage="lost", lost_reason="It bounced"))
    assert [type(event) for event in deal.events] == [opportunity.Lost]
    assert (deal.state.actual_amount, deal.state.actual_close_date, deal.state.probability) == (None, None, 0)
    assert set(deal.refused(move(stage="won"))) == {"actual_amount", "actual_close_date"}
    deal.when(move(stage="won", actual_amount=Decimal(1), actual_close_date=TODAY))
    assert (deal.state.lost_reason, deal.state.lost_reason_code) == (None, None)


@PATHS
def test_a_refused_move_is_a_conflict_that_names_the_allowed_stages(move: Move) -> None:
    with pytest.raises(Conflict, match=r" Allowed: qualification, lost\.$") as refusal:
        Given(created(), policy=policy(stages=ReplacePipeline(stages=DEFAULT.stages, transitions="no_skip"))).when(
            move(stage="negotiation")
        )
    assert refusal.value.extra["allowed_stages"] == ["qualification", "lost"]
    nowhere = policy(stages=ReplacePipeline(stages=DEFAULT.stages, transitions={}))
    with pytest.raises(Conflict, match=r" No move is allowed\.$"):
        Given(created(), policy=nowhere).when(move(stage="negotiation"))


@PATHS
def test_an_unknown_stage_is_no_conflict_but_a_bad_value(move: Move) -> None:
    assert "Did you mean 'negotiation'?" in Given(created()).refused(move(stage="negotation"))["stage"][0]


@PATHS
def test_a_stage_s_own_requirements_hold_on_every_path(move: Move) -> None:
    stages = (
        Stage("discovery", "D", "open", 20),
        Stage("proposal", "P", "open", 60, ("close_date", "tags", "custom_fields.seats")),
        Stage("won", "W", "won"),
        Stage("lost", "L", "lost"),
    )
    rules = policy(Definition(key="seats", label="Seats", type="number"), stages=ReplacePipeline(stages=stages))
    deal = Given(created(), policy=rules)
    assert set(deal.refused(move(stage="proposal"))) == {"close_date", "tags", "custom_fields.seats"}
    deal.when(move(stage="proposal", close_date=TODAY, tags=("a",), custom_fields={"seats": 0}))
    assert [type(event) for event in deal.events] == [opportunity.StageChanged]


def test_a_custom_field_on_the_record_satisfies_a_requirement() -> None:
    stages = (DEFAULT.stages[0], Stage("pilot", "P", "open", 60, ("custom_fields.seats",)), *DEFAULT.stages[-2:])
    rules = policy(Definition(key="seats", label="Seats", type="number"), stages=ReplacePipeline(stages=stages))
    assert Given(created(custom_fields={"seats": 5}), policy=rules).when(ChangeStage(stage="pilot", custom_fields={"a": 1})).events


def test_values_on_the_record_satisfy_a_requirement() -> None:
    stages = (
        Stage("discovery", "D", "open", 20),
        Stage("proposal", "P", "open", 60, ("amount",)),
        Stage("won", "W", "won"),
        Stage("lost", "L", "lost"),
    )
    rules = policy(stages=ReplacePipeline(stages=stages))
    assert Given(created(), policy=rules).when(ChangeStage(stage="proposal")).events
    assert set(Given(created(amount=None), policy=rules).refused(ChangeStage(stage="proposal"))) == {"amount"}


def test_a_move_between_won_stages_is_not_won_again() -> None:
    stages = (
        Stage("a", "A", "open"),
        Stage("won", "W", "won"),
        Stage("signed", "S", "won"),
        Stage("lost", "L", "lost"),
    )
    rules = policy(stages=ReplacePipeline(stages=stages, transitions={"won": ("signed",)}))
    deal = Given(created(), won(), policy=rules).when(ChangeStage(stage="signed"))
    deal.then(opportunity.StageChanged(changes=changes(stage="signed")))
    assert (deal.state.closed_at, deal.state.stage_entered_at) == (NOW + timedelta(hours=1), NOW + timedelta(hours=2))


@pytest.mark.parametrize("closing", [won(), lost()])
def test_a_deal_is_closed_from_when_it_is_won_or_lost_until_it_is_reopened(closing: Event) -> None:
    deal = Given(created())
    assert deal.state.closed_at is None
    deal = Given(created(), closing).when(Update(name="B"))
    assert deal.state.closed_at == deal.state.stage_entered_at == NOW + timedelta(hours=1)
    assert deal.when(ChangeStage(stage="proposal")).state.closed_at is None
    assert deal.state.stage_entered_at == NOW + timedelta(hours=3)


def test_a_deal_that_was_won_and_then_lost_is_closed_from_when_it_was_lost() -> None:
    rules = policy(stages=ReplacePipeline(stages=DEFAULT.stages, transitions={"won": ("lost",)}))
    deal = Given(created(), won(), policy=rules).when(ChangeStage(stage="lost", lost_reason="price"))
    assert deal.state.closed_at == NOW + timedelta(hours=2)


def test_a_later_default_of_a_stage_rewrites_no_deal() -> None:
    raised = ReplacePipeline(stages=(Stage("discovery", "D", "open", 50), Stage("won", "W", "won"), Stage("lost", "L", "lost")))
    deal = Given(created()).when(Update(name="B"), policy=policy(stages=raised))
    assert deal.state.probability == 20


def test_a_comment_is_no_change_of_the_deal() -> None:
    Given(created()).when(ChangeStage(stage="proposal", comment="They asked for one")).then(
        opportunity.StageChanged(changes=changes(stage="proposal", probability=60))
    )
    assert "comment" in Given(created()).refused(ChangeStage(stage="proposal", comment="\0"))
    for comment in ("", " ", "x" * 10_000):
        assert Given(created()).when(ChangeStage(stage="proposal", comment=comment)).events
    assert "comment" in Given(created()).refused(ChangeStage(stage="proposal", comment="x" * 10_001))
