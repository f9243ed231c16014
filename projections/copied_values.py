"""The values of a struct in the form in which psycopg writes them into a COPY fast: as texts, numbers and truth values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import to_builtins

from projections.versioned_rows import encode


@cache
def columns(cls: Hashable) -> tuple[tuple[str, ...], Callable[[Any], Sequence[Any]]]:
    """The names of a struct's columns, and a function that gives their values as psycopg writes them."""
    names: tuple[str, ...] = cls.__struct_fields__  # type: ignore[attr-defined]
    hints = get_type_hints(cls)
    arrays, objects = ([n for n, name in enumerate(names) if _is(hints[name], *types)] for types in ((tuple, list), (dict,)))

    def values(row: Any) -> list[Any]:
        found = list(to_builtins(row).values())
        for n in arrays:
            if (items := found[n]) is not None:
                found[n] = _array(items)
        for n in objects:
            if (value := getattr(row, names[n])) is not None:
                found[n] = encode(value).decode()
        return found

    return names, values


def _is(hint: Any, *types: type) -> bool:
    return not {get_origin(one) or one for one in (hint, *get_args(hint))}.isdisjoint(types)


def _array(items: Sequence[Any]) -> str:
    """The text of an array. psycopg would ask for the type of every item."""
    return f"{{{','.join([_quoted(item) if isinstance(item, str) else str(item) for item in items])}}}" if items else "{}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
