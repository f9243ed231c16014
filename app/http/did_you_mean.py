"""What somebody may have meant by a name that is not known. Refuses to act on a guess: it is only told."""

from __future__ import annotations

from collections.abc import Iterable

from domain.fields import closest

MAX_HINTS = 10


class Hints:
    """The guesses for one request, of which there are few: each takes a while."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = list(known)
        self._left = MAX_HINTS

    def meant(self, name: str) -> str:
        """ " Did you mean x?" for the nearest known name, or nothing where none is near."""
        self._left -= 1
        return suggestion(name, self._known) if self._left >= 0 else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The same for a name that is the only one."""
    names, cutoff = list(known), 0.55
    stem = name.rpartition("__")[0]
    if stem in names:  # an operator that this filter has not: one that it has
        names, cutoff = [one for one in names if one == stem or one.startswith(f"{stem}__")], 0.0
    near = closest(name, names, cutoff)
    return f" Did you mean {near}?" if near else ""
