"""The cells of a row as values of fields, by a mapping; what is wrong with them is told by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any

from app.importing import date_form, number_form, own_files
from app.importing.date_form import Moment
from app.importing.faults import Fault
from app.importing.number_form import Mark
from app.importing.options import Made, Options, Source, zone
from app.importing.profile import text_of
from app.importing.separated import Row
from domain.custom_field import Definition

SHEET_ERRORS = frozenset(
    (
        "#DIV/0!",
        "#N/A",
        "#NAME?",
        "#NULL!",
        "#NUM!",
        "#REF!",
        "#VALUE!",
        "#SPILL!",
        "#CALC!",
        "#GETTING_DATA",
        "#FIELD!",
        "#BLOCKED!",
    )
)
"""What spreadsheets show in a cell whose formula went wrong."""
_BETWEEN = re.compile(r"[,;]")
_PLACES = re.compile(r"\{([^{}]+)\}")
TRUE = {"true", "yes", "1", "ja", "oui", "si", "sí", "wahr", "vrai", "y", "x"}
FALSE = {"false", "no", "0", "nein", "non", "falsch", "faux", "n"}
Cell = Callable[[Sequence[Any]], Any]


class Cells:
    """Reads the rows of one file. ``row`` goes to one of them; faults of the row gather in ``faults``."""

    def __init__(self, columns: Sequence[str], options: Options, format_: str = "") -> None:
        place = {name: number for number, name in enumerate(columns)}
        self._columns = columns
        self._used = {place[one] for source in options.mapping.values() for one in _columns(source)}
        self._sources = {name: _getter(source, place) for name, source in options.mapping.items()}
        self._names = {name: _title(name, source) for name, source in options.mapping.items()}
        self._defaults = options.defaults
        self._values = options.values
        self._mark: Mark = number_form.mark_of(options.locale)
        self._order = options.date_order
        self._zone: tzinfo = zone(options.time_zone) or UTC
        self._named: dict[re.Pattern[str], list[tuple[str, str]]] = {}
        self._width = len(columns)
        self._own = format_ == "csv" and options.preset == own_files.TABLE
        self.row = Row(0, [])
        self.faults: list[Fault] = []

    def turn_to(self, row: Row) -> None:
        self.row, self.faults = (Row(row.line, [own_files.plain(cell) for cell in row.cells]) if self._own else row), []
        if len(row.cells) > self._width:
            extra = text_of(row.cells[self._width])
            remedy = "There is no header for this value: name its column, or quote values that contain the separator."
            self.faults.append(Fault.at(row.line, f"Column {self._width + 1}", extra, remedy))
        if not SHEET_ERRORS.isdisjoint(row.cells):
            self._take_out_errors()

    def _take_out_errors(self) -> None:
        """Of columns that are used; such a cell counts as empty then."""
        cells = list(self.row.cells)
        for number in sorted(self._used):
            if cells[number] in SHEET_ERRORS:
                wrong = "A spreadsheet shows this where a formula went wrong: correct the formula, or empty the cell."
                self.faults.append(Fault.at(self.row.line, self._columns[number], cells[number], wrong))
                cells[number] = ""
        self.row = Row(self.row.line, cells)

    def has(self, field: str) -> bool:
        return field in self._sources or field in self._defaults

    def named(self, pattern: re.Pattern[str]) -> Sequence[tuple[str, str]]:
        """The fields of a pattern's names that there are, with the group of each."""
        if (found := self._named.get(pattern)) is None:
            fields = dict.fromkeys([*self._sources, *self._defaults])
            found = self._named[pattern] = [(name, match[1]) for name in fields if (match := pattern.fullmatch(name))]
        return found

    def raw(self, field: str) -> Any:
        """The cell, or the default for an empty one; "" if there is neither."""
        source = self._sources.get(field)
        cell = "" if source is None else source(self.row.cells)
        if cell is None or (cell.__class__ is str and not cell.strip()):
            return self._defaults.get(field, "")
        return cell

    def fault(self, field: str, message: str) -> None:
        column = self._names.get(field, field)
        self.faults.append(Fault.at(self.row.line, column, text_of(self.raw(field)), message))

    def text(self, field: str) -> str | None:
        """A text on one line, with what the options say that it means; None if there is none."""
        cell, meanings = self.raw(field), self._values.get(field)
        if cell == "" and meanings is None:
            return None
        text = " ".join(text_of(cell).split())
        if meanings is not None and text in meanings:
            text = meanings[text].strip()
        return text or None

    def long_text(self, field: str) -> str | None:
        return text_of(self.raw(field)) or None

    def words(self, field: str) -> tuple[str, ...]:
        """The parts of a text that has several, separated by commas or semicolons."""
        if (cell := self.raw(field)) == "":
            return ()
        parts = [" ".join(part.split()) for part in _BETWEEN.split(text_of(cell))]
        return tuple(dict.fromkeys(part for part in parts if part))

    def number(self, field: str) -> Decimal | None:
        cell = self.raw(field)
        if isinstance(cell, str) and not cell.strip():
            return None
        found = number_form.number(cell, self._mark)
        if found is None:
            self.fault(field, f"This is no number with the decimal mark {self._mark!r}: correct it or say another locale.")
        return found

    def moment(self, field: str) -> Moment | None:
        cell = self.raw(field)
        if isinstance(cell, str) and not cell.strip():
            return None
        found = date_form.moment(cell, self._order, self._zone, serials=True)
        if found is None:
            self.fault(
                field, f"This is no date, such as 2026-06-30, or {_EXAMPLES[self._order]}: correct it or say another date_order."
            )
        return found

    def truth(self, field: str) -> bool | None:
        cell = self.raw(field)
        if isinstance(cell, bool):
            return cell
        word = text_of(cell).lower()
        if word in TRUE or word in FALSE:
            return word in TRUE
        if word:
            self.fault(field, "This is neither true nor false: write yes or no.")
        return None

    def custom(self, field: str, definition: Definition | None) -> Any:
        """The JSON value of a custom field, by the type of its definition."""
        match definition.type if definition else "textarea":
            case "number":
                number = self.number(field)
                return None if number is None else int(number) if number == number.to_integral_value() else float(number)
            case "date":
                moment = self.moment(field)
                return moment.day.isoformat() if moment else None
            case "checkbox":
                return self.truth(field)
            case "multiselect":
                return list(self.words(field)) or None
            case "textarea":
                return self.long_text(field)
            case _:
                return self.text(field)


_EXAMPLES: Mapping[str, str] = {"ymd": "2026/6/30", "mdy": "6/30/2026", "dmy": "30/6/2026"}


def _columns(source: Source) -> Sequence[str]:
    return [source] if isinstance(source, str) else source.columns()


def _getter(source: Source, place: Mapping[str, int]) -> Cell:
    if isinstance(source, str):
        number = place[source]
        return lambda cells: cells[number]
    if source.template is None:
        return lambda _: source.value or ""
    parts = _PLACES.split(source.template)

    def filled(cells: Sequence[Any]) -> str:
        """Nothing if every column in it is empty."""
        values = [text_of(cells[place[part]]) for part in parts[1::2]]
        if not any(values):
            return ""
        return "".join(values[number // 2] if number % 2 else part for number, part in enumerate(parts))

    return filled


def _title(name: str, source: Source) -> str:
    if isinstance(source, str):
        return source
    assert isinstance(source, Made)
    return ", ".join(source.columns()) or name
