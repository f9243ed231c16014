"""NDJSON: an object a line. What it nests is a cell of its own, named by its path, such as ``account.name``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from app.importing.faults import MAX_CELL, MAX_COLUMNS, Unreadable

MAX_DEPTH = 4
PERSON = {"first_name", "last_name"}
"""The members of a person in a list, as in our own exports, who becomes their names."""
_decode = msgspec.json.Decoder().decode


def records(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object, flat, with its line. Raises ``Unreadable`` at what is none."""
    for number, line in enumerate(lines, 1):
        text = line.strip("\ufeff \t\r\n")
        if not text:
            continue
        try:
            found = _decode(text)
        except msgspec.DecodeError as error:
            raise Unreadable(f"This line is no JSON: {error}.", number) from None
        except RecursionError:
            raise Unreadable("This line is nested too deep.", number) from None
        if not isinstance(found, dict):
            raise Unreadable('Each line must be an object, as {"name": "Acme"} is.', number)
        cells: dict[str, Any] = {}
        _flatten(found, "", cells, 1)
        _check(cells, number)
        yield number, cells


def _flatten(found: dict[str, Any], path: str, cells: dict[str, Any], depth: int) -> None:
    for key, value in found.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and depth < MAX_DEPTH:
            _flatten(value, f"{name}.", cells, depth + 1)
        elif isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
            cells[name] = ";".join(str(one) for one in value)
        elif isinstance(value, list) and value and all(isinstance(one, dict) and one.keys() >= PERSON for one in value):
            cells[name] = ";".join(f"{one['first_name']} {one['last_name']}" for one in value)
        elif isinstance(value, dict | list):
            cells[name] = msgspec.json.encode(value).decode()
        else:
            cells[name] = value


def _check(cells: dict[str, Any], line: int) -> None:
    if len(cells) > MAX_COLUMNS:
        raise Unreadable(f"This object has {len(cells)} values; one has at most {MAX_COLUMNS}: leave some out.", line)
    for name, cell in cells.items():
        if isinstance(cell, str):
            if len(cell) > MAX_CELL:
                raise Unreadable(f"This value has {len(cell)} characters; one has at most {MAX_CELL}: shorten it.", line, name)
            if "\0" in cell:
                raise Unreadable("This value contains the NUL character, as no text has: remove it.", line, name)
