"""All exchange rates as they were quoted, to be looked up by currency, day and what was known when.

Nothing is converted here: a lookup gives the rate or NULL, and the arithmetic is in ``forecast.money``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from domain.exchange_rate import Quoted
from domain.fold import Change
from domain.sql_cursor import SqlCursor
from projections import questions, versioned_rows
from projections.conditions import SqlStatement, part
from projections.copies import Copies

# (org, currency) is one stream, so the version tells which of two rates for one day is the later.
DDL = """
CREATE TABLE exchange_rates (
    id uuid NOT NULL,
    version int NOT NULL,
    org_id uuid NOT NULL,
    currency text NOT NULL,
    valid_from date NOT NULL,
    rate numeric NOT NULL,
    occurred_at timestamptz NOT NULL,
    position bigint NOT NULL,
    doc text NOT NULL,
    PRIMARY KEY (org_id, currency, valid_from, version)
);
CREATE UNIQUE INDEX exchange_rates_stream ON exchange_rates (id, version);
CREATE INDEX exchange_rates_days ON exchange_rates (org_id, valid_from);
"""

LAST_SET = """
    SELECT DISTINCT ON (r.id) r.id, r.version, r.doc FROM exchange_rates r
    WHERE r.id = ANY(%(ids)s::uuid[]) ORDER BY r.id, r.version DESC
"""
"""Statement for the latest rate of each stream in its parameter ``ids``: (id, version, JSON)."""


class _Row(Struct):
    id: UUID
    version: int
    org_id: UUID
    currency: str
    valid_from: date
    rate: Decimal
    occurred_at: datetime
    position: int
    doc: str


class ExchangeRate(Struct):
    """What one unit of ``currency`` is worth in the org's own, from ``valid_from`` until the next later day with a rate."""

    currency: str
    valid_from: date
    rate: Annotated[str, Meta(extra_json_schema={"format": "decimal"})]
    updated_at: datetime


encode = msgspec.json.Encoder(decimal_format="string").encode


class ExchangeRates:
    name = "exchange_rates"
    version = 1
    tables: tuple[str, ...] = ("exchange_rates",)
    views: tuple[str, ...] = ()
    ddl = DDL
    zero_rows: Mapping[str, str] = {}
    sums: tuple[str, ...] = ()

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        versioned_rows.insert(cursor, "exchange_rates", _rows(batch))

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        pass

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        copies.insert("exchange_rates", _rows(batch))


def _rows(batch: Sequence[Change]) -> list[_Row]:
    rows: list[_Row] = []
    for recorded, _, after in batch:
        if isinstance(quoted := recorded.event, Quoted):
            at = recorded.meta.occurred_at
            shown = ExchangeRate(quoted.currency, quoted.valid_from, f"{quoted.rate:f}", at)
            rows.append(
                _Row(
                    id=after.id,
                    version=after.version,
                    org_id=after.org_id,
                    currency=quoted.currency,
                    valid_from=quoted.valid_from,
                    rate=quoted.rate,
                    occurred_at=at,
                    position=recorded.position,
                    doc=encode(shown).decode(),
                )
            )
    return rows


def page(org_id: UUID, limit: int, offset: int = 0, currencies: Sequence[str] = ()) -> SqlStatement:
    """A page of the rates in force, by currency, latest day first: (JSON joined by commas or NULL, count of all)."""
    params: dict[str, Any] = {"org_id": org_id}
    where = "r.org_id = %(org_id)s"
    if currencies:
        params["currencies"] = list(currencies)
        where += " AND r.currency = ANY(%(currencies)s::text[])"
    text = f"""
        SELECT string_agg(r.doc, ',' ORDER BY r.currency, r.valid_from DESC)::varchar,
               (SELECT count(DISTINCT (r.currency, r.valid_from)) FROM exchange_rates r WHERE {where})
        FROM (SELECT DISTINCT ON (r.currency, r.valid_from) r.* FROM exchange_rates r WHERE {where}
              ORDER BY r.currency, r.valid_from DESC, r.version DESC {part(limit, offset, params)}) r
    """
    return SqlStatement(text, params, questions.RATES)


def rate(currency: str, day: str, known_at: str | None = None) -> str:
    """SQL for what a unit of a currency was worth on a day in the org of ``%(org_id)s``, or NULL if that is not known.

    The arguments are SQL. With ``known_at`` it is the answer that could be given at that instant.
    """
    known = f" AND r.occurred_at <= {known_at}" if known_at else ""
    return (
        f"(SELECT r.rate FROM exchange_rates r WHERE r.org_id = %(org_id)s AND r.currency = {currency}"
        f" AND r.valid_from <= {day}{known} ORDER BY r.valid_from DESC, r.version DESC LIMIT 1)"
    )


def period(day: str, since: date | None, until: date | None) -> str:
    """SQL that numbers the periods between rate changes within the bounds.

    The bounds are in ``%(since)s`` and ``%(until)s`` if they are not None.
    """
    return (
        f"width_bucket({day}, ARRAY(SELECT DISTINCT r.valid_from FROM exchange_rates r"
        f" WHERE r.org_id = %(org_id)s{changes(since, until)} ORDER BY r.valid_from))"
    )


def changes(since: date | None, until: date | None) -> str:
    """SQL, to follow another condition, that selects the rates (``r``) that change within the bounds."""
    lower = " AND r.valid_from > %(since)s::date" if since else ""
    return lower + (" AND r.valid_from <= %(until)s::date" if until else "")
