"""Waterfalls whose sums are kept: the entries of the ledger that were written since are added to them.

A sum is made of entries alone, and these are never changed. So the sums of one position of the log are those of now once the
entries after it are added: to the start if they occurred before it, to their cause if they occurred up to the end.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from projections import kept, questions
from projections.conditions import SqlStatement
from projections.forecast import waterfall
from projections.forecast.entries import WaterfallQuery
from projections.forecast.owner_sums import OwnerSums
from projections.forecast.waterfall_answer import answer, answer_of_sums
from projections.forecast.waterfall_sums import WholeSums
from projections.forecast.waterfall_types import Waterfall
from projections.kept import Figure, Kind

HANGS_ON: tuple[Kind, ...] = ("exchange_rate", "organization", "user")
_TIMES = 3
"""Bytes that sums take for each byte of the columns they are made of, roughly."""


def are_kept(query: WaterfallQuery) -> bool:
    """Whether the sums of a waterfall are kept: without those of single deals."""
    return not query.expanded and not waterfall.deal_by_deal(query)


class _Unmade(NamedTuple):
    before: KeptSums | None
    columns: tuple[bytes, ...]


class KeptSums:
    """The sums of a row, added to those before. They are made when they are first asked for, on whichever thread, because the event
    loop that keeps them has others to serve."""

    def __init__(self, before: KeptSums | None, columns: Sequence[bytes]) -> None:
        self._sums: WholeSums | OwnerSums | _Unmade = _Unmade(before, tuple(columns))

    def made(self) -> WholeSums | OwnerSums:
        unmade: list[tuple[KeptSums, _Unmade]] = []
        each: KeptSums | None = self
        found: WholeSums | OwnerSums | None = None
        while each is not None and found is None:
            if isinstance(state := each._sums, _Unmade):
                unmade.append((each, state))
                each = state.before
            else:
                found = state
        for kept_sums, (_, columns) in reversed(unmade):
            if found is None:
                found = WholeSums() if len(columns) == 2 else OwnerSums()
            found = kept_sums._sums = found.plus(*columns)
        assert found is not None
        return found

    def __sizeof__(self) -> int:
        if not isinstance(state := self._sums, _Unmade):
            return state.__sizeof__()
        return _TIMES * sum(map(len, state.columns)) + (state.before.__sizeof__() if state.before else 0)


@dataclass(slots=True)
class KeptWaterfall:
    """A waterfall that is asked for once."""

    query: WaterfallQuery
    _before: KeptSums | None = field(default=None, init=False)
    _found: KeptSums | None = field(default=None, init=False)

    @property
    def key(self) -> Hashable:
        """The groups that are shown do not matter to the sums; the day does to the rates."""
        asked = self.query
        until = ("day", asked.today) if asked.until_now else ("end", asked.end)
        return "waterfall", asked.org_id, asked.conditions, asked.start, until, asked.bounds, asked.currency, asked.group_by

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the sums hold for, then the columns of ``waterfall.changes``, or of what changed."""
        self._before = self._found = None
        if figure is None:
            return waterfall.changes(self.query, f"{kept.POSITION} AS position, {kept.BUILT} AS built, ")
        (self._before,) = figure.parts
        first = "(SELECT h.position FROM holds h) AS position, (SELECT h.built FROM holds h) AS built, "
        holds = "(SELECT h.position FROM holds h) IS NOT NULL"
        text, params, _ = waterfall.written_since(self.query, kept.since(figure, HANGS_ON), first, holds)
        return SqlStatement(text, params | figure.params(), questions.WATERFALL_KEPT)

    def parts(self, row: Sequence[Any]) -> tuple[KeptSums] | None:
        _, known, _, *columns = row
        if self.query.group_by is None:
            found = None if known is None else [known, *columns]
        else:
            found = None if known is None or columns[2] is None else columns[:4]
        if found is None:
            return None
        self._found = KeptSums(self._before, found)
        return (self._found,)

    @property
    def size(self) -> int:
        """Bytes of what the answer is made of, roughly."""
        return self._found.__sizeof__() if self._found else 0

    def answer(self, row: Sequence[Any]) -> Waterfall:
        """The response, of a row without position and build. Raises ``Invalid`` if there are too many months."""
        if self._found is None:
            return answer(self.query, row)
        return answer_of_sums(self.query, row[0], self._found.made())
