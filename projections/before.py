"""A record's state right before an event, from the row of the previous version, at a cost that does not depend on its history."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from uuid import UUID

import msgspec

from domain import catalog, exchange_rate
from domain.event import Event, Recorded, State
from domain.sql_cursor import SqlCursor

# The columns of the previous version come after its rendered JSON: of two members with one name the last counts.
_OPPORTUNITY = """
    SELECT '{' || substr(o.json_after_stakeholders, 2) || o.json_detail || ',' || substr(json_build_object(
        'id', o.id, 'org_id', o.org_id, 'name', o.name, 'account_id', o.account_id, 'owner_id', o.owner_id,
        'amount', o.amount::text, 'currency', o.currency, 'stage', o.stage, 'probability', o.probability,
        'close_date', o.close_date, 'stakeholder_ids', o.stakeholder_ids, 'actual_amount', o.actual_amount::text,
        'actual_close_date', o.actual_close_date, 'deleted', o.deleted)::text, 2)
    FROM opportunities o WHERE o.id = {e}.originator_id AND o.version = {e}.originator_version - 1
"""
_CUSTOM_FIELDS = """
    SELECT '{' || '"definitions":' || d.doc || ',' || substr(json_build_object(
        'id', d.id, 'org_id', d.org_id, 'version', d.version, 'created_at', d.created_at, 'updated_at', d.valid_from)::text, 2)
    FROM directory d WHERE d.id = {e}.originator_id AND d.version = {e}.originator_version - 1
"""
_RECORD = """
    SELECT left(d.doc, -1) || ',' || substr(json_build_object(
        'org_id', d.org_id, 'deleted', d.deleted, 'hash', coalesce(d.lookup, ''))::text, 2)
    FROM directory d WHERE d.id = {e}.originator_id AND d.version = {e}.originator_version - 1
"""
# Of all rates of a currency, an event concerns that of one day.
_EXCHANGE_RATE = """
    SELECT json_build_object(
        'id', r.id, 'org_id', r.org_id, 'version', r.version - 1, 'created_at', r.occurred_at, 'updated_at', r.occurred_at,
        'currency', r.currency, 'rates', coalesce((
            SELECT json_build_object(b.valid_from, convert_from(quoted.state, 'UTF8')::json #> '{data,rate}')
            FROM exchange_rates b
            JOIN opportunities_events quoted ON quoted.originator_id = b.id AND quoted.originator_version = b.version
            WHERE b.org_id = r.org_id AND b.currency = r.currency AND b.valid_from = r.valid_from AND b.version < r.version
            ORDER BY b.version DESC LIMIT 1), '{}'))::text
    FROM exchange_rates r WHERE r.id = {e}.originator_id AND r.version = {e}.originator_version
"""


def before(events: str) -> str:
    """SQL for the state before each event as JSON, NULL before a first one; ``events`` names rows of the log."""
    text = f"""
        CASE WHEN {{e}}.originator_version > 1 THEN
            CASE split_part({{e}}.topic, '.', 1)
                WHEN 'opportunity' THEN ({_OPPORTUNITY})
                WHEN 'custom_field' THEN ({_CUSTOM_FIELDS})
                WHEN 'exchange_rate' THEN ({_EXCHANGE_RATE})
                ELSE ({_RECORD})
            END
        END
    """
    return text.replace("{e}", events)


def size(events: str) -> str:
    """SQL for roughly the bytes that ``before`` returns for each event, without reading them."""
    return f"""
        coalesce(CASE split_part({events}.topic, '.', 1)
            WHEN 'opportunity' THEN (
                SELECT octet_length(o.json_after_stakeholders) + octet_length(o.json_detail) FROM opportunities o
                WHERE o.id = {events}.originator_id AND o.version = {events}.originator_version - 1)
            WHEN 'exchange_rate' THEN 0
            ELSE (SELECT octet_length(d.doc) FROM directory d
                WHERE d.id = {events}.originator_id AND d.version = {events}.originator_version - 1)
        END, 0)
    """


def state(event: type[Event], text: bytes | str | None) -> State | None:
    """The state that ``before`` returned for an event of this class."""
    return None if text is None else _decoder(catalog.kind_of_event(event)).decode(text)


def is_part(recorded: Recorded) -> bool:
    """Whether the state before an event has only the part that the event concerns."""
    return isinstance(recorded.event, exchange_rate.Quoted)


def states(cursor: SqlCursor, events: Sequence[Recorded]) -> dict[tuple[UUID, int], State | None]:
    """The state before each event, by the record's id and the event's version; None before a first one."""
    if not events:
        return {}
    classes = {(each.stream_id, each.version): type(each.event) for each in events}
    ids, numbers = zip(*classes, strict=True)
    cursor.execute(_STATES, {"ids": list(ids), "versions": list(numbers)}, prepare=True, binary=True)
    return {(id_, version): state(classes[id_, version], text) for id_, version, text in cursor.fetchall()}


_STATES = f"""
    SELECT e.originator_id, e.originator_version, {before("e")}
    FROM unnest(%(ids)b::uuid[], %(versions)b::bigint[]) AS k (id, version)
    JOIN opportunities_events e ON e.originator_id = k.id AND e.originator_version = k.version
"""


@cache
def _decoder(kind: str) -> msgspec.json.Decoder[State]:
    return msgspec.json.Decoder(catalog.AGGREGATES[kind].module.State)
