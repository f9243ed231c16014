"""What a command meets when it is decided: its actor's present rights, the org's policy, and the version it was meant for.

All of it is read under the log's lock, so none of it can change before the append.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, cast
from uuid import UUID

from msgspec import structs
from uuid_utils.compat import uuid7

from app.writing.envelope import Envelope
from domain import custom_field, opportunity, organization, pipeline, token, user
from domain.adoption import Adopt
from domain.context import Context
from domain.errors import NotFound, Unauthenticated, VersionMismatch
from domain.event import Event, Meta, Recorded, State
from domain.facts import Facts
from domain.permissions import Actor, Credential, weaker
from domain.policy import Policy, PolicyContext


@lru_cache(maxsize=10_000)
def policy_streams(org_id: UUID) -> tuple[UUID, UUID, UUID]:
    return organization.stream_id(org_id), pipeline.stream_id(org_id), custom_field.stream_id(org_id)


def require_version(state: State | None, envelope: Envelope) -> None:
    expected = envelope.expected_versions
    if expected is None or (state is not None and state.version in expected):
        return
    gone = getattr(state, "deleted", False) and not isinstance(envelope.command, opportunity.Restore)
    if state is None or gone:
        raise NotFound("No such record.")
    raise VersionMismatch(
        f"The record is at version {state.version}, which If-Match does not list: read it again and repeat the change.",
        version=state.version,
    )


class Standing(NamedTuple):
    """What is the same for all commands of a sender: present rights and the org's policy."""

    actor: Actor
    credential: Credential | None
    policy: Policy
    required_fields: Mapping[str, Collection[str]]


def standing(envelope: Envelope, states: Mapping[UUID, State], recorded_at: datetime) -> Standing:
    """That of the sender of a command. Raises ``Unauthenticated``."""
    organization_id, pipeline_id, custom_field_id = policy_streams(envelope.org_id)
    rules = states.get(pipeline_id)
    policy = Policy(
        organization=cast("organization.State", states.get(organization_id)),
        pipeline=cast("pipeline.State", rules),
        custom_fields=cast("custom_field.State | None", states.get(custom_field_id)),
    )
    issued = cast("token.State | None", envelope.token_id and states.get(envelope.token_id))
    credential = Credential(issued.id, issued.role, issued.expires_at) if issued else None
    required_fields = rules.required if isinstance(rules, pipeline.State) else {}
    return Standing(_actor(envelope, states, recorded_at), credential, policy, required_fields)


def context(envelope: Envelope, standing: Standing, facts: Facts, state: State | None, recorded_at: datetime) -> PolicyContext:
    now = recorded_at
    if envelope.occurred_at is not None:
        now = min(envelope.occurred_at, now)
    if state is not None:
        now = max(now, state.updated_at)
    actor, credential, policy, required_fields = standing
    return PolicyContext(
        actor=actor,
        now=now,
        policy=policy,
        custom_field_keys=policy.custom_field_keys,
        required_fields=required_fields,
        facts=facts,
        credential=credential,
    )


def _actor(envelope: Envelope, states: Mapping[UUID, State], now: datetime) -> Actor:
    """The actor as the log has it at this moment; without a token (the operator, history) the one given."""
    if envelope.token_id is None:
        return envelope.actor
    issued = states.get(envelope.token_id)
    if not isinstance(issued, token.State) or issued.revoked or (issued.expires_at and issued.expires_at <= now):
        raise Unauthenticated("This token is revoked or has expired.")
    holder = states.get(envelope.actor.user_id) if envelope.actor.user_id else None
    if not isinstance(holder, user.State) or not holder.active or issued.user_id != holder.id:
        raise Unauthenticated("The user of this token is not active.")
    return Actor(user_id=holder.id, role=weaker(holder.role, issued.role), email=holder.email)


def meta(envelope: Envelope, context: Context, recorded_at: datetime) -> Meta:
    """The metadata recorded with each event of a command. ``actor`` and time are as decided, the rest as it came."""
    return Meta(
        org_id=envelope.org_id,
        command_id=uuid7(),
        occurred_at=context.now,
        recorded_at=recorded_at,
        actor_id=context.actor.user_id,
        token_id=envelope.token_id,
        request_id=envelope.request_id,
        comment=envelope.comment,
        import_id=envelope.import_id,
        webhooks=envelope.webhooks,
    )


def recorded(envelope: Envelope, context: Context, recorded_at: datetime, version: int, events: Sequence[Event]) -> list[Recorded]:
    """The events of a command after a version. What is taken over from another org keeps the time that each event had there."""
    common = meta(envelope, context, recorded_at)
    metas = [common] * len(events)
    if isinstance(envelope.command, Adopt):
        past = envelope.command.happened
        metas = [
            structs.replace(common, occurred_at=one.at.astimezone(UTC), comment=one.comment, origin=one.origin) for one in past
        ]
    numbered = zip(events, metas, strict=True)
    return [Recorded(envelope.stream_id, version + n, event, of_event) for n, (event, of_event) in enumerate(numbered, 1)]
