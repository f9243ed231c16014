"""What somebody may have meant by a name that is not known. Refuses to act on a guess: it is only told."""

from __future__ import annotations

from collections.abc import Iterable

from domain.fields import closest


def meant(name: str, known: Iterable[str]) -> str:
    """ " Did you mean x?" for the nearest known name, or nothing where none is near."""
    names, cutoff = list(known), 0.55
    stem = name.rpartition("__")[0]
    if stem in names:  # an operator that this filter has not: one that it has
        names, cutoff = [one for one in names if one == stem or one.startswith(f"{stem}__")], 0.0
    near = closest(name[:100], names, cutoff)
    return f" Did you mean {near}?" if near else ""
