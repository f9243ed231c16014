"""What one thread writes and an event loop reads, however slow it is."""

from __future__ import annotations

import asyncio
from random import Random
from threading import Thread

import pytest

from app.exporting import spool
from app.exporting.spool import Spool


async def read_all(one: Spool) -> bytes:
    found = b""
    while data := await one.read():
        found += data
    return found


@pytest.mark.parametrize("late", [True, False])
def test_every_byte_arrives_in_order_whether_it_waits_in_memory_or_on_disk(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    monkeypatch.setattr(spool, "MEMORY", 1_000)
    monkeypatch.setattr(spool, "SEGMENT", 5_000)
    random = Random(1)
    pieces = [random.randbytes(random.randrange(0, 2_000)) for _ in range(60)]

    async def run() -> bytes:
        one = Spool()

        def write() -> None:
            for piece in pieces:
                assert one.write(piece, 10)
            one.end()

        thread = Thread(target=write)
        thread.start()
        if late:
            thread.join()
        found = await read_all(one)
        thread.join()
        one.close()
        return found

    assert asyncio.run(run()) == b"".join(pieces)


def test_a_writer_waits_where_too_much_does_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_AHEAD", 10)

    async def run() -> None:
        one = Spool()
        assert one.write(b"more than ten bytes", 10)
        assert not one.write(b"and more", 0.01)
        assert await one.read() == b"more than ten bytes"
        assert one.write(b"and more", 10)
        one.close()
        assert not one.write(b"for nobody", 10)

    asyncio.run(run())


def test_a_reader_gets_the_error_that_a_file_ends_with() -> None:
    async def run() -> None:
        one = Spool()
        one.end(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await one.read()
        one.close()

    asyncio.run(run())
