"""How the bytes of a text file are to be read: a mark at its beginning, UTF-16 without one, UTF-8, or an older encoding."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from charset_normalizer import from_bytes

from app.importing.faults import Unreadable

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OLDER = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp437", "cp850", "mac_roman",
    "shift_jis", "cp932", "euc_jp", "gb18030", "big5", "cp949", "koi8_r", "iso8859_2",
]  # fmt: skip
"""Encodings that are guessed where a file is not Unicode; any other that Python knows can be named."""
SAMPLE = 64 * 1024
"""Bytes of the lines that are not ASCII from which an older encoding is guessed."""


def detect(chunks: Iterable[bytes]) -> str:
    """The encoding of a file, all of which is read: a letter that is not ASCII may be in its last line."""
    utf8 = codecs.getincrementaldecoder("utf-8")()
    found: str | None = None
    sample = bytearray()
    first = True
    for chunk in chunks:
        if first and chunk and (found := _marked(chunk)):
            return found
        first = first and not chunk
        if not sample:
            try:
                utf8.decode(chunk)
            except UnicodeDecodeError:
                pass
            else:
                continue
        sample += b"\n".join(line for line in chunk.split(b"\n") if not line.isascii())
        if len(sample) >= SAMPLE:
            break
    if not sample:
        try:
            utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"  # the last letter is cut off, or is of an older encoding
        return "utf-8"
    return _older(bytes(sample[:SAMPLE]))


def _marked(head: bytes) -> str | None:
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    start = head[:4096]
    zeros = start[0::2].count(0), start[1::2].count(0)
    half = len(start) // 2
    if half >= 2 and max(zeros) > half * 0.4 and min(zeros) < half * 0.1:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return None


def _older(sample: bytes) -> str:
    """Of several that fit equally, the one that most files are in."""
    matches = from_bytes(sample, cp_isolation=OLDER, threshold=0.4)
    best = matches.best()
    if best is None:
        return "cp1252"
    names = {match.encoding for match in matches if (match.chaos, -match.coherence) <= (best.chaos, -best.coherence)}
    alike = {*names, *best.could_be_from_charset}
    return next((name for name in OLDER if name in alike), best.encoding)


def require_known(name: str) -> str:
    """The encoding of this name. Raises ``Unreadable`` if there is none."""
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        raise Unreadable(
            f"There is no encoding {name[:40]!r}; known are utf-8, utf-16, cp1252, cp1250, mac_roman and others."
        ) from None
    if not info._is_text_encoding:
        raise Unreadable(f"{name[:40]!r} is not an encoding of text.")
    return info.name


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """The text in pieces. Raises ``Unreadable`` with the line of the first byte that does not fit."""
    # The decoder of utf-8-sig counts bytes from after the mark in its first piece.
    decoder = codecs.getincrementaldecoder("utf-8" if encoding == "utf-8-sig" else encoding)()
    line, first = 1, encoding == "utf-8-sig"
    for chunk, last in _with_last(chunks):
        before = decoder.getstate()
        try:
            text = decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            decoder.setstate(before)
            line += decoder.decode(chunk[: max(0, error.start - len(before[0]))]).count("\n")
            what = " ".join(f"{byte:02X}" for byte in error.object[error.start : error.end][:4])
            raise Unreadable(f"The bytes {what} are not {encoding}: say which encoding the file has.", line) from None
        line += text.count("\n")
        yield text.removeprefix("\ufeff") if first else text
        first = first and not text


def _with_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True
