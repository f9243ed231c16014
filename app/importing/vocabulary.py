"""What texts of a file can mean in an org: its stages, its users and its custom fields. A guess is shown before it is acted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
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
        return next(stage.key for stage in self.stages if stage.type == type_)

    def by_key(self) -> dict[str, Stage]:
        return {stage.key: stage for stage in self.stages}

    def stage(self, text: str) -> str | None:
        """The stage with this key or label, ignoring case and diacritics."""
        wanted = folded(text)
        return next((one.key for one in self.stages if wanted in (folded(one.key), folded(one.label))), None)

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
        by_key = [one.id for one in self.people if wanted in (folded(one.email), str(one.id))]
        by_name = [one.id for one in self.people if wanted == folded(one.name)]
        local = ".".join(wanted.split())
        by_address = [one.id for one in self.people if local and folded(one.email).partition("@")[0] == local]
        return next((found[0] for found in (by_key, by_name, by_address) if len(found) == 1), None)


def outcome_of(text: str) -> str | None:
    """Whether a text says open, won or lost."""
    wanted = folded(text)
    words = {"open": OPEN_WORDS, "won": WON_WORDS, "lost": LOST_WORDS}
    return next((outcome for outcome, known in words.items() if wanted in known), None)


def _likeness(one: str, other: str) -> float:
    """1.0 for a beginning of some letters in common, else how many letters agree."""
    if one[:MIN_PREFIX] == other[:MIN_PREFIX] and min(len(one), len(other)) >= MIN_PREFIX and abs(len(one) - len(other)) <= 8:
        return 1.0
    return SequenceMatcher(None, one, other).ratio()
