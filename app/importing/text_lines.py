"""The lines of a text that comes in pieces, with ends of any kind, also mixed, and of bounded length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.importing.faults import MAX_ROW, Unreadable


def lines(pieces: Iterable[str]) -> Iterator[str]:
    """Each line with its end: ``\\n``, ``\\r\\n`` or ``\\r``. Raises ``Unreadable`` for one that is too long."""
    rest = ""
    count = 0
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            for part in _at_returns(line + "\n"):
                count += 1
                yield part
        *parts, rest = _at_returns(rest)
        for part in parts:
            count += 1
            yield part
        if len(rest) > MAX_ROW:
            raise Unreadable(f"This line has more than {MAX_ROW} characters: shorten it, or close its quotes.", count + 1)
    if rest:
        yield rest


def _at_returns(text: str) -> list[str]:
    """Split after each return that ends a line by itself; one at the very end may be the first half of an end."""
    if "\r" not in text[:-2] and (text.endswith("\n") or "\r" not in text[:-1]):
        return [text]
    parts = text.split("\r")
    kept = [part + "\r" for part in parts[:-1]]
    if parts[-1] in ("", "\n"):
        kept[-1] += parts[-1]
    else:
        kept.append(parts[-1])
    return kept
