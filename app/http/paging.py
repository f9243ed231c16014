"""Which page of a list a request asks for: by number, by offset or by cursor. Refuses mixtures of the three ways."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.http.filters import Pairs
from domain.errors import Errors

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_OFFSET = 10**12

_DIGITS = re.compile(r"\d{1,19}", re.ASCII)

PAGING = ("page", "page_size", "limit", "offset", "cursor")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list. ``number`` is set when paging by number, ``cursor`` ("" for the first page) when paging by cursor."""

    limit: int = PAGE_SIZE
    offset: int = 0
    number: int | None = 1
    cursor: str | None = None


def parse_page(given: Mapping[str, str], errors: Errors) -> Page:
    """The page that the parameters ask for; errors are added to ``errors``."""
    if given.keys().isdisjoint(PAGING):
        return Page()
    modes = {"page", "page_size"} & given.keys(), {"limit", "offset"} & given.keys(), {"cursor"} & given.keys()
    if (modes[1] and (modes[0] or modes[2])) or ("cursor" in given and "page" in given):
        for name in sorted(set().union(*modes)):
            errors[name] = ["Use page and page_size, or limit and offset, or cursor and page_size."]
        return Page()
    if modes[1]:
        limit = parse_number(given, "limit", PAGE_SIZE, 1, MAX_PAGE_SIZE, errors)
        return Page(limit, parse_number(given, "offset", 0, 0, MAX_OFFSET, errors), None)
    size = parse_number(given, "page_size", PAGE_SIZE, 1, MAX_PAGE_SIZE, errors)
    if "cursor" in given:
        return Page(size, 0, None, given["cursor"])
    asked = parse_number(given, "page", 1, 1, MAX_OFFSET, errors)
    return Page(size, (asked - 1) * size, asked)


def parse_number(given: Mapping[str, str], name: str, default: int, least: int, most: int, errors: Errors) -> int:
    text = given.get(name)
    if text is None:
        return default
    value = int(text) if _DIGITS.fullmatch(text) else -1
    if value < least or value > most:
        errors[name] = [f"Must be a whole number from {least} to {most}."]
        return default
    return value


def take_single(given: Pairs, names: Sequence[str], errors: Errors) -> tuple[dict[str, str], Pairs]:
    """Split off the named parameters, each of which may be given once. Returns them and the rest."""
    taken: dict[str, str] = {}
    rest: Pairs = []
    for name, text in given:
        if name not in names:
            rest.append((name, text))
        elif name in taken:
            errors[name] = ["Must be given once."]
        else:
            taken[name] = text
    return taken, rest
