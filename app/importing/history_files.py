"""Files that tell what deals were: a stage entered a row, or as Salesforce has it, a row for each change or for each field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from app.importing import date_form, number_form
from app.importing.date_form import Moment
from app.importing.deals import EPOCH
from app.importing.faults import Fault, Unreadable
from app.importing.number_form import Mark
from app.importing.options import Options, zone
from app.importing.presets import form
from app.importing.profile import split_footer, text_of
from app.importing.separated import Row
from app.importing.table import Table
from app.importing.timeline import Entry
from app.importing.vocabulary import Vocabulary

Shape = Literal["rows", "fields"]
KEYS = ("OpportunityId", "Record ID", "Deal ID", "deal key", "deal", "Opportunity ID", "external_id")
STAGES = ("StageName", "Deal Stage", "Stage", "To Stage")
TIMES = ("CreatedDate", "Date entered stage", "entered", "Entered", "Last Modified", "changed_at", "at", "date")
FIELDS: Mapping[str, str] = {"stagename": "stage", "stage": "stage", "amount": "amount", "closedate": "close_date"}


class Keyed(NamedTuple):
    """An entry of the deal with this key."""

    key: str
    line: int
    entry: Entry


class HistoryReader:
    """Reads one history file. Raises ``Unreadable`` at once if it is none."""

    def __init__(self, table: Table, options: Options, vocabulary: Vocabulary, now: datetime) -> None:
        self._table, self._vocabulary, self._now = table, vocabulary, now
        self._place = {form(name): number for number, name in reversed(list(enumerate(table.columns)))}
        self._key, self._time = self._column(KEYS, "the deal's key"), self._column(TIMES, "the time")
        self._by_field = {"field", "newvalue"} <= self._place.keys()
        self._stage = None if self._by_field else self._column(STAGES, "the stage")
        self._stages = options.values.get("stage", {})
        self._mark: Mark = number_form.mark_of(options.locale)
        self._order, self._zone = options.date_order, zone(options.time_zone) or UTC

    def entries(self) -> Iterator[Keyed | Fault]:
        rows, _ = split_footer(self._table.rows(), len(self._table.columns))
        for row in rows:
            key = text_of(row.cells[self._key])
            moment = date_form.moment(row.cells[self._time], self._order, self._zone, serials=True)
            if not key:
                yield self._fault(row, self._key, "A row of a history needs the key of its deal.")
            elif moment is None or not EPOCH <= moment.instant <= self._now:
                yield self._fault(row, self._time, "This is no time of the past.")
            else:
                yield from self._read(row, key, moment)

    def _read(self, row: Row, key: str, moment: Moment) -> Iterator[Keyed | Fault]:
        if self._by_field:
            yield from self._of_field(row, key, moment)
            return
        assert self._stage is not None
        stage = self._stage_of(text_of(row.cells[self._stage]))
        if stage is None:
            yield self._fault(row, self._stage, "No stage has this name: say under values.stage which one it means.")
            return
        changes: dict[str, Any] = {"stage": stage}
        for name, field in (("amount", "amount"), ("closedate", "close_date")):
            if name in self._place:
                changes[field] = self._value(field, row.cells[self._place[name]])
        yield Keyed(key, row.line, Entry(moment, changes))

    def _of_field(self, row: Row, key: str, moment: Moment) -> Iterator[Keyed | Fault]:
        """Of fields that are not followed there is nothing."""
        field = FIELDS.get(form(text_of(row.cells[self._place["field"]])))
        if field is None:
            return
        place = self._place["newvalue"]
        old = row.cells[self._place["oldvalue"]] if "oldvalue" in self._place else ""
        if field == "stage":
            if (stage := self._stage_of(text_of(row.cells[place]))) is None:
                yield self._fault(row, place, "No stage has this name: say under values.stage which one it means.")
                return
            before = self._stage_of(text_of(old))
            yield Keyed(key, row.line, Entry(moment, {"stage": stage}, {"stage": before} if before else {}))
            return
        yield Keyed(key, row.line, Entry(moment, {field: self._value(field, row.cells[place])}, {field: self._value(field, old)}))

    def _stage_of(self, text: str) -> str | None:
        meant = self._stages.get(text, text)
        return meant if meant in self._vocabulary.by_key() else self._vocabulary.stage(meant)

    def _value(self, field: str, cell: Any) -> Any:
        if field == "amount":
            return number_form.number(cell, self._mark)
        found = date_form.moment(cell, self._order, self._zone, serials=True)
        return found.day if found else None

    def _column(self, names: tuple[str, ...], what: str) -> int:
        found = next((self._place[form(name)] for name in names if form(name) in self._place), None)
        if found is None:
            raise Unreadable(f"This history has no column for {what}: it should be called {names[0]}.", self._table.form.header_row)
        return found

    def _fault(self, row: Row, place: int, message: str) -> Fault:
        return Fault.at(row.line, self._table.columns[place], text_of(row.cells[place]), message)
