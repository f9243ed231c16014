"""Search that ignores case and diacritics: the form in which texts are stored, and LIKE patterns for it.

In a stored text a space stands before every word, so that LIKE finds beginnings of words like any other part, and one trigram index
could serve both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unicodedata import east_asian_width

from domain.text import folded

SHORT = 2
"""Words of at most so many characters match only at the beginning of words."""

_run = re.compile(r"\w+")
_inner = re.compile(r"(?<=[^\w\s])\w+")


def searchable(name: str, more: str = "") -> str:
    """A name as stored for searching: folded, with a second line for the words that begin inside others and for further text."""
    first, second = _folded(name), _folded(more)
    if not second and first.replace(" ", "").isalnum():  # no word begins inside another; most names are so
        return f" {first}"
    inner = _inner.findall(first) + _inner.findall(second)
    rest = " ".join([second, *inner] if second else inner)
    return f" {first}\n {rest}" if rest else f" {first}"


def split(stored: str) -> list[str]:
    """The words of a name's searchable text, and of what is further in it."""
    return list(dict.fromkeys(stored.split()))


def words(phrase: str, name: str, params: dict[str, Any], holds: Callable[[str], str]) -> str:
    """SQL that holds if every word of a phrase is found; ``holds`` makes it for the parameter of a word's pattern."""
    terms = []
    for n, pattern in enumerate(patterns(phrase)):
        params[f"{name}w{n}"] = pattern
        terms.append(holds(f"%({name}w{n})s"))
    return " AND ".join(terms) or "true"


def patterns(phrase: str) -> list[str]:
    """For every word of a phrase the pattern that finds it in a searchable text, or in a searchable word of one."""
    return [pattern(word) for word in words_of(phrase)]


def words_of(phrase: str) -> list[str]:
    """The words of a phrase, each once."""
    return list(dict.fromkeys(folded(phrase).split()))


def pattern(word: str) -> str:
    """The pattern of one word, see ``patterns``."""
    return f"% {like(word)}%" if _begins(word) else f"%{like(word)}%"


def runs(word: str) -> list[str]:
    """The longest parts of a folded word that have no signs in them. A word without signs is found in a word with signs just if it
    is found in one of these."""
    return _run.findall(word)


def containing(phrase: str) -> str:
    """The pattern that finds a phrase in a folded text."""
    return f"%{like(folded(phrase))}%"


def containing_name(phrase: str) -> str:
    """The pattern that finds a phrase in the first line of a searchable text."""
    return f"%{like(_folded(phrase))}%"


def _folded(text: str) -> str:
    return " ".join(folded(text).split())


def _begins(word: str) -> bool:
    """Whether a word matches only at beginnings: a short one, unless it is a sign or of a script without spaces."""
    return len(word) <= SHORT and word[0].isalnum() and east_asian_width(word[0]) != "W"


def like(text: str) -> str:
    """A text escaped for LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
