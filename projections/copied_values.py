"""The values of a struct in the form in which psycopg writes them into a COPY, fast."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from projections.versioned_rows import encode


@cache
def columns(cls: Hashable) -> tuple[tuple[str, ...], Callable[[Any], Sequence[Any]]]:
    """The names of a struct's columns, and a function that gives their values as psycopg writes them."""
    names: tuple[str, ...] = cls.__struct_fields__  # type: ignore[attr-defined]
    get = attrgetter(*names)
    hints = get_type_hints(cls)
    places = [place for place, name in enumerate(names) if not _is_plain(hints[name])]

    def values(row: Any) -> list[Any]:
        found = list(get(row))
        for place in places:
            if convert := _CONVERTED.get(type(found[place])):
                found[place] = convert(found[place])
        return found

    return names, values


def _is_plain(hint: Any) -> bool:
    """Whether psycopg writes all values of a type as they are, and fast."""
    return not {get_origin(one) or one for one in (hint, *get_args(hint))} & _CONVERTED.keys()


def _array(values: Sequence[Any]) -> str | list[Any]:
    """Of texts psycopg makes the array, because they need quotes; it takes longer than this for ids and numbers."""
    if values and isinstance(values[0], str):
        return list(values)
    return f"{{{','.join(map(str, values))}}}"


_CONVERTED: dict[type, Callable[[Any], Any]] = {
    tuple: _array,
    list: _array,
    dict: lambda value: encode(value).decode(),
    datetime: lru_cache(maxsize=1_000)(str),  # the same instant is in several columns, and in several rows
}
