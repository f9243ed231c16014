"""Given events, when a command, then events: the domain without a database. Time, ids and chance are fixed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain import catalog, custom_field, opportunity, organization, pipeline
from domain.epoch import Epoch
from domain.errors import DomainError, Errors, Invalid
from domain.event import Command, Event, Meta, Recorded, State
from domain.facts import Facts
from domain.fold import change
from domain.permissions import OPERATOR, Actor, Role
from domain.policy import Policy, PolicyContext

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
TODAY = date(2026, 3, 1)


def uuid(number: int) -> UUID:
    """A readable id."""
    return UUID(int=number)


ORG, STREAM = uuid(1), uuid(2)
ACCOUNT, OTHER_ACCOUNT = uuid(101), uuid(102)
ADMIN, MANAGER, REP, OTHER_REP, READER = uuid(201), uuid(202), uuid(203), uuid(204), uuid(205)
JANE, OMAR = uuid(301), uuid(302)
UNKNOWN = uuid(999)
EPOCH = Epoch(uuid(1001), 1, 0, 0)

FACTS = Facts(
    accounts=frozenset({ACCOUNT, OTHER_ACCOUNT}),
    users=frozenset({ADMIN, MANAGER, REP, OTHER_REP, READER}),
    owners=frozenset({ADMIN, MANAGER, REP, OTHER_REP}),
    contacts=frozenset({JANE, OMAR}),
)


def actor(role: Role) -> Actor:
    return Actor({"admin": ADMIN, "manager": MANAGER, "rep": REP, "read_only": READER}[role], role)


def recorded(event: Event, version: int = 1, *, at: datetime = NOW, by: UUID | None = ADMIN, stream: UUID = STREAM) -> Recorded:
    meta = Meta(org_id=ORG, command_id=uuid(7), occurred_at=at, recorded_at=at, actor_id=by)
    return Recorded(stream, version, event, meta)


def fold(events: Iterable[Event], state: Any = None) -> Any:
    """The state after the events, an hour apart, each of the kind that the catalog says."""
    for event in events:
        version = state.version + 1 if state is not None else 1
        at = NOW + timedelta(hours=version - 1)
        began = state.created_at if state is not None else at
        state = change(state, recorded(event, version, at=at)).after
        assert (state.id, state.org_id, state.version) == (STREAM, ORG, version)
        assert (state.created_at, state.updated_at) == (began, at)
    return state


_SENTENCE = re.compile(r"(['\"A-Z0-9]|\w+: \w|(expires_at|role) must ).*\.", re.DOTALL)


def is_sentence(text: object) -> bool:
    """Whether a text reads like a sentence to a person: how it begins and ends, whatever it says."""
    return isinstance(text, str) and _SENTENCE.fullmatch(text) is not None and not text.isupper()


def policy(
    *fields: custom_field.Definition,
    stages: pipeline.Replace = pipeline.DEFAULT,
    currency: str = "USD",
    mode: organization.CustomFieldsMode = "keep",
) -> Policy:
    """The rules of an org: its custom fields, its pipeline, its own currency and how it takes undefined fields."""
    org: organization.State = fold([organization.Created(name="Acme", currency=currency)])
    org = fold([organization.Updated(custom_fields_mode=mode)], org)
    defined = custom_fields(*fields)
    rules = decide(None, stages, by=OPERATOR, policy=Policy(org, PIPELINE, defined))
    return Policy(organization=org, pipeline=fold(rules), custom_fields=defined)


def custom_fields(*definitions: custom_field.Definition) -> custom_field.State | None:
    state: custom_field.State | None = fold(custom_field.Created(definition=one) for one in definitions)
    return state


def context(
    by: Role | Actor = "manager",
    *,
    policy: Policy | None = None,
    facts: Facts = FACTS,
    now: datetime = NOW,
    **more: Any,
) -> PolicyContext:
    rules = policy or POLICY
    made = PolicyContext(
        actor=by if isinstance(by, Actor) else actor(by),
        now=now,
        policy=rules,
        custom_field_keys=rules.custom_field_keys,
        required_fields=rules.pipeline.required,
        facts=facts,
    )
    return replace(made, **more)


def decide(state: State | None, command: Command, **surroundings: Any) -> tuple[Event, ...]:
    """The events of a command. Surroundings are those of ``context``. What is refused is refused with sentences."""
    aggregate = catalog.AGGREGATES[catalog.kind_of(type(command))].module
    try:
        return aggregate.decide(state, command, context(**surroundings))
    except DomainError as refusal:
        _require_sentences(refusal)
        raise


def _require_sentences(refusal: DomainError) -> None:
    by_field = [text for texts in refusal.errors.values() for text in texts] if isinstance(refusal, Invalid) else []
    assert [text for text in (str(refusal), refusal.detail, *by_field) if not is_sentence(text)] == []


class Given:
    """A record with a past. ``when`` takes a command; ``then`` says what came of it, ``state`` how the record stands.

    ``refused`` takes a command that is refused as invalid, and gives what is wrong by field.
    """

    def __init__(self, *past: Event, **surroundings: Any) -> None:
        self.state: Any = fold(past)
        self.surroundings = surroundings
        self.events: tuple[Event, ...] = ()

    def when(self, command: Command, **surroundings: Any) -> Given:
        """Decide and live on with the outcome. Raises what the decision raises."""
        self.events = decide(self.state, command, **{**self.surroundings, **surroundings})
        self.state = fold(self.events, self.state)
        return self

    def refused(self, command: Command, **surroundings: Any) -> Errors:
        return errors_of(lambda: self.when(command, **surroundings))

    def refused_as(self, kind: type[DomainError], command: Command, **surroundings: Any) -> tuple[str, dict[str, object]]:
        """The code of a refusal of this kind, and what it says for programs."""
        try:
            self.when(command, **surroundings)
        except kind as refusal:
            return refusal.code, refusal.extra
        raise AssertionError("nothing was refused")

    def then(self, *expected: Event) -> Given:
        assert self.events == expected
        return self


PIPELINE: pipeline.State = fold(
    [
        pipeline.Replaced(
            stages=pipeline.DEFAULT.stages,
            transitions=pipeline.DEFAULT.transitions,
            lost_reasons=pipeline.DEFAULT.lost_reasons,
            allow_free_text=True,
        )
    ]
)
POLICY = Policy(organization=fold([organization.Created(name="Acme", currency="USD")]), pipeline=PIPELINE, custom_fields=None)


def changes(**values: Any) -> opportunity.Changes:
    return opportunity.Changes(**values)


def created(**values: Any) -> opportunity.Created:
    """The creation of a deal of the rep's, open in discovery unless told otherwise."""
    usual: dict[str, Any] = {
        "name": "Annual 2026",
        "account_id": ACCOUNT,
        "amount": Decimal("24000.00"),
        "currency": "USD",
        "stage": "discovery",
        "status": "open",
        "probability": 20,
        "probability_source": "stage",
        "owner_id": REP,
    }
    return opportunity.Created(changes=changes(**{**usual, **values}))


def won(**values: Any) -> opportunity.Won:
    usual: dict[str, Any] = {
        "stage": "won",
        "status": "won",
        "probability": 100,
        "actual_amount": Decimal("23000.00"),
        "actual_close_date": TODAY,
    }
    return opportunity.Won(changes=changes(**{**usual, **values}))


def lost(**values: Any) -> opportunity.Lost:
    usual: dict[str, Any] = {
        "stage": "lost",
        "status": "lost",
        "probability": 0,
        "lost_reason": "price",
        "lost_reason_code": "price",
    }
    return opportunity.Lost(changes=changes(**{**usual, **values}))


def errors_of(call: Callable[[], Any]) -> Errors:
    """What is wrong, by field, with a command that is refused as ``Invalid``."""
    try:
        call()
    except Invalid as refusal:
        return refusal.errors
    raise AssertionError("nothing was refused")
