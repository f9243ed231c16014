"""What texts of a file can mean in an org: its stages, its users and its custom fields. A guess is shown before it is acted on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from domain.custom_field import Definition
from domain.pipeline import Stage
from domain.text import folded

MIN_PREFIX = 5
MIN_LIKENESS = 0.8
OPEN_WORDS = {"open", "offen", "ouvert", "abierto", "aberto", "in progress"}
WON_WORDS = {"won", "closed won", "closedwon", "gewonnen", "gagne", "ganado", "ganho"}
LOST_WORDS = {"lost", "closed lost", "closedlost", "verloren", "perdu", "perdido"}

_OUTCOMES = {word: outcome for outcome, words in (("lost", LOST_WORDS), ("won", WON_WORDS), ("open", OPEN_WORDS)) for word in words}


class Person(Struct, frozen=True):
    id: UUID
    email: str
    name: str


class Vocabulary(Struct, frozen=True, dict=True):
    """``people`` are those who may have deals."""

    currency: str
    stages: Sequence[Stage]
    people: Sequence[Person] = ()
    custom_fields: Mapping[str, Definition] = {}

    def first(self, type_: str) -> str:
        return self._first[type_]

    def by_key(self) -> Mapping[str, Stage]:
        return self._by_key

    def stage(self, text: str) -> str | None:
        """The stage with this key or label, ignoring case and diacritics."""
        return self._by_name.get(folded(text))

    def likely_stage(self, text: str) -> str | None:
        """The stage that is probably meant."""
        if (found := self.stage(text)) is not None:
            return found
        wanted = folded(text)
        if outcome := outcome_of(text):
            return self.first(outcome) if outcome != "open" else None
        if not wanted:
            return None
        likeness = {one.key: max(_likeness(wanted, folded(one.label)), _likeness(wanted, folded(one.key))) for one in self.stages}
        best = max(likeness, key=lambda key: likeness[key])
        return best if likeness[best] >= MIN_LIKENESS else None

    def person(self, text: str) -> UUID | None:
        """The user with this email, id or name; None if there is none, or if several have the name."""
        wanted = folded(text)
        found = (self._by_address.get(wanted), self._by_full_name.get(wanted), self._by_local_part.get(".".join(wanted.split())))
        return next((ids[0] for ids in found if ids is not None and len(ids) == 1), None)

    @cached_property
    def _by_key(self) -> dict[str, Stage]:
        return {stage.key: stage for stage in self.stages}

    @cached_property
    def _first(self) -> dict[str, str]:
        return {stage.type: stage.key for stage in reversed(self.stages)}

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {folded(name): stage.key for stage in reversed(self.stages) for name in (stage.label, stage.key)}

    @cached_property
    def _by_address(self) -> dict[str, list[UUID]]:
        return _gathered((name, one.id) for one in self.people for name in {folded(one.email), str(one.id)})

    @cached_property
    def _by_full_name(self) -> dict[str, list[UUID]]:
        return _gathered((folded(one.name), one.id) for one in self.people)

    @cached_property
    def _by_local_part(self) -> dict[str, list[UUID]]:
        return _gathered((local, one.id) for one in self.people if (local := folded(one.email).partition("@")[0]))


def _gathered(pairs: Iterable[tuple[str, UUID]]) -> dict[str, list[UUID]]:
    found: dict[str, list[UUID]] = {}
    for text, id_ in pairs:
        found.setdefault(text, []).append(id_)
    return found


def outcome_of(text: str) -> str | None:
    """Whether a text says open, won or lost."""
    return _OUTCOMES.get(folded(text))


def _likeness(one: str, other: str) -> float:
    """1.0 for a beginning of some letters in common, else how many letters agree."""
    if one[:MIN_PREFIX] == other[:MIN_PREFIX] and min(len(one), len(other)) >= MIN_PREFIX and abs(len(one) - len(other)) <= 8:
        return 1.0
    return SequenceMatcher(None, one, other).ratio()
