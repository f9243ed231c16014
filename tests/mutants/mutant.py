"""A mutant, and the list of those that may survive: ``survivors.toml``, where each has its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

LIST = Path(__file__).parent / "survivors.toml"


class Mutant(NamedTuple):
    """A changed line of a function, or of none. Lines are without the space around them."""

    file: str
    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        was, becomes = (text.replace("\n", "\n      ") for text in (self.was, self.becomes))
        return f"{self.file} {self.function}\n    - {was}\n    + {becomes}"


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """Mutants that may survive: those of a line, or of a whole ``function``; of a ``file``, or of all that a pattern names.

    ``kind`` same: nobody could tell the difference. untried: one could, and no fast test does, for a good reason.
    """

    kind: Literal["same", "untried"]
    file: str
    why: str
    function: str | None = None
    was: str | None = None
    becomes: tuple[str, ...] = ()

    def covers(self, mutant: Mutant) -> bool:
        if not fnmatch(mutant.file, self.file):
            return False
        if self.function is not None and self.function != mutant.function:
            return False
        return self.was is None or (self.was == mutant.was and mutant.becomes in self.becomes)


def listed() -> list[Entry]:
    return msgspec.convert(tomllib.loads(LIST.read_text())["mutants"], list[Entry])


def out_of_date(entries: Iterable[Entry], survivors: Iterable[Mutant]) -> list[str]:
    """What is listed though it does not survive, or is no mutant any more."""
    alive = list(survivors)
    found = []
    for entry in entries:
        mine = [mutant for mutant in alive if entry.covers(mutant)]
        if not mine:
            found.append(f"{entry.file} {entry.function or entry.was}")
        found += [f"{entry.file} {becomes}" for becomes in entry.becomes if all(one.becomes != becomes for one in mine)]
    return found
