"""Files with history, read stream by stream: what is one, and what is wrong with it by line."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID

import pytest

from app.importing import event_file, event_head
from app.importing.event_file import streams
from app.importing.event_head import head, is_one
from app.importing.faults import Unreadable

HEADER = {
    "line": "header", "format": "opportunities.history", "version": 1, "kind": "accounts", "org_id": str(UUID(int=1)),
    "org": "Yours", "currency": "USD", "exported_at": "2026-03-01T10:00:00Z",
}  # fmt: skip
USER = {"line": "user", "id": str(UUID(int=2)), "email": "rita@yours.example", "name": "Rita", "role": "rep", "active": True}


def event(number: int, version: int = 1, type_: str = "account.updated.v1", **more: Any) -> dict[str, Any]:
    at = "2026-03-01T10:00:00Z"
    line = {"line": "event", "type": type_, "id": str(UUID(int=number)), "version": version, "occurred_at": at, "recorded_at": at}
    return {**line, "data": {"name": "A"}, **more}


def end(records: int, events: int) -> dict[str, Any]:
    return {"line": "end", "records": records, "events": events}


def file(*lines: Any, mark: bytes = b"") -> io.BufferedReader:
    texts = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return io.BufferedReader(io.BytesIO(mark + b"\n".join(texts) + b"\n"))


def whole(found: io.BufferedReader) -> None:
    head(found)
    list(streams(found))


def problem(*lines: Any) -> tuple[int, str]:
    with pytest.raises(Unreadable) as error:
        whole(file(*lines))
    return error.value.fault.line, str(error.value)


def test_a_file_is_known_by_its_first_line_alone() -> None:
    assert is_one(file(HEADER, b"nonsense"))
    assert is_one(file(HEADER, mark=b"\xef\xbb\xbf"))
    assert is_one(file({**HEADER, "version": 7}))
    for line in (b"", b"name,amount", {"name": "opportunities.history"}, b"\xff\xfe", b"[" * 100_000, b'"opportunities.history'):
        assert not is_one(file(line))


def test_the_head_is_what_comes_before_the_events() -> None:
    stage = {"key": "demo", "label": "Demo", "type": "open"}
    rules = {"line": "pipeline", "stages": [stage]}
    field = {"line": "custom_field", "definition": {"key": "seats", "label": "Seats", "type": "number"}}
    found = head(file(HEADER, USER, rules, field, event(5), end(1, 1)))
    assert (found.header.kind, found.header.currency, [one.email for one in found.people.values()]) == (
        "accounts", "USD", ["rita@yours.example"],
    )  # fmt: skip
    assert found.rules is not None
    assert [one.key for one in found.rules.stages] == ["demo"]
    assert [one.definition.key for one in found.fields] == ["seats"]


def test_a_stream_is_the_events_of_a_record_that_are_together() -> None:
    lines = file(HEADER, event(5), event(5, 2), b"", event(6), end(2, 3))
    found = list(streams(lines))
    assert [(one.id.int, one.kind, one.first, one.last, len(one.events)) for one in found] == [
        (5, "account", 2, 3, 2), (6, "account", 5, 5, 1)
    ]  # fmt: skip
    assert [one.id.int for one in streams(lines, 3)] == [6]
    assert list(streams(lines, 5)) == []


def test_a_stream_that_is_too_long_is_read_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "MAX_EVENTS", 2)
    lines = file(HEADER, *(event(5, n) for n in range(1, 5)), event(6), event(6, 2), end(2, 6))
    assert [(one.too_long, len(one.events), one.last) for one in streams(lines)] == [(True, 0, 5), (False, 2, 7)]
    monkeypatch.setattr(event_file, "MAX_STREAM", 5)
    assert [one.too_long for one in streams(lines)] == [True, True]


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        (({**HEADER, "version": 2}, end(0, 0)), 1, "has version 2 of the format; this program reads version 1"),
        (({**HEADER, "kind": "users"},), 1, "no line of a file with history"),
        ((USER, HEADER, end(0, 0)), 1, "must be the header"),
        ((HEADER, HEADER, end(0, 0)), 2, "second header"),
        ((HEADER, {**USER, "email": "a\nb"}, end(0, 0)), 2, "email"),
        ((HEADER, {"line": "planet"}, end(0, 0)), 2, "planet"),
        ((HEADER, b"[1]", end(0, 0)), 2, "no line of a file with history"),
        ((HEADER, b"[" * 100_000, end(0, 0)), 2, "line"),
        ((HEADER, b"\xff\xfe", end(0, 0)), 2, "no line of a file with history"),
        ((HEADER, event(5), b'{"line": "event"', end(1, 1)), 3, "no line of a file with history"),
        ((HEADER, event(5, occurred_at="yesterday"), end(1, 1)), 2, "occurred_at"),
        ((HEADER, event(5), USER, end(1, 1)), 3, "Only events and the end"),
        ((HEADER, event(5), event(5, 2)), 3, "was cut off"),
        ((HEADER,), 1, "was cut off"),
        ((HEADER, event(5), end(1, 2)), 3, "lines are missing"),
        ((HEADER, event(5), event(6), event(5, 2), end(2, 3)), 5, "lines are missing, or in another order"),
        ((HEADER, event(5), end(1, 1), event(6)), 4, "after the last one"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(lines: tuple[Any, ...], place: int, words: str) -> None:
    line, message = problem(*lines)
    assert (line, words in message) == (place, True), message


def test_lines_and_files_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "MAX_LINE", 2_000)
    assert problem(HEADER, event(5, comment="x" * 2_000), end(1, 1)) == (2, "This line has more than 2000 bytes.")
    monkeypatch.setattr(event_head, "MAX_HEAD", 2)
    assert problem(HEADER, USER, USER, end(0, 0))[0] == 3
    monkeypatch.setattr(event_head, "MAX_BYTES", 10)
    assert "export it in parts" in problem(HEADER, end(0, 0))[1]
