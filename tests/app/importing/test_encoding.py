"""The encoding of a file is told by its bytes, all of them; what does not fit it is told by its line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import pytest

from app.importing.encoding import decoded, detect, require_known
from app.importing.faults import Unreadable

TEXT = "name,city\r\nBräuer & Söhne,Köln\r\nCafé Lumière,Orléans\r\nÑandú Textil,A Coruña\r\n" * 4


def chunks(data: bytes, size: int = 7) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_text_is_read_as_it_was_written(encoding: str) -> None:
    data = TEXT.encode(encoding)
    found = detect(chunks(data, 4096))
    assert "".join(decoded(chunks(data), found)).removeprefix("\ufeff") == TEXT


def test_a_mark_is_believed() -> None:
    assert detect([codecs.BOM_UTF16_BE + "a;b".encode("utf-16-be")]) == "utf-16"
    assert detect([codecs.BOM_UTF8 + b"a;b"]) == "utf-8-sig"


def test_a_letter_in_the_last_line_counts() -> None:
    assert detect([b"a,b\n" * 100_000, "Müller,1\n".encode("cp1252")]) == "cp1252"
    assert detect([b"a,b\n" * 100_000, "Müller,1\n".encode()]) == "utf-8"


def test_bytes_that_do_not_fit_are_told_by_line() -> None:
    with pytest.raises(Unreadable, match="FC") as raised:
        list(decoded(chunks(b"a,b\nc,d\nM\xfcller,1\n"), "utf-8"))
    assert raised.value.fault.line == 3


@pytest.mark.parametrize("name", ["klingon", "hex", ""])
def test_an_encoding_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Unreadable):
        require_known(name)
