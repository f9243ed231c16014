"""Deals as a transaction has just written them, with the cards of records that it has read: the response to the creation of a deal
needs no statement.

Only for transactions that change nothing but deals: in another a card may be out of date, and a deal have activities.
"""

from __future__ import annotations

from uuid import UUID

from projections.opportunities import items
from projections.opportunities.rows import Row


class Written:
    """What a writer's connection knows of its present transaction. ``cards`` are of records as others embed them; of contacts all
    that the API shows."""

    def __init__(self) -> None:
        self.rows: dict[tuple[UUID, int], Row] = {}
        self.cards: dict[UUID, str] = {}

    def begin(self) -> None:
        """A transaction begins."""
        self.rows.clear()
        self.cards.clear()

    def response(self, id_: UUID, version: int, definitions: str) -> str | None:
        """The record of a deal that was just created, with its org's definitions of custom fields; None if a part of it is not
        known."""
        if (row := self.rows.get((id_, version))) is None:
            return None
        account, owner, *stakeholders = map(self.cards.get, (row.account_id, row.owner_id, *row.stakeholder_ids))
        if account is None or owner is None or None in stakeholders:
            return None
        return items.created(row, account, owner, ",".join(filter(None, stakeholders)), definitions)
