"""The vocabulary of an org: its stages, people and custom fields at this moment."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import Cursor

from app.importing.vocabulary import Person, Vocabulary
from domain import custom_field, organization, pipeline
from domain.policy import Policy
from projections.imports import lookups


def policy(cursor: Cursor[Any], org_id: UUID) -> Policy:
    streams = organization.stream_id(org_id), pipeline.stream_id(org_id), custom_field.stream_id(org_id)
    found = lookups.states(cursor, streams)
    rules, org, fields = found[streams[1]], found[streams[0]], found.get(streams[2])
    assert isinstance(rules, pipeline.State)
    assert isinstance(org, organization.State)
    assert fields is None or isinstance(fields, custom_field.State)
    return Policy(organization=org, pipeline=rules, custom_fields=fields)


def load(cursor: Cursor[Any], org_id: UUID) -> Vocabulary:
    rules = policy(cursor, org_id)
    return Vocabulary(
        currency=rules.organization.currency,
        stages=rules.pipeline.stages,
        people=[Person(*row) for row in lookups.people(cursor, org_id)],
        custom_fields=rules.custom_fields.by_key if rules.custom_fields else {},
    )
