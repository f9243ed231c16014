"""What somebody may have meant by a name that is not known. Refuses to act on a guess: it is only told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str:
    """ " Did you mean x?" for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.55)
    return f" Did you mean {near[0]}?" if near else ""
