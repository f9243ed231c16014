"""Text as it is kept and compared: normal form, case folding without diacritics, and what one line may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from unicodedata import combining, normalize

_BREAKING = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Control characters, line breaks, and characters that change the direction of text."""
LINE_PATTERN = rf"^\s*[^\s{_BREAKING}][^{_BREAKING}]*\s*$"
"""What a one-line field accepts, as far as a schema can say it; surrounding space is dropped."""
# Default_Ignorable_Code_Point of Unicode's first plane, and the blank of Braille.
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_breaking = re.compile(f"[{_BREAKING}]")
_visible = re.compile(rf"[^\s\u0000-\u001f\u007f-\u009f{_INVISIBLE}]")
_ignored = re.compile(f"[{_INVISIBLE}]+")


def nfc(text: str) -> str:
    return text if text.isascii() else normalize("NFC", text)


def normal(text: str) -> str:
    """The form in which text is kept: NFC, without surrounding space."""
    return nfc(text).strip()


def normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with their texts in normal form."""
    return {name: normal(value) if isinstance(value, str) else value for name, value in values.items()}


def json_nfc(value: Any) -> Any:
    """A JSON value with all its texts in NFC, keys too."""
    if isinstance(value, str):
        return nfc(value)
    if isinstance(value, list):
        return [json_nfc(item) for item in value]
    if isinstance(value, dict):
        return {nfc(key): json_nfc(item) for key, item in value.items()}
    return value


def caseless(text: str) -> str:
    """Equal for texts that differ only in case: for looking up email addresses."""
    return text.lower() if text.isascii() else normalize("NFC", normalize("NFD", text).casefold())


def folded(text: str) -> str:
    """Equal for texts that people take for the same: NFKD without marks and invisible characters, casefolded."""
    if text.isascii():
        return text.lower()
    plain = "".join([character for character in normalize("NFKD", text) if not combining(character)])
    return _ignored.sub("", plain).casefold()


def is_blank(text: str) -> bool:
    """Whether nothing in it is visible."""
    return _visible.search(text) is None


def breaking(text: str) -> str | None:
    """The first character that a one-line field does not accept."""
    if text.isascii() and text.isprintable():
        return None
    found = _breaking.search(text)
    return found[0] if found else None
