"""Guesses what somebody meant by an unknown name, in words. Nothing acts on a guess."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest

from domain.text import folded

LONGEST = 64
"""Characters of a name that are compared: the length of the longest key."""
MAX_NAMED = 50
MAX_HINTS = 10


class Hints:
    """The guesses for one request; few, because each takes a while."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._left = MAX_HINTS

    def meant(self, name: str) -> str:
        """ " Did you mean x?" for the nearest known name, or "" if none is near."""
        self._left -= 1
        return suggestion(name, self._known) if self._left >= 0 else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """As ``Hints.meant``, for a single name."""
    names, cutoff = list(known), 0.55
    stem = name.rpartition("__")[0]
    if stem in names:  # an operator that this filter lacks: suggest one that it has
        names, cutoff = [one for one in names if one == stem or one.startswith(f"{stem}__")], 0.0
    near = closest(name, names, cutoff)
    return f" Did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was meant, if one is near, and a list of the known names."""
    names = list(known)
    close = closest(name, names)
    listed = ", ".join(names[:MAX_NAMED]) or "none"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (f"Did you mean {close!r}? " if close else "") + f"Known: {listed}{more}."


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like another one, ignoring case and diacritics."""
    form, by_form = folded(name[:LONGEST]), {folded(one[:LONGEST]): one for one in known}
    characters = frozenset(form)
    # difflib is slow, so compare only the names that share the most characters.
    likely = nlargest(10, by_form, key=lambda one: len(characters & set(one)) / len(characters | set(one) | {""}))
    found = get_close_matches(form, likely, n=1, cutoff=cutoff)
    return by_form[found[0]] if found else None
