"""Terms: numbers that stand for what a record is found by, such as a tag or a word of its name.

A narrow table has each live record's terms, written only when they change, and a second one the words that are terms, so that a
part of a word finds the terms of all words that have it. Row-level security keeps the operators of arrays and patterns out of index
conditions, so the functions of migration 0012 look there, in the reader's org alone. The folding is ours, as everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.sql_cursor import SqlCursor
from projections.search import searchable

encode = msgspec.json.encode
MOST_REMEMBERED = 100_000


class Found(Struct):
    """The row of a record. ``terms`` are sorted."""

    id: UUID
    org_id: UUID
    created_at: datetime
    terms: list[int]


class Word(Struct, frozen=True):
    """A word as it is searched in a field, and the term of the records that have it there."""

    org_id: UUID
    field: str
    word: str
    term: int


class Remembered:
    """Terms of words that are in the database for certain, as a writer's connection knows from its own transactions."""

    def __init__(self) -> None:
        self._certain: set[int] = set()
        self._written: set[int] = set()

    def begin(self) -> None:
        """A transaction begins; what the one before wrote is forgotten, unless it was kept."""
        self._written.clear()

    def keep(self) -> None:
        """The transaction is committed."""
        if len(self._certain) > MOST_REMEMBERED:
            self._certain.clear()
        self._certain |= self._written

    def unknown(self, words: Iterable[Word]) -> list[Word]:
        """Those of the words that are not there for certain, which the transaction now writes."""
        rest = [word for word in words if word.term not in self._certain]
        self._written.update(word.term for word in rest)
        return rest


class Group(Struct, omit_defaults=True):
    """Terms one of which a record must have: those given, those of words like a pattern in a field; or, of deals, an account
    in whose name there is a word like another pattern."""

    terms: list[int] = []
    field: str | None = None
    word: str | None = None
    account: str | None = None


@lru_cache(maxsize=10_000)
def term(org_id: UUID, kind: str, text: str) -> int:
    """The number of a text of a kind. It is another in every org, so that one index of all orgs' terms keeps them apart."""
    digest = blake2b(f"{kind}\0{text}".encode(), digest_size=8, key=org_id.bytes).digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=10_000)
def named(org_id: UUID, field: str, folded_word: str) -> Word:
    """A word of a name, which is searched from its beginning too."""
    return Word(org_id, field, searchable(folded_word), term(org_id, field, folded_word))


def ddl(records: str, apart: str | None = None) -> str:
    """The index of the table of the records' terms, and the table of their words; those of a field may have an index ``apart``."""
    more = f", '{apart}'" if apart else ""
    return f"""
CREATE INDEX {records}_terms_terms ON {records}_terms USING gin (terms) WITH (gin_pending_list_limit = 1024);

CREATE TABLE {records}_words (
    org_id uuid NOT NULL,
    field text NOT NULL,
    word text NOT NULL,
    term bigint NOT NULL,
    PRIMARY KEY (term, org_id)
);
SELECT public.index_words('{records}_words'{more});
"""


def groups(found: Collection[Group]) -> str:
    """As the functions of the database take them."""
    return encode(found).decode()


def write(cursor: SqlCursor, table: str, found: Mapping[UUID, Found | None], changing: tuple[str, ...] = ("terms",)) -> None:
    """Write the rows of records; None of one that is gone. ``changing`` are the columns that may."""
    if gone := [id_ for id_, row in found.items() if row is None]:
        cursor.execute(f"DELETE FROM {table} WHERE id = ANY(%(ids)s::uuid[])", {"ids": gone}, prepare=True)
    if rows := [row for row in found.values() if row is not None]:
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %(rows)s::json)"
            f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changing)}",
            {"rows": encode(rows).decode()},
            prepare=True,
        )


def write_words(cursor: SqlCursor, table: str, new: Iterable[Word]) -> None:
    """Add the words that the table does not have. None is ever removed: a word that no record has any more finds nothing."""
    rows = list({word.term: word for word in new}.values())
    if remembered := getattr(cursor, "remembered", None):
        rows = remembered.unknown(rows)
    if rows:
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %(rows)s::json)"
            " ON CONFLICT (term, org_id) DO NOTHING",
            {"rows": encode(rows).decode()},
            prepare=True,
        )


def once(table: str) -> str:
    """The statement that leaves one row of those that several workers of a rebuild have copied for a word."""
    return f"DELETE FROM {table} a USING {table} b WHERE a.term = b.term AND a.org_id = b.org_id AND a.ctid > b.ctid"
