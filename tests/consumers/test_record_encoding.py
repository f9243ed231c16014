"""Records as the library reads them."""

from __future__ import annotations

import pytest
from kafka.record import util
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from consumers import record_encoding
from consumers.message import Headers

NOW = 1_790_000_000_000
HEADERS: Headers = [("content-type", b"application/json"), ("empty", b""), ("größe", "é".encode()), ("long", b"x" * 20_000)]


@pytest.mark.parametrize("number", [0, 1, 63, 64, 8_191, 8_192, 16_383, 16_384, 1_048_575, 1_048_576, 1 << 30])
def test_numbers_are_as_the_library_writes_them(number: int) -> None:
    written = bytearray()
    util.encode_varint(number, written.append)
    assert record_encoding.varint(number) == written


@pytest.mark.parametrize("headers", [[], HEADERS])
@pytest.mark.parametrize("value", [b"", b"{}", b"v" * 70_000])
def test_records_are_as_the_library_writes_them(value: bytes, headers: Headers) -> None:
    theirs = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 10_000_000)
    for offset in range(70):
        theirs.append(offset, NOW, b"key", value, headers)
    batch = theirs.build()
    ours = b"".join(record_encoding.record(offset, b"key", value, headers) for offset in range(70))
    assert bytes(batch[DefaultRecordBatchBuilder.header_size_in_bytes() :]) == ours
    assert [(one.offset, one.value, one.headers) for one in DefaultRecordBatch(batch)][69] == (69, value, headers)
