"""Whether the day or the month comes first in a column, as far as its dates show it."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

from app.importing.date_form import MAX_LENGTH, NUMBERS, SERIAL, Order, moment


class Orders:
    """What the cells of a column say about the order of day and month."""

    def __init__(self) -> None:
        self.dmy = self.mdy = self.dates = self.others = self.unordered = 0

    def see(self, cell: Any) -> None:
        if isinstance(cell, date):
            self.dates += 1
            return
        if isinstance(cell, str) and (found := NUMBERS.fullmatch(cell.strip()[:MAX_LENGTH])):
            first, second = int(found["a"]), int(found["b"])
            if min(first, second) <= 12 and 0 < max(first, second) <= 31 and min(first, second) > 0:
                self.dates += 1
                self.dmy += first > 12
                self.mdy += second > 12
                self.unordered += max(first, second) <= 12
                return
        if isinstance(cell, str) and not SERIAL.fullmatch(cell) and moment(cell, "mdy", UTC) is not None:
            self.dates += 1
        else:
            self.others += 1

    @property
    def order(self) -> Order | None:
        """None if no date shows it, or if they differ."""
        if bool(self.dmy) == bool(self.mdy):
            return None
        return "dmy" if self.dmy else "mdy"
