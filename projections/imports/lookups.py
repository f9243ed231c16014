"""The records of an org that rows name: accounts and contacts by name, deals by name and account, contacts and users by email."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor

from domain import event_store, fold
from domain.event import State
from domain.text import nfc
from projections import decision_facts
from projections.opportunities import terms


def by_external_id(cursor: Cursor[Any], org_id: UUID, kind: str, texts: Collection[str]) -> dict[str, UUID]:
    found = decision_facts.named(cursor, [(org_id, (kind, text)) for text in texts])
    return {text: id_ for _, _, text, id_ in found()}


def deleted(
    cursor: Cursor[Any], org_id: UUID, kind: str, wanted: Collection[tuple[str, datetime]]
) -> dict[tuple[str, datetime], UUID]:
    """Deleted records by external id and the time of their creation."""
    table, of_kind = ("opportunities", "") if kind == "opportunity" else ("directory", "AND d.kind = %(kind)s")
    cursor.execute(
        f"""
        SELECT k.external_id, k.created_at, d.id
        FROM unnest(%(texts)s::text[], %(times)s::timestamptz[]) AS k (external_id, created_at)
        CROSS JOIN LATERAL (
            SELECT d.id FROM {table} d WHERE d.org_id = %(org_id)s {of_kind} AND d.external_id = k.external_id
                AND d.valid_to = 'infinity' AND d.deleted AND d.created_at = k.created_at LIMIT 1) d
        """,
        {"org_id": org_id, "kind": kind, "texts": [text for text, _ in wanted], "times": [at for _, at in wanted]},
    )
    return {(text, at): id_ for text, at, id_ in cursor.fetchall()}


def accounts(cursor: Cursor[Any], org_id: UUID, names: Collection[str]) -> dict[str, list[UUID]]:
    """Accounts by exact name, two of each at most."""
    return _grouped(
        cursor,
        """
        SELECT k.name, d.id FROM unnest(%(names)s::text[]) AS k (name) CROSS JOIN LATERAL (
            SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'account' AND d.name = k.name
                AND d.valid_to = 'infinity' AND NOT d.deleted ORDER BY d.id LIMIT 2) d
        """,
        {"org_id": org_id, "names": list(names)},
    )


def contacts(cursor: Cursor[Any], org_id: UUID, wanted: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], UUID]:
    """Contacts by account and full name."""
    cursor.execute(
        """
        SELECT k.account_id, k.name, d.id FROM unnest(%(accounts)s::uuid[], %(names)s::text[]) AS k (account_id, name)
        CROSS JOIN LATERAL (
            SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'contact' AND d.name = k.name
                AND d.parent_id = k.account_id AND d.valid_to = 'infinity' AND NOT d.deleted ORDER BY d.id LIMIT 1) d
        """,
        {"org_id": org_id, "accounts": [id_ for id_, _ in wanted], "names": [name for _, name in wanted]},
    )
    return {(account_id, name): id_ for account_id, name, id_ in cursor.fetchall()}


def by_email(cursor: Cursor[Any], org_id: UUID, kind: str, addresses: Collection[str]) -> dict[str, list[UUID]]:
    """Contacts or users by address, two of each at most; the address as ``caseless`` has it."""
    return _grouped(
        cursor,
        """
        SELECT k.address, d.id FROM unnest(%(addresses)s::text[]) AS k (address) CROSS JOIN LATERAL (
            SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = %(kind)s AND d.lookup = k.address
                AND d.valid_to = 'infinity' AND NOT d.deleted ORDER BY d.id LIMIT 2) d
        """,
        {"org_id": org_id, "kind": kind, "addresses": list(addresses)},
    )


def deals(cursor: Cursor[Any], org_id: UUID, wanted: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], UUID]:
    """Deals by account and name, one of several. It is asked in the order of the index: see ``decision_facts``."""
    cursor.execute(
        """
        SELECT k.account_id, k.name, o.id FROM unnest(%(accounts)s::uuid[], %(names)s::text[]) AS k (account_id, name)
        CROSS JOIN LATERAL (
            SELECT o.id FROM opportunities o
            WHERE o.org_id = %(org_id)s AND o.account_id >= k.account_id AND o.account_id <= k.account_id AND o.name = k.name
                AND o.valid_to = 'infinity' AND NOT o.deleted ORDER BY o.account_id LIMIT 1) o
        """,
        {"org_id": org_id, "accounts": [id_ for id_, _ in wanted], "names": [name for _, name in wanted]},
    )
    return {(account_id, name): id_ for account_id, name, id_ in cursor.fetchall()}


def tags(cursor: Cursor[Any], org_id: UUID, texts: Collection[str]) -> set[str]:
    """Those that live deals have."""
    return _had(cursor, org_id, {terms.tag(org_id, nfc(text)): text for text in texts})


def custom_fields(cursor: Cursor[Any], org_id: UUID, keys: Collection[str]) -> set[str]:
    """The keys of those of which live deals have values."""
    return _had(cursor, org_id, {terms.has(org_id, key): key for key in keys})


def _had(cursor: Cursor[Any], org_id: UUID, by_term: Mapping[int, str]) -> set[str]:
    """What live deals have, of what terms stand for."""
    cursor.execute(
        """
        SELECT k.term FROM unnest(%(terms)s::bigint[]) AS k (term)
        WHERE EXISTS (SELECT FROM opportunity_terms t WHERE t.org_id = %(org_id)s AND t.terms @> ARRAY[k.term])
        """,
        {"org_id": org_id, "terms": list(by_term)},
    )
    return {by_term[term] for (term,) in cursor.fetchall()}


def people(cursor: Cursor[Any], org_id: UUID) -> list[tuple[UUID, str, str]]:
    """Id, email and name of the users who may have deals."""
    cursor.execute(
        """
        SELECT id, lookup, name FROM directory WHERE org_id = %s AND kind = 'user' AND valid_to = 'infinity' AND active
            AND NOT deleted AND role <> 'read_only' ORDER BY id
        """,
        (org_id,),
    )
    return cursor.fetchall()


def states(cursor: Cursor[Any], ids: Sequence[UUID]) -> dict[UUID, State]:
    """The present states of some records."""
    found: dict[UUID, State] = {}
    fold.changes(event_store.load(cursor, dict.fromkeys(ids, 0)), found)
    return found


def _grouped(cursor: Cursor[Any], text: str, params: dict[str, Any]) -> dict[str, list[UUID]]:
    cursor.execute(text, params)
    found: dict[str, list[UUID]] = {}
    for name, id_ in cursor.fetchall():
        found.setdefault(name, []).append(id_)
    return found
