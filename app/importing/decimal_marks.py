"""Which character is the decimal mark in a column, as far as its numbers show it."""

from __future__ import annotations

from app.importing.number_form import Mark, bare, parsed


class Marks:
    """What the cells of a column say about the decimal mark."""

    def __init__(self) -> None:
        self.comma = self.point = self.numbers = self.others = 0

    def see(self, text: str) -> None:
        digits = bare(text)
        if digits is None or not any(character.isdigit() for character in digits):
            self.others += 1
            return
        found = evidence(digits)
        if parsed(text, found or ".") is None:
            self.others += 1
            return
        self.numbers += 1
        self.comma += found == ","
        self.point += found == "."

    @property
    def mark(self) -> Mark | None:
        """None if no number shows it."""
        if self.comma == self.point:
            return None
        return "," if self.comma > self.point else "."


def evidence(text: str) -> Mark | None:
    """The mark that a number shows: the last one of two kinds, or one that does not group by three."""
    comma, point = text.rfind(","), text.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    if comma < 0 and point < 0:
        return None
    character: Mark = "," if comma >= 0 else "."
    if text.count(character) > 1:
        return "." if character == "," else ","
    before, after = text.split(character)
    groups = len(after.rstrip("-)")) == 3 and 1 <= len(before.lstrip("(+-0")) <= 3
    return None if groups else character
