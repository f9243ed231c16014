"""The users of another org, whom its events name, as users of this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from psycopg import Cursor

from app.exporting.event_lines import Person
from app.importing.options import Options
from domain.text import caseless, normal
from projections.imports import lookups

PART = 1_000


class People:
    """By email, also if they are not active any more: they had the deals then. ``values.owner`` says who else is meant by an email
    or an id, ``defaults.owner`` who it is where there is nobody."""

    def __init__(self, cursor: Cursor[Any], org_id: UUID, people: Mapping[UUID, Person], options: Options) -> None:
        said = options.values.get("owner", {})
        meant = {id_: said.get(one.email, said.get(str(id_), one.email)) for id_, one in people.items()}
        default = options.defaults.get("owner")
        found = _found(cursor, org_id, {*meant.values(), *([default] if default else [])})
        stand_in = found.get(default) if default else None
        self._people = people
        self._known = {id_: found.get(text, stand_in) for id_, text in meant.items()}

    def user(self, old: UUID) -> UUID | None:
        return self._known.get(old)

    def email(self, old: UUID | None) -> str | None:
        one = self._people.get(old) if old is not None else None
        return one.email if one is not None else None

    def meanings(self, most: int) -> dict[str, str | None]:
        """By email who it is here, None for nobody, who come first; so many at most."""
        found = [(one.email, self._known[id_]) for id_, one in self._people.items()]
        shown = sorted(found, key=lambda one: one[1] is not None)[:most]
        return {email: str(id_) if id_ is not None else None for email, id_ in shown}


def _found(cursor: Cursor[Any], org_id: UUID, texts: Iterable[str]) -> dict[str, UUID]:
    """Users by email or id."""
    wanted = {text: caseless(normal(text)) for text in texts if text}
    ids = {str(id_): id_ for id_, *_ in lookups.people(cursor, org_id)}
    found = {text: ids[folded] for text, folded in wanted.items() if folded in ids}
    addresses = [folded for folded in wanted.values() if folded not in ids]
    by_email: dict[str, UUID] = {}
    for start in range(0, len(addresses), PART):
        for address, users in lookups.by_email(cursor, org_id, "user", addresses[start : start + PART]).items():
            by_email[address] = users[0]
    return found | {text: by_email[folded] for text, folded in wanted.items() if folded in by_email}
