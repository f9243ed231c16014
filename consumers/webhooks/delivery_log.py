"""Deliveries and their attempts, for the org that owns them. Read-only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Raw, Struct
from psycopg import Cursor

from consumers.webhooks.schedule import Outcome, Status
from projections import questions
from projections.conditions import COMPARE, Condition, SqlStatement, part

MAX_ATTEMPTS = 20
"""How many attempts of each delivery a list shows."""

COLUMNS = {"status": ("d.status", "text"), "type": ("d.type", "text"), "created_at": ("d.created_at", "timestamptz")}
_SHOWN = """
    d.id, d.endpoint_id, d.event_id, d.type, d.opportunity_id, d.position, d.status, d.attempts,
    CASE WHEN d.status = 'pending' THEN d.due_at END, d.created_at, d.settled_at
"""


class Attempt(Struct, kw_only=True):
    """One request. ``ms`` is the time until its response began, ``status`` the response's, ``body`` the first part of it."""

    number: int
    at: datetime
    ms: int
    outcome: Outcome
    status: int | None
    answer: str
    error: str | None


class Delivery(Struct, kw_only=True):
    """An event on its way to an endpoint. ``attempts``, the latest first, are the last twenty in a list, otherwise all."""

    id: UUID
    endpoint_id: UUID
    event_id: str
    type: str
    opportunity_id: UUID | None
    position: int | None
    status: Status
    attempt_count: int
    next_attempt_at: datetime | None
    created_at: datetime
    settled_at: datetime | None
    attempts: list[Attempt]


class DeliveryRecord(Delivery, kw_only=True):
    """With the body exactly as it is sent."""

    body: Raw


class Page(NamedTuple):
    rows: SqlStatement
    total: SqlStatement


def page(org_id: UUID, endpoint_id: UUID, conditions: Sequence[Condition], limit: int, offset: int) -> Page:
    """An endpoint's deliveries, the latest first, as rows for ``delivery``, and their number."""
    params: dict[str, Any] = {"org_id": org_id, "endpoint_id": endpoint_id}
    terms = ["d.org_id = %(org_id)s", "d.endpoint_id = %(endpoint_id)s"]
    for n, (field, operator, values, _) in enumerate(conditions):
        column, type_ = COLUMNS[field]
        if operator in COMPARE:
            params[f"p{n}"] = values[0]
            terms.append(f"{column} {COMPARE[operator]} %(p{n})s::{type_}")
        else:
            params[f"p{n}"] = list(values)
            terms.append(f"{column} = ANY(%(p{n})s::{type_}[])")
    where = " AND ".join(terms)
    paged = dict(params)
    text = f"""
        SELECT {_SHOWN} FROM webhook_deliveries d WHERE {where} ORDER BY d.id DESC {part(limit, offset, paged)}
    """
    return Page(
        SqlStatement(text, paged, questions.DELIVERIES_FILTERED if conditions else questions.DELIVERIES),
        SqlStatement(f"SELECT count(*) FROM webhook_deliveries d WHERE {where}", params, questions.DELIVERIES_COUNT),
    )


def record(org_id: UUID, id_: UUID) -> SqlStatement:
    """One delivery: a row for ``delivery`` and the body."""
    text = f"SELECT {_SHOWN}, d.body FROM webhook_deliveries d WHERE d.org_id = %(org_id)s AND d.id = %(id)s"
    return SqlStatement(text, {"org_id": org_id, "id": id_}, questions.DELIVERY)


def attempts(org_id: UUID, ids: Collection[UUID], limit: int | None) -> SqlStatement:
    """The latest attempts of each delivery as rows for ``by_delivery``, at most ``limit`` of each."""
    text = """
        SELECT a.delivery_id, a.number, a.at, a.ms, a.outcome, a.status, a.answer, a.error
        FROM unnest(%(ids)s::uuid[]) AS k (id) CROSS JOIN LATERAL (
            SELECT * FROM webhook_attempts w WHERE w.delivery_id = k.id AND w.org_id = %(org_id)s ORDER BY w.number DESC
        """
    text += f"LIMIT {limit:d}) a" if limit is not None else ") a"
    return SqlStatement(text, {"org_id": org_id, "ids": list(ids)}, questions.DELIVERY)


def by_delivery(rows: Sequence[tuple[Any, ...]]) -> dict[UUID, list[Attempt]]:
    found: dict[UUID, list[Attempt]] = {}
    for delivery_id, *values in rows:
        attempt = Attempt(**dict(zip(Attempt.__struct_fields__, values, strict=True)))
        found.setdefault(delivery_id, []).append(attempt)
    for each in found.values():
        each.sort(key=lambda attempt: -attempt.number)
    return found


def delivery(row: tuple[Any, ...], attempts: list[Attempt]) -> Delivery:
    return Delivery(**dict(zip(Delivery.__struct_fields__, (*row, attempts), strict=True)))


def now(cursor: Cursor[Any], org_id: UUID, id_: UUID) -> Delivery:
    """One delivery, read by a connection that sees all orgs."""
    found = record(org_id, id_)
    row = cursor.execute(found.text, found.params).fetchone()
    assert row is not None
    tried = attempts(org_id, [id_], MAX_ATTEMPTS)
    return delivery(row[:-1], by_delivery(cursor.execute(tried.text, tried.params).fetchall()).get(id_, []))


def full(row: tuple[Any, ...], attempts: list[Attempt]) -> DeliveryRecord:
    *shown, body = row
    values = (*shown, attempts, Raw(body.encode()))
    return DeliveryRecord(**dict(zip(DeliveryRecord.__struct_fields__, values, strict=True)))
