"""A dry run: the commands of rows are decided on the records as they are, and nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg import Connection

from app.importing.batch import explained
from app.importing.plan import Planned
from app.writing import circumstances
from app.writing.envelope import Envelope
from domain import catalog, fold
from domain.adoption import Adopt
from domain.event import State
from domain.facts import Facts
from domain.policy import Policy, PolicyContext
from projections.imports import lookups
from projections.imports.jobs import Counts, Fault


class Rules(Struct, frozen=True):
    """What rows are decided by."""

    now: datetime
    policy: Policy
    people: frozenset[UUID]


class Found(Struct):
    """``failed`` has for the line of each row that would fail the line of the first thing that is wrong."""

    counts: Counts
    faults: list[Fault]
    failed: dict[int, int]


def check(connection: Connection[Any], rules: Rules, planned: Sequence[Planned]) -> Found:
    """What would come of the rows. What a row refers to is taken to be there: it was found, or would be created beside the rows."""
    with connection.cursor() as cursor:
        states = lookups.states(cursor, [command.stream_id for one in planned for command in one.commands])
    named: set[tuple[str, UUID]] = set()
    facts = _facts(rules, planned, named)
    counted = dict.fromkeys(Counts.__struct_fields__, 0)
    faults: list[Fault] = []
    failed: dict[int, int] = {}
    for one in planned:
        known = bool(one.commands) and one.commands[0].stream_id in states
        wrong = [Fault(0, fault.line, fault.column, fault.value, fault.message) for fault in one.faults]
        changed = False
        for command in one.commands:
            try:
                changed = _decided(rules, command, states, facts) or changed
            except Exception as error:  # noqa: BLE001 - what a run would say of this row
                wrong += explained(one, error)
        faults += wrong
        if wrong:
            failed[one.line] = wrong[0].line
            named -= {(one.known.kind, one.known.new)} if one.known is not None else set()
        if not one.aside:
            counted["done"] += 1
            counted["failed" if wrong else "skipped" if not changed else "updated" if known else "created"] += 1
    return Found(Counts(**counted), faults, failed)


def _facts(rules: Rules, planned: Sequence[Planned], known: set[tuple[str, UUID]]) -> Facts:
    """``known`` is filled with what records with a past name, for as long as nothing is wrong with it."""
    ids: dict[str, set[UUID]] = {"account": set(), "contact": set()}
    people = rules.people
    for one in planned:
        for command in one.commands:
            if isinstance(command.command, Adopt):
                asked = catalog.AGGREGATES[command.kind].module.references(command.command)
                ids["account"] |= asked.records
                known |= {(kind, id_) for kind in ("account", "contact", "user", "opportunity") for id_ in asked.known}
            account_id = getattr(command.command, "account_id", None)
            ids["account"] |= {account_id} if isinstance(account_id, UUID) else set()
            ids["contact"] |= set(getattr(command.command, "stakeholder_ids", None) or ())
    accounts, contacts = frozenset(ids["account"]), frozenset(ids["contact"])
    return Facts(accounts=accounts, contacts=contacts, users=people, owners=people, known=known)


def _decided(rules: Rules, command: Envelope, states: dict[UUID, State], facts: Facts) -> bool:
    """Whether the command changes anything. Raises ``DomainError``."""
    state: Any = states.get(command.stream_id)
    now = min(command.occurred_at or rules.now, rules.now)
    context = PolicyContext(
        actor=command.actor,
        now=max(now, state.updated_at) if state is not None else now,
        policy=rules.policy,
        custom_field_keys=rules.policy.custom_field_keys,
        required_fields=rules.policy.pipeline.required,
        facts=facts,
    )
    events = catalog.AGGREGATES[command.kind].module.decide(state, command.command, context)
    version = state.version if state is not None else 0
    fold.changes(circumstances.recorded(command, context, rules.now, version, events), states)
    return bool(events)
