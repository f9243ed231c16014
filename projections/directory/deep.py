"""Pages far down the lists of all accounts or contacts, found from an anchor that is kept (``projections.anchors``)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from projections import anchors, kept, questions, sources
from projections.conditions import SqlStatement
from projections.directory import queries
from projections.directory.queries import NULLABLE, DirectoryListQuery
from projections.directory.terms import KINDS
from projections.kept import Figure

_decode = msgspec.json.Decoder(list[str]).decode


def is_deep(query: DirectoryListQuery, offset: int) -> bool:
    """Whether the page is best found from an anchor: of a list without filters, whose order has a value in every record."""
    plain = query.kind in KINDS and not queries.is_counted(query)
    return offset >= questions.DEEP and plain and query.order[0].field not in NULLABLE


@dataclass(frozen=True, slots=True)
class DeepRecords:
    """A page that ``is_deep``."""

    query: DirectoryListQuery
    limit: int
    offset: int

    @property
    def key(self) -> Hashable:
        """What the anchor depends on."""
        return "deep", self.query.org_id, self.query.kind, self.query.order, anchors.block(self.offset)

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row, as that of ``projections.opportunities.deep``."""
        return self._found() if figure is None else self._from_anchor(figure)

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[int, str] | None:
        """What is to be kept, of the columns of a page."""
        n, keys, *_ = row
        return None if keys is None else (n, keys)

    @property
    def _live(self) -> str:
        return f"d.org_id = %(org_id)s AND d.kind = '{self.query.kind}' AND {queries.LIVE}"

    def _found(self) -> SqlStatement:
        part, _, params = anchors.walked(self.offset, self.limit)
        column, _ = queries.column_of(self.query.kind, self.query.order[0].field)
        anchor = sources.current(queries.TABLE, "SELECT a.id")
        counting = queries.count(self.query)
        total = anchors.found(
            f"(SELECT d.* FROM directory d WHERE {self._live} ORDER BY {queries.order_by(self.query)} {part})",
            f"SELECT json_build_array({column}::text, d.id::text)::text FROM {anchor} d",
            f"({counting.text})",
        )
        total = total._replace(params=params | counting.params | {"org_id": self.query.org_id})
        page = SqlStatement(sources.current(queries.TABLE, anchors.IDS), {})
        return queries.page(self.query, self.limit, total=total, found=page)

    def _from_anchor(self, figure: Figure) -> SqlStatement:
        column, type_ = queries.column_of(self.query.kind, self.query.order[0].field)
        sign = "<" if self.query.order[0].descending else ">"
        after = f"({column}, d.id) {sign} (%(k0)s::{type_}, %(k1)s::uuid)"
        first, last = _decode(figure.parts[1])
        counting = queries.count(self.query)
        total = anchors.from_anchor(
            figure,
            kept.since(figure, (), of=self.query.kind),
            f"d.org_id = %(org_id)s AND NOT {after}",
            self.query.kind,
            self.offset,
            f"({counting.text})",
        )
        params = {"org_id": self.query.org_id, "k0": first, "k1": last, "limit": self.limit}
        total = total._replace(params=params | counting.params | total.params)
        where = f"{self._live} AND {after}"
        following = f"(SELECT d.* FROM directory d WHERE {where} ORDER BY {queries.order_by(self.query)} {anchors.PART})"
        page = SqlStatement(sources.current(queries.TABLE, f"SELECT k.id FROM {following} k"), {})
        return queries.page(self.query, self.limit, total=total, found=page)
