"""What accounts and contacts are found by: the words of their names, and of contacts' email addresses.

Addresses are as many as contacts, and a name is in many of them. So of contacts a word with signs is found in a field of its own,
and every part of it without signs in that of other words: what has no signs is looked for there alone, in an index of far fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.sql_cursor import SqlCursor
from projections import terms
from projections.copies import Copies
from projections.search import runs, split
from projections.terms import Found, Word

WITH_SIGNS = "contact with signs"
DDL = f"""
CREATE TABLE directory_terms (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    kind text NOT NULL,
    deleted boolean NOT NULL,
    created_at timestamptz NOT NULL,
    terms bigint[] NOT NULL,
    -- When the record came to be found by these terms.
    since timestamptz NOT NULL
);
CREATE INDEX directory_terms_since ON directory_terms (org_id, kind, since) WHERE since > created_at;
{terms.ddl("directory", WITH_SIGNS)}
"""
TABLES = ("directory_terms", "directory_words")
KINDS = frozenset({"account", "contact"})
"""Of records with terms, and with a counter."""


class Named(Found):
    """``deleted`` ones stay, because deals may still name them."""

    kind: str
    deleted: bool
    since: datetime


class Version(Protocol):
    """What this looks at of a row of the directory."""

    id: UUID
    org_id: UUID
    kind: str
    created_at: datetime
    valid_from: datetime
    deleted: bool
    search: str


def write(cursor: SqlCursor, versions: Sequence[tuple[Version, str | None]]) -> None:
    """Of rows of the directory, each with the searchable text of the live version before it, if there was one."""
    found, words = _found(versions)
    terms.write(cursor, "directory_terms", found, ("deleted", "terms", "since"))
    terms.write_words(cursor, "directory_words", words)


def fill(copies: Copies, versions: Sequence[tuple[Version, str | None]]) -> None:
    """As ``write``."""
    found, words = _found(versions)
    copies.latest("directory_terms", found)
    copies.words("directory_words", words)


def field(kind: str, word: str) -> str:
    """Where words are, of records of a kind, that this folded word may be found in."""
    return kind if kind == "account" or runs(word) == [word] else WITH_SIGNS


def _words(row: Version) -> list[str]:
    words = split(row.search)
    return words if row.kind == "account" else list(dict.fromkeys([*words, *(part for word in words for part in runs(word))]))


def _found(versions: Sequence[tuple[Version, str | None]]) -> tuple[dict[UUID, Found | None], list[Word]]:
    """The rows that change, by record; and the words in them."""
    found: dict[UUID, Found | None] = {}
    words: list[Word] = []
    for row, before in versions:
        if row.kind not in KINDS or (row.search == before and not row.deleted):
            continue
        new = [terms.named(row.org_id, field(row.kind, word), word) for word in _words(row)]
        numbers = sorted({word.term for word in new})
        found[row.id] = Named(row.id, row.org_id, row.created_at, numbers, row.kind, row.deleted, row.valid_from)
        words += new
    return found, words
