"""Rules of changing a deal by PATCH and PUT, and of deleting and restoring it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain import opportunity
from domain.custom_field import Definition
from domain.deal_fields import NAMES, DealFields
from domain.errors import Conflict, Forbidden, NotFound
from domain.facts import Facts
from domain.opportunity import ChangeStage, Create, Delete, Replace, Restore, Update
from domain.pipeline import DEFAULT, LostReason, Stage
from domain.pipeline import Replace as ReplacePipeline
from tests.support.domain import (
    ACCOUNT,
    JANE,
    OMAR,
    OTHER_ACCOUNT,
    OTHER_REP,
    READER,
    REP,
    TODAY,
    UNKNOWN,
    Given,
    changes,
    created,
    lost,
    policy,
    won,
)

JUNE = date(2026, 6, 30)


def test_whatever_edits_a_deal_takes_the_same_fields_and_its_events_and_state_have_them() -> None:
    declared = set(DealFields.__struct_fields__)
    for command in (Create, Replace, Update):
        own = set(command.__struct_fields__) - declared
        assert own == {"name", "account_id", "currency", "stage", "owner_id", *NAMES}
    assert set(ChangeStage.__struct_fields__) - declared == {"stage", "currency", "comment", "stakeholder_external_ids"}
    for each in (Create, Replace, Update, ChangeStage):
        types = {field.name: field.type for field in structs.fields(each)}
        assert all(types[field.name] == field.type and not field.required for field in structs.fields(DealFields))
    assert declared <= set(opportunity.Changes.__struct_fields__)
    assert declared <= set(opportunity.State.__struct_fields__)


def test_a_patch_changes_only_what_is_given() -> None:
    Given(created(close_date=JUNE)).when(Update(amount=Decimal(5))).then(
        opportunity.Updated(changes=changes(amount=Decimal("5.00")))
    )


@pytest.mark.parametrize(
    ("field", "value", "cleared"),
    [
        ("amount", Decimal(5), None),
        ("close_date", JUNE, None),
        ("next_step", "Call Jane", None),
        ("tags", ("a",), ()),
        ("stakeholder_ids", (JANE,), ()),
        ("custom_fields", {"a": 1}, {}),
    ],
)
def test_null_clears(field: str, value: Any, cleared: Any) -> None:
    nothing: dict[str, Any] = {field: None}
    deal = Given(created(**{field: value})).when(Update(**nothing))
    assert getattr(deal.state, field) == cleared


@pytest.mark.parametrize(
    "command",
    [
        Update(),
        Update(name=" Annual 2026 ", amount=Decimal(24000), currency="usd", stage="discovery", probability=20),
        Update(tags=("a", "b", "a"), stakeholder_ids=(JANE, JANE), custom_fields={"a": 1, "b": None}),
        Update(close_date=None, lost_reason=None, actual_amount=None),
        ChangeStage(stage="discovery"),
        ChangeStage(stage="discovery", comment="still there"),
        Restore(),
    ],
)
def test_what_changes_nothing_is_no_event(command: Any) -> None:
    Given(created(tags=("a", "b"), stakeholder_ids=(JANE,), custom_fields={"a": 1})).when(command).then()


def test_custom_fields_merge_by_key_and_null_removes_one() -> None:
    deal = Given(created(custom_fields={"a": 1, "b": 2})).when(Update(custom_fields={"b": None, "c": 3}))
    deal.then(opportunity.Updated(changes=changes(custom_fields={"b": None, "c": 3})))
    assert deal.state.custom_fields == {"a": 1, "c": 3}


@pytest.mark.parametrize("step", ["", " ", "one\ntwo", "\u202e", "\u200b"])
def test_a_next_step_is_one_line_with_something_to_see(step: str) -> None:
    for command in (Update(next_step=step), Replace(name="A", account_id=ACCOUNT, next_step=step)):
        assert set(Given(created()).refused(command)) == {"next_step"}
    assert set(Given(created()).refused(ChangeStage(stage="proposal", next_step=step))) == {"next_step"}
    assert set(Given().refused(Create(name="A", account_id=ACCOUNT, next_step=step))) == {"next_step"}


def test_a_next_step_is_kept_in_normal_form() -> None:
    deal = Given(created()).when(Update(next_step=" Cafe\u0301 "))
    deal.then(opportunity.Updated(changes=changes(next_step="Caf\xe9")))
    deal.when(Update(next_step="Caf\xe9")).then()


def test_an_edit_never_touches_the_probability() -> None:
    deal = Given(created(probability=35, probability_source="manual")).when(Update(amount=Decimal(1), close_date=JUNE))
    assert (deal.state.probability, deal.state.probability_source) == (35, "manual")


def test_a_probability_of_null_is_the_stage_s_again() -> None:
    deal = Given(created(probability=35, probability_source="manual")).when(Update(probability=None))
    assert (deal.state.probability, deal.state.probability_source) == (20, "stage")


def test_a_closed_deal_s_probability_is_fixed() -> None:
    assert "probability" in Given(created(), won()).refused(Update(probability=50))
    assert "probability" in Given(created(), lost()).refused(Update(probability=50))
    Given(created(), won()).when(Update(probability=100)).then()
    Given(created(), won()).when(Update(probability=None)).then()


def test_a_currency_is_one_of_iso_4217() -> None:
    assert "currency" in Given(created()).refused(Update(currency="EURO"))
    assert Given(created()).when(Update(currency="eur")).state.currency == "EUR"


def test_a_new_currency_alone_must_suit_the_amount_there_is() -> None:
    deal = Given(created(amount=Decimal("10.50")))
    (message,) = deal.refused(Update(currency="JPY"))["currency"]
    assert "10.50" in message
    assert deal.when(Update(currency="JPY", amount=Decimal(11))).state.amount == 11
    assert Given(created(amount=Decimal("10.00"))).when(Update(currency="JPY")).state.currency == "JPY"
    ((path, (message,)),) = Given(created(), won(actual_amount=Decimal("10.50"))).refused(Update(currency="JPY")).items()
    assert path == "currency"
    assert "actual_amount" in message


@pytest.mark.parametrize("bad", ["NaN", "sNaN", "Infinity", "-1", "1E+400000", "1E-400000", "1000000000000000", "0.001"])
def test_what_is_no_amount_is_refused(bad: str) -> None:
    assert "amount" in Given(created()).refused(Update(amount=Decimal(bad)))
    assert "amount" in Given(created()).refused(Update(amount=Decimal(bad), currency="JPY"))
    assert "currency" in Given(created()).refused(Update(amount=Decimal(bad), currency="ZZZ"))
    assert "actual_amount" in Given(created(), won()).refused(Update(actual_amount=Decimal(bad)))
    assert "actual_amount" in Given(created(), won()).refused(Update(actual_amount=Decimal(bad), stage="proposal"))


def test_references_must_be_live_records_of_the_org() -> None:
    errors = Given(created()).refused(Update(account_id=UNKNOWN, owner_id=UNKNOWN, stakeholder_ids=(UNKNOWN, JANE)))
    assert all(str(UNKNOWN) in message for messages in errors.values() for message in messages)
    assert set(errors) == {"account_id", "owner_id", "stakeholder_ids"}


def test_references_that_stay_are_not_looked_at_again() -> None:
    deal = Given(created(stakeholder_ids=(JANE,)), facts=Facts(contacts=frozenset({OMAR})))
    deal.when(Update(account_id=ACCOUNT, owner_id=REP, stakeholder_ids=(JANE, OMAR)))
    deal.then(opportunity.Updated(changes=changes(stakeholder_ids=(JANE, OMAR))))


@pytest.mark.parametrize(
    "update",
    [
        Update(name=""), Update(name="x" * 256), Update(name="a\0b"), Update(tags=("",)), Update(tags=("a" * 65,)),
        Update(tags=tuple(str(n) for n in range(51))), Update(probability=-1), Update(probability=101),
        Update(close_date=date(26, 6, 30)), Update(custom_fields={"": 1}), Update(custom_fields={"a\0": 1}),
    ],
)  # fmt: skip
def test_limits_are_refused_by_field(update: Update) -> None:
    (field,) = {name for name in update.__struct_fields__ if isinstance(getattr(update, name), str | tuple | dict | date | int)}
    assert all(name.startswith(field) for name in Given(created()).refused(update))


@pytest.mark.parametrize("field", ["actual_amount", "actual_close_date", "lost_reason"])
def test_an_open_deal_has_no_closing_fields(field: str) -> None:
    values: dict[str, Any] = {"actual_amount": Decimal(1), "actual_close_date": TODAY, "lost_reason": "price"}
    (message,) = Given(created()).refused(Update(**{field: values[field]}))[field]
    assert ("to a lost stage in the same request" if field == "lost_reason" else "to a won or lost stage in the same") in message


def test_a_won_deal_s_actual_amount_can_be_mended() -> None:
    Given(created(), won()).when(Update(actual_amount=Decimal(7))).then(
        opportunity.Updated(changes=changes(actual_amount=Decimal("7.00")))
    )


def test_what_a_stage_requires_cannot_be_cleared_there() -> None:
    assert Given(created(), won()).refused(Update(actual_amount=None, actual_close_date=None)).keys() == {
        "actual_amount",
        "actual_close_date",
    }
    assert Given(created(), lost()).refused(Update(lost_reason=None)).keys() == {"lost_reason"}


def test_a_requirement_of_later_does_not_stop_other_edits() -> None:
    demanding = ReplacePipeline(
        stages=(
            Stage("discovery", "D", "open", 20, ("amount", "close_date", "custom_fields.seats")),
            Stage("won", "W", "won"),
            Stage("lost", "L", "lost"),
        ),
        lost_reasons=(LostReason("price", "Price"),),
    )
    rules = policy(Definition(key="seats", label="Seats", type="number", required=True), stages=demanding)
    deal = Given(created(), policy=rules)
    assert deal.when(Update(name="B")).events
    assert "amount" in deal.refused(Update(amount=None))
    assert deal.when(Update(custom_fields={"seats": 0})).state.custom_fields == {"seats": 0}
    assert "custom_fields.seats" in deal.refused(Update(custom_fields={"seats": None}))


def test_a_won_deal_has_no_lost_reason() -> None:
    assert "lost_reason" in Given(created(), won()).refused(Update(lost_reason="price"))


def test_a_lost_reason_may_be_a_configured_code_or_label_or_free_text() -> None:
    deal = Given(created(), lost())
    assert deal.when(Update(lost_reason="Bad Timing")).state.lost_reason_code == "timing"
    deal.when(Update(lost_reason="They moved away")).then(
        opportunity.Updated(changes=changes(lost_reason="They moved away", lost_reason_code=None))
    )


def test_a_put_clears_what_is_left_out_but_not_stage_owner_and_probability() -> None:
    past = created(
        close_date=JUNE, currency="EUR", stage="proposal", probability=35, probability_source="manual",
        tags=("a",), stakeholder_ids=(JANE,), custom_fields={"a": 1, "b": 2},
    )  # fmt: skip
    deal = Given(past).when(Replace(name="B", account_id=OTHER_ACCOUNT, custom_fields={"b": 3})).state
    assert (deal.name, deal.account_id, deal.custom_fields) == ("B", OTHER_ACCOUNT, {"b": 3})
    assert (deal.amount, deal.close_date, deal.tags, deal.stakeholder_ids) == (None, None, (), ())
    assert (deal.stage, deal.probability, deal.probability_source, deal.owner_id) == ("proposal", 35, "manual", REP)
    assert deal.currency == "USD"


def test_a_put_of_the_deal_as_it_is_changes_nothing() -> None:
    deal = Given(created(close_date=JUNE, tags=("a",), custom_fields={"a": 1}), won())
    state = deal.state
    body = {name: getattr(state, name) for name in Replace.__struct_fields__ if name not in NAMES}
    deal.when(Replace(**body)).then()


def test_a_put_of_a_won_deal_repeats_what_winning_needs() -> None:
    assert set(Given(created(), won()).refused(Replace(name="A", account_id=ACCOUNT))) == {
        "actual_amount",
        "actual_close_date",
    }


def test_a_put_needs_the_required_custom_fields() -> None:
    rules = policy(Definition(key="region", label="R", type="text", required=True))
    deal = Given(created(custom_fields={"region": "EMEA"}), policy=rules)
    for past in (deal, Given(created(), policy=rules)):
        assert set(past.refused(Replace(name="A", account_id=ACCOUNT))) == {"custom_fields.region"}
    assert deal.when(Replace(name="A", account_id=ACCOUNT, custom_fields={"region": "EMEA"})).events


CHANGES = (Update(name="B"), ChangeStage(stage="proposal"), Delete(), Replace(name="B", account_id=ACCOUNT))


@pytest.mark.parametrize("command", CHANGES)
def test_a_rep_changes_only_deals_of_their_own(command: Any) -> None:
    assert Given(created()).when(command, by="rep").events
    assert Given(created(owner_id=OTHER_REP)).when(command, by="manager").events
    with pytest.raises(Forbidden):
        Given(created(owner_id=OTHER_REP)).when(command, by="rep")
    with pytest.raises(Forbidden):
        Given(created()).when(command, by="read_only")


def test_a_rep_may_hand_over_a_deal() -> None:
    deal = Given(created()).when(Update(owner_id=OTHER_REP), by="rep")
    with pytest.raises(Forbidden):
        deal.when(Update(owner_id=REP), by="rep")


def test_a_deleted_deal_is_not_there_until_it_is_restored() -> None:
    deal = Given(created()).when(Delete()).then(opportunity.Deleted())
    for command in CHANGES:
        with pytest.raises(NotFound):
            deal.when(command)
    deal.when(Restore()).then(opportunity.Restored())
    assert not deal.state.deleted


def test_a_deal_whose_stage_is_gone_cannot_be_restored() -> None:
    shorter = ReplacePipeline(stages=(Stage("start", "Start", "open", 10), Stage("won", "W", "won"), Stage("lost", "L", "lost")))
    with pytest.raises(Conflict) as refusal:
        Given(created(), opportunity.Deleted()).when(Restore(), policy=policy(stages=shorter))
    assert (refusal.value.code, refusal.value.extra) == ("stage_gone", {"stage": "discovery"})


def test_a_deal_that_never_was_is_not_found() -> None:
    with pytest.raises(NotFound):
        Given().when(Update(name="B"))


def test_a_deal_in_a_stage_that_is_gone_can_be_edited_and_moved_on() -> None:
    past = created(stage="gone", probability=10)
    assert Given(past).when(Update(name="B")).state.name == "B"
    assert Given(past).when(ChangeStage(stage="proposal")).state.probability == 60


def test_an_owner_who_cannot_have_deals_is_told_from_one_who_is_not_there() -> None:
    errors = [Given(created()).refused(Update(owner_id=owner))["owner_id"][0] for owner in (READER, UNKNOWN)]
    assert ["read_only" in message for message in errors] == [True, False]


def test_unknown_contacts_are_all_named() -> None:
    (message,) = Given(created()).refused(Update(stakeholder_ids=(UNKNOWN, ACCOUNT)))["stakeholder_ids"]
    assert f"{UNKNOWN}, {ACCOUNT}." in message


def test_a_lost_reason_is_a_text_of_bounded_length() -> None:
    deal = Given(created(), lost())
    assert deal.when(Update(lost_reason="x" * 10_000)).events
    assert "10000" in deal.refused(Update(lost_reason="y" * 10_001))["lost_reason"][0]


def test_what_an_open_deal_should_not_have_goes_with_its_next_edit() -> None:
    deal = Given(created(actual_amount=Decimal(5))).when(Update(name="B"))
    deal.then(opportunity.Updated(changes=changes(name="B", actual_amount=None)))


def test_a_rep_restores_only_deals_of_their_own() -> None:
    theirs = Given(created(owner_id=OTHER_REP), opportunity.Deleted(), by="rep")
    with pytest.raises(Forbidden):
        theirs.when(Restore())
    with pytest.raises(NotFound):
        theirs.when(Update(name="B"))
    assert Given(created(), opportunity.Deleted(), by="rep").when(Restore()).events


def test_a_custom_field_that_a_stage_requires_cannot_be_cleared_there() -> None:
    stages = (Stage("discovery", "D", "open", 20, ("custom_fields.seats",)), *DEFAULT.stages[-2:])
    rules = policy(Definition(key="seats", label="Seats", type="number"), stages=ReplacePipeline(stages=stages))
    deal = Given(created(custom_fields={"seats": 5}), policy=rules)
    assert deal.when(Update(custom_fields={"other": 1})).events
    assert set(deal.refused(Update(custom_fields={"seats": None}))) == {"custom_fields.seats"}
    Given(created(), policy=rules).when(Update(custom_fields={"other": 1}))
