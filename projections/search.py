"""How texts are found whatever their case and marks: the form they are stored in, and the LIKE patterns that look into it.

In a stored text a space stands before every word, so LIKE finds beginnings of words as it finds any other part, and one
trigram index could serve both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unicodedata import east_asian_width

from domain.text import folded

SHORT = 2
"""Words of at most so many characters are found at the beginning of words alone."""

_inner = re.compile(r"(?<=[^\w\s])\w+")


def searchable(name: str, more: str = "") -> str:
    """A name as it is stored for searches: folded, in a second line the words that begin inside others and further text."""
    first, second = _folded(name), _folded(more)
    inner = _inner.findall(first) + _inner.findall(second)
    rest = " ".join([second, *inner] if second else inner)
    return f" {first}\n {rest}" if rest else f" {first}"


def words(phrase: str, name: str, params: dict[str, Any], holds: Callable[[str], str]) -> str:
    """SQL that holds where every word of a phrase is found; ``holds`` gives it for the parameter of a word's pattern."""
    terms = []
    for n, word in enumerate(dict.fromkeys(folded(phrase).split())):
        params[f"{name}w{n}"] = f"% {like(word)}%" if _begins(word) else f"%{like(word)}%"
        terms.append(holds(f"%({name}w{n})s"))
    return " AND ".join(terms) or "true"


def containing(phrase: str) -> str:
    """The pattern of a phrase in a folded text."""
    return f"%{like(folded(phrase))}%"


def containing_name(phrase: str) -> str:
    """The pattern of a phrase in the first line of a searchable text."""
    return f"%{like(_folded(phrase))}%"


def _folded(text: str) -> str:
    return " ".join(folded(text).split())


def _begins(word: str) -> bool:
    """Whether a word is looked for at beginnings only: a short one, unless it is a sign or of a script that sets no spaces."""
    return len(word) <= SHORT and word[0].isalnum() and east_asian_width(word[0]) != "W"


def like(text: str) -> str:
    """A text to be found as it is by LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
