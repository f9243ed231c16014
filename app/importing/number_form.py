"""Numbers as people write them.

``1.234,56``, ``1'234.50``, ``(1,200)``, ``$1,200.00``, ``1 200 €``, ``12 %``, ``1200-``.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Literal

from babel import Locale, UnknownLocaleError
from babel.numbers import get_decimal_symbol

Mark = Literal[".", ","]
_SPACES = dict.fromkeys(map(ord, " \t\u00a0\u2007\u2009\u202f'’"))
_AROUND = re.compile(r"^(?:[A-Z]{1,3}(?=[\s$\d(+-])|[A-Z]{0,2}\$|[\u20a0-\u20cf£¥¢]|kr\.?|zł|Kč|Ft|lei|лв\.?|R\$)+|"
                     r"(?:[A-Z]{3}|[\u20a0-\u20cf$£¥¢%‰]|kr\.?|zł|Kč|Ft|lei|лв\.?)+$", re.IGNORECASE)  # fmt: skip
_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_BROKEN = re.compile(r"[\s'’](?!\d{3}(\D|$))")
"""Space that does not group by three."""
MAX_LENGTH = 60


def mark_of(locale: str) -> Mark:
    """The decimal mark of a locale such as ``de`` or ``pt-BR``. Raises ``ValueError`` for one that is not known."""
    try:
        found = get_decimal_symbol(Locale.parse(locale.replace("-", "_")))
    except (UnknownLocaleError, ValueError, TypeError):
        raise ValueError(f"There is no locale {locale[:20]!r}, such as en-US or de.") from None
    return "," if found in (",", "٫") else "."


@lru_cache(maxsize=10_000)
def parsed(text: str, mark: Mark) -> Decimal | None:
    """The number, or None if it is none with this decimal mark. Groups must be of three."""
    digits = bare(text)
    if digits is None:
        return None
    negative = digits.startswith("(") and digits.endswith(")")
    digits = digits.strip("()") if negative else digits
    if digits.endswith("-"):
        digits = "-" + digits[:-1]
    other = "." if mark == "," else ","
    whole, found, fraction = digits.partition(mark)
    if other in fraction or (other in whole and not _grouped(whole.lstrip("+-"), other)):
        return None
    plain = whole.replace(other, "") + ("." + fraction if found else "")
    if not _PLAIN.fullmatch(plain):
        return None
    try:
        number = Decimal(plain)
    except InvalidOperation:
        return None
    return -number if negative else number


def _grouped(whole: str, separator: str) -> bool:
    first, *others = whole.split(separator)
    return 1 <= len(first) <= 3 and all(len(group) == 3 for group in others)


def bare(text: str) -> str | None:
    """Without spaces, currencies and percent signs."""
    if len(text) > MAX_LENGTH:
        return None
    text = text.strip().translate({0x2212: "-"})
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    sign, inner = (inner[0], inner[1:].strip()) if inner[:1] in ("-", "+") else ("", inner)
    inner = _AROUND.sub("", _AROUND.sub("", inner.strip()).strip())
    if _BROKEN.search(inner):
        return None
    digits = sign + inner.translate(_SPACES)
    return f"({digits})" if text.startswith("(") and text.endswith(")") else digits


def number(cell: Any, mark: Mark) -> Decimal | None:
    """The number in a cell of any kind; None if there is none in it."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, int | float):
        return Decimal(f"{cell:.15g}") if abs(cell) < 1e18 else None  # a spreadsheet's numbers have 15 digits
    return parsed(cell, mark) if isinstance(cell, str) and len(cell) <= MAX_LENGTH else None
