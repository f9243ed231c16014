"""Columns that become custom fields: which they are, and the definitions that deals need for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import Cursor

from app.importing.options import CUSTOM, Source
from app.importing.plan import Sender
from app.importing.profile import Column, Holds
from app.writing.committer import Committer
from domain import custom_field
from domain.custom_field import Type
from domain.fields import MAX_NAME
from domain.text import folded
from projections.imports import jobs, lookups
from projections.imports.jobs import Job

MAX_KEY = 50
_TYPES: Mapping[Holds, Type] = {"number": "number", "date": "date", "truth": "checkbox"}


def mapped(mapping: Mapping[str, Source], columns: Sequence[Column]) -> dict[str, Source]:
    """Fields for the columns with values that give none yet, with keys made of their names."""
    taken = {source for source in mapping.values() if isinstance(source, str)}
    found: dict[str, Source] = {}
    for column in columns:
        if column.name not in taken and column.filled:
            found[f"cf_{_key(column.name, {*mapping, *found})}"] = column.name
    return found


def _key(name: str, taken: Collection[str]) -> str:
    key = re.sub(r"[^a-z0-9]+", "_", folded(name)).strip("_")[:MAX_KEY].strip("_")
    if not key or not key[0].isalpha():
        key = f"field_{key}".strip("_")
    number = 1
    while f"cf_{key if number == 1 else f'{key}_{number}'}" in taken:
        number += 1
    return key if number == 1 else f"{key}_{number}"


def missing(mapping: Mapping[str, Source], columns: Sequence[Column], known: Collection[str]) -> Iterator[custom_field.Create]:
    """The commands that define the fields of a mapping that are not ``known``."""
    by_name = {column.name: column for column in columns}
    for name, source in mapping.items():
        found = CUSTOM.fullmatch(name)
        if found and found[1] not in known and isinstance(source, str) and (column := by_name.get(source)) is not None:
            label = " ".join(source.split())[:MAX_NAME] or found[1]
            yield custom_field.Create(key=found[1], label=label, type=_TYPES.get(column.holds, "textarea"))


class _Seen(Struct):
    columns: list[Column]


def create(cursor: Cursor[Any], committer: Committer, job: Job, sender: Sender, mapping: Mapping[str, Source]) -> None:
    """Define the fields of deals that a mapping needs and the org does not have, all of them or none.

    Raises the refusal of one, as for whoever may not define fields, and ``Unavailable``.
    """
    id_ = custom_field.stream_id(job.org_id)
    state = lookups.states(cursor, [id_]).get(id_)
    known = state.by_key if isinstance(state, custom_field.State) else {}
    seen = jobs.inspection(cursor, job.id)
    commands = list(missing(mapping, msgspec.json.decode(seen, type=_Seen).columns, known)) if seen else []
    if commands:
        committer.run_as_one([sender.envelope("custom_field", id_, command) for command in commands])
