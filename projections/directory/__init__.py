"""The records that opportunities refer to, and the org's settings: accounts, contacts, users, tokens, activities, policy.

One row for every version of every record, as in ``opportunities``. ``card`` is the record as it is embedded in others, ``doc`` as
the API shows it, ``search`` as it is searched (see ``projections.search``). Of a token only the hash is here, and not in ``doc``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from domain import account, activity, catalog, contact, custom_field, organization, token, user, webhook_endpoint
from domain.event import State
from domain.fold import Change
from domain.sql_cursor import SqlCursor
from domain.text import caseless, nfc
from projections import versioned_rows
from projections.copies import Copies
from projections.directory import terms
from projections.search import searchable
from projections.terms import once

# Of deleted records several may have the same external id.
DDL = """
CREATE TABLE directory (
    id uuid NOT NULL,
    version int NOT NULL,
    org_id uuid NOT NULL,
    kind text NOT NULL,
    position bigint NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    deleted boolean NOT NULL,
    active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    sort_at timestamptz NOT NULL,
    parent_id uuid,
    name text NOT NULL,
    last_name text,
    lookup text,
    role text,
    expires_at timestamptz,
    issued_with uuid,
    external_id text,
    card text NOT NULL,
    doc text NOT NULL,
    search text NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX directory_current ON directory (id) WHERE valid_to = 'infinity';
CREATE INDEX directory_kind ON directory (org_id, kind, sort_at DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted;
CREATE INDEX directory_parent ON directory (org_id, kind, parent_id, sort_at DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted AND parent_id IS NOT NULL;
CREATE INDEX directory_name ON directory (org_id, kind, name, id)
    WHERE valid_to = 'infinity' AND NOT deleted AND kind IN ('account', 'contact');
CREATE INDEX directory_last_name ON directory (org_id, last_name, id)
    WHERE valid_to = 'infinity' AND NOT deleted AND kind = 'contact';
CREATE INDEX directory_updated_at ON directory (org_id, kind, valid_from DESC, id DESC)
    WHERE valid_to = 'infinity' AND NOT deleted AND kind IN ('account', 'contact');
CREATE INDEX directory_email ON directory (org_id, lookup, id)
    WHERE valid_to = 'infinity' AND NOT deleted AND kind = 'contact';
CREATE INDEX directory_lookup ON directory (kind, lookup)
    WHERE valid_to = 'infinity' AND NOT deleted AND lookup IS NOT NULL;
CREATE INDEX directory_cards ON directory (org_id, position)
    WHERE valid_to = 'infinity' AND kind IN ('account', 'contact', 'user');
CREATE UNIQUE INDEX directory_external_id ON directory (org_id, kind, external_id, (CASE WHEN deleted THEN id END))
    NULLS NOT DISTINCT WHERE valid_to = 'infinity' AND external_id IS NOT NULL;
CREATE INDEX directory_issued_with ON directory (issued_with) WHERE valid_to = 'infinity' AND issued_with IS NOT NULL;

CREATE TABLE identity_epochs (org_id uuid PRIMARY KEY, position bigint NOT NULL);

CREATE TABLE directory_counts (org_id uuid NOT NULL, kind text NOT NULL, n bigint NOT NULL, PRIMARY KEY (org_id, kind));
"""

IDENTITIES = frozenset({"user", "token", "organization"})
"""Kinds of records of which every change begins an epoch of identities."""
COUNT = f"""
INSERT INTO directory_counts (org_id, kind, n)
SELECT org_id, kind, count(*) FROM directory
WHERE valid_to = 'infinity' AND NOT deleted AND kind IN ({", ".join(f"'{kind}'" for kind in sorted(terms.KINDS))}) GROUP BY 1, 2
"""
EPOCHS = f"""
INSERT INTO identity_epochs (org_id, position)
SELECT org_id, max(position) FROM directory WHERE kind IN ({", ".join(f"'{kind}'" for kind in sorted(IDENTITIES))}) GROUP BY 1
"""

encode = msgspec.json.Encoder(decimal_format="string").encode
_ordered = msgspec.json.Encoder(decimal_format="string", order="deterministic").encode


class _Row(Struct):
    id: UUID
    version: int
    org_id: UUID
    kind: str
    position: int
    valid_from: datetime
    valid_to: datetime | str
    deleted: bool
    active: bool
    created_at: datetime
    sort_at: datetime
    parent_id: UUID | None
    name: str
    last_name: str | None
    lookup: str | None
    role: str | None
    expires_at: datetime | None
    issued_with: UUID | None
    external_id: str | None
    card: str
    doc: str
    search: str = ""


class _Epoch(Struct):
    org_id: UUID
    position: int


ELSEWHERE = frozenset({"opportunity", "exchange_rate"})
"""Kinds of records with a read model of their own; all others are here."""


@cache
def shown_fields(state: type[State]) -> tuple[str, ...]:
    """The fields of a record's document beside those that every state has: the id, the instants and the version."""
    hidden = {*State.__struct_fields__, "deleted", *catalog.AGGREGATES[catalog.kind_of(state)].secret}
    return tuple(name for name in state.__struct_fields__ if name not in hidden)


def document(state: State) -> str:
    """A record as the API shows it."""
    if isinstance(state, custom_field.State):
        return encode(state.definitions).decode()
    shown: dict[str, Any] = {"id": state.id}
    shown |= {name: _sorted_keys(getattr(state, name)) for name in shown_fields(type(state))}
    shown |= {"created_at": state.created_at, "updated_at": state.updated_at, "version": state.version}
    return encode(shown).decode()


def _sorted_keys(value: Any) -> Any:
    """Sort the keys of user-defined objects, as the log does."""
    return Raw(_ordered(value)) if isinstance(value, dict | Struct) else value


def _card(state: State) -> str:
    match state:
        case account.State():
            return encode({"id": state.id, "name": state.name}).decode()
        case user.State():
            return encode({"id": state.id, "email": state.email}).decode()
        case contact.State():
            return encode({"id": state.id, "first_name": state.first_name, "last_name": state.last_name}).decode()
    return ""


def _row(kind: str, state: State, position: int) -> _Row:
    row = _Row(
        id=state.id,
        version=state.version,
        org_id=state.org_id,
        kind=kind,
        position=position,
        valid_from=state.updated_at,
        valid_to=versioned_rows.INFINITY,
        deleted=getattr(state, "deleted", False),
        active=True,
        created_at=state.created_at,
        sort_at=state.created_at,
        parent_id=None,
        name="",
        last_name=None,
        lookup=None,
        role=None,
        expires_at=None,
        issued_with=None,
        external_id=getattr(state, "external_id", None),
        card=_card(state),
        doc=document(state),
    )
    match state:
        case account.State() | organization.State():
            row.name = state.name
        case contact.State():
            row.name, row.last_name = f"{state.first_name} {state.last_name}", nfc(state.last_name)
            row.parent_id = state.account_id
            row.lookup = caseless(state.email) if state.email else None
        case user.State():
            row.name, row.lookup = state.name, caseless(state.email)
            row.active, row.role = state.active, state.role
        case token.State():
            row.name, row.lookup, row.parent_id = state.name, state.hash, state.user_id
            row.active, row.expires_at = not state.revoked, state.expires_at
            row.role, row.issued_with = state.role, state.issued_with
        case activity.State():
            row.name, row.parent_id, row.sort_at = state.subject, state.opportunity_id, state.occurred_at
        case webhook_endpoint.State():
            row.name, row.active = state.url, state.active
    row.name = nfc(row.name)
    row.search = _searchable(state) or searchable(row.name)
    return row


def _searchable(state: State) -> str:
    """The text in which an account, a contact or a user is searched."""
    match state:
        case account.State():
            return searchable(nfc(state.name))
        case contact.State():
            return searchable(f"{state.first_name} {state.last_name}", state.email or "")
        case user.State():
            return searchable(state.name, state.email)
    return ""


def _live(state: State | None) -> bool:
    return state is not None and not getattr(state, "deleted", False)


def _searched(before: State | None) -> str | None:
    """The searchable text of a live version."""
    return _searchable(before) if before is not None and _live(before) else None


class _Count(Struct):
    org_id: UUID
    kind: str
    n: int


class Directory:
    name = "directory"
    version = 7
    tables: tuple[str, ...] = ("directory", "identity_epochs", "directory_counts", *terms.TABLES)
    views: tuple[str, ...] = ()
    ddl = DDL + terms.DDL
    zero_rows: Mapping[str, str] = {"directory_counts": "n = 0"}
    sums: tuple[str, ...] = (COUNT, EPOCHS, once("directory_words"))

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        rows, versions = _rows(batch)
        epochs: dict[UUID, _Epoch] = {}
        for row in rows:
            if row.kind in IDENTITIES:
                epoch = epochs.setdefault(row.org_id, _Epoch(row.org_id, 0))
                epoch.position = max(epoch.position, row.position)
        counts: Counter[tuple[UUID, str]] = Counter()
        for _, before, after in batch:
            if (kind := catalog.kind_of(type(after))) in terms.KINDS:
                counts[after.org_id, kind] += _live(after) - _live(before)
        versioned_rows.write(cursor, "directory", rows)
        terms.write(cursor, versions)
        if deltas := [_Count(*key, n) for key, n in counts.items() if n]:
            cursor.execute(
                """
                INSERT INTO directory_counts AS c
                SELECT * FROM json_populate_recordset(NULL::directory_counts, %(rows)s::json)
                ON CONFLICT (org_id, kind) DO UPDATE SET n = c.n + excluded.n
                """,
                {"rows": encode(deltas).decode()},
                prepare=True,
            )
        if epochs:
            cursor.execute(
                """
                INSERT INTO identity_epochs AS e
                SELECT * FROM json_populate_recordset(NULL::identity_epochs, %(rows)s::json)
                ON CONFLICT (org_id) DO UPDATE SET position = greatest(e.position, excluded.position)
                """,
                {"rows": encode(list(epochs.values())).decode()},
                prepare=True,
            )

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        pass

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        rows, versions = _rows(batch)
        copies.versions("directory", rows)
        terms.fill(copies, versions)


def _rows(batch: Sequence[Change]) -> tuple[list[_Row], list[tuple[_Row, str | None]]]:
    """The versions; and those of records with terms, each with the searchable text of the live version before it."""
    rows: list[_Row] = []
    versions: list[tuple[_Row, str | None]] = []
    for recorded, before, after in batch:
        kind = catalog.kind_of_event(type(recorded.event))
        if kind not in ELSEWHERE:
            rows.append(row := _row(kind, after, recorded.position))
            if kind in terms.KINDS:
                versions.append((row, _searched(before)))
    return rows, versions
