"""Named parameters of SQL turned into PostgreSQL's numbered ones, for connections that do not use psycopg's cursors."""

from __future__ import annotations

import re
from functools import lru_cache

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)[sbt]|%)")


@lru_cache(maxsize=2000)
def numbered(text: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with its parameters as numbers, and their names in that order; ``%%`` is a percent sign."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${names.setdefault(match[1], len(names) + 1)}" if match[1] else "%"

    return _PLACEHOLDER.sub(number, text).encode(), tuple(names)
