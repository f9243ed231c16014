"""What holds of a deal after any commands whatever: hypothesis plays, the invariants are looked at after every step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain import catalog, event_store, opportunity
from domain.custom_field import Definition
from domain.errors import DomainError
from domain.event import Command
from domain.opportunity import ChangeStage, Create, Delete, Replace, Restore, State, Update
from domain.opportunity.events import Changes
from domain.pipeline import DEFAULT, Transitions
from tests.support.domain import (
    ACCOUNT,
    JANE,
    OMAR,
    OTHER_ACCOUNT,
    OTHER_REP,
    REP,
    UNKNOWN,
    decide,
    fold,
    policy,
    recorded,
)

STAGES = [*(stage.key for stage in DEFAULT.stages), "nowhere"]
FIELDS = (
    Definition(key="seats", label="Seats", type="number"),
    Definition(key="region", label="Region", type="dropdown", options=("EMEA", "APAC")),
)
TRANSITIONS: tuple[Transitions, ...] = (
    "permissive",
    "no_skip",
    "no_backward",
    {"discovery": ("won",), "won": ("lost",), "lost": ("won",)},
)
POLICIES = [
    *(policy(*FIELDS, stages=structs.replace(DEFAULT, transitions=transitions)) for transitions in TRANSITIONS),
    policy(*FIELDS, mode="strict"),
]


def made(command: type[Command]) -> Callable[[dict[str, Any]], Command]:
    return lambda fields: command(**fields)


oddities = st.sampled_from([Decimal("NaN"), Decimal("sNaN")])
amounts = st.none() | st.decimals(min_value=-1, max_value=10**16, places=2) | oddities
dates = st.none() | st.dates(date(2025, 1, 1), date(2027, 1, 1))
values = st.none() | st.integers(-5, 500) | st.sampled_from(["EMEA", "elsewhere", True, [1], {"a": None}])
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "amount": amounts,
    "probability": st.none() | st.integers(-1, 101),
    "close_date": dates,
    "stakeholder_ids": st.none() | st.lists(st.sampled_from([JANE, OMAR, UNKNOWN]), max_size=3).map(tuple),
    "tags": st.none() | st.lists(st.sampled_from(["a", "b", " b", "", "c,d"]), max_size=3).map(tuple),
    "custom_fields": st.none() | st.dictionaries(st.sampled_from(["seats", "region", "free"]), values, max_size=3),
    "actual_amount": amounts,
    "actual_close_date": dates,
    "lost_reason": st.none() | st.sampled_from(["price", "PRICE", "they went away", " "]),
}
stages = st.sampled_from(STAGES)
REQUIRED: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Annual", " Annual ", "", "Pilot"]),
    "account_id": st.sampled_from([ACCOUNT, OTHER_ACCOUNT, UNKNOWN]),
}
KEPT: dict[str, st.SearchStrategy[Any]] = {
    "currency": st.sampled_from(["USD", "JPY", "eur", "???"]),
    "stage": stages,
    "owner_id": st.sampled_from([REP, OTHER_REP, UNKNOWN]),
}

commands: st.SearchStrategy[Command] = st.one_of(
    st.fixed_dictionaries({}, optional={**OPTIONAL, **REQUIRED, **KEPT}).map(made(Update)),
    st.fixed_dictionaries({"stage": stages}, optional=OPTIONAL).map(made(ChangeStage)),
    st.fixed_dictionaries(REQUIRED, optional={**OPTIONAL, **KEPT}).map(made(Replace)),
    st.fixed_dictionaries(REQUIRED, optional={**OPTIONAL, **KEPT}).map(made(Create)),
    st.just(Delete()),
    st.just(Restore()),
)
FIRST = Create(name="Annual", account_id=ACCOUNT, amount=Decimal(100))


@settings(max_examples=300, deadline=None)
@given(rules=st.sampled_from(POLICIES), sequence=st.lists(commands, max_size=12))
def test_whatever_is_asked_the_deal_stays_sound(rules: Any, sequence: list[Command]) -> None:
    log = list(decide(None, FIRST, policy=rules))
    state: State = fold(log)
    for command in sequence:
        try:
            events = decide(state, command, policy=rules)
        except DomainError:
            continue
        assert len(events) <= 1, "one event for one change"
        after: State = fold(events, state)
        for one in events:
            assert _differs(state, after), f"{one} changes nothing"
            _assert_named_rightly(one, state, after, rules)
        state = after
        log += events
        _assert_sound(state, rules)
    assert fold(log) == state, "the state is the fold of the events"
    assert [event_store.decode(*_stored(one)).event for one in log] == log, "what is stored is what was decided"


@settings(max_examples=200, deadline=None)
@given(command=commands, rules=st.sampled_from(POLICIES))
def test_a_command_twice_is_a_command_once(command: Command, rules: Any) -> None:
    state = fold(decide(None, FIRST, policy=rules))
    try:
        state = fold(decide(state, command, policy=rules), state)
        again = decide(state, command, policy=rules)
    except DomainError:
        return
    assert again == ()


def _stored(event: Any) -> Any:
    one = recorded(event)
    return catalog.name_of(type(event)), event_store.encode(event, one.meta), one.stream_id, 1


def _differs(before: State, after: State) -> bool:
    ignored = {"version", "updated_at", "stage_entered_at", "closed_at"}
    return any(getattr(before, name) != getattr(after, name) for name in after.__struct_fields__ if name not in ignored)


def _assert_named_rightly(event: Any, before: State, after: State, rules: Any) -> None:
    moved = before.stage != after.stage
    expected: type
    if not isinstance(getattr(event, "changes", None), Changes):
        expected = opportunity.Deleted if after.deleted else opportunity.Restored
    elif not moved:
        expected = opportunity.Updated
    elif before.status == after.status:
        expected = opportunity.StageChanged
    else:
        expected = {"won": opportunity.Won, "lost": opportunity.Lost, "open": opportunity.Reopened}[after.status]
    assert type(event) is expected
    assert not moved or after.stage in rules.pipeline.allowed(before.stage), "no way round the policy"


def _assert_sound(state: State, rules: Any) -> None:
    assert state.status == rules.pipeline.by_key[state.stage].type
    assert (state.actual_amount is not None and state.actual_close_date is not None) or state.status != "won"
    assert (state.lost_reason is not None) == (state.status == "lost")
    assert (state.closed_at is not None) == (state.status != "open")
    assert state.status != "open" or (state.actual_amount is None and state.actual_close_date is None)
    assert state.status != "won" or state.probability == 100
    assert state.status != "lost" or state.probability == 0
    assert None not in state.custom_fields.values()
    assert UNKNOWN not in (state.account_id, state.owner_id, *state.stakeholder_ids)
    assert len(set(state.tags)) == len(state.tags)
    msgspec.json.encode(state)
