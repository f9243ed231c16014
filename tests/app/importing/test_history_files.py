"""Files of the past are known by their columns; a bad line of one is told by line and column."""

from __future__ import annotations

import io

import pytest

from app.importing.faults import Fault, Unreadable
from app.importing.history_files import HistoryReader, Keyed
from app.importing.options import Options
from app.importing.table import understand
from tests.app.importing.reading import NOW, VOCABULARY


def read(text: str) -> list[Keyed | Fault]:
    return list(HistoryReader(understand(io.BytesIO(text.encode())), Options(), VOCABULARY, NOW).entries())


def test_a_plain_history_is_a_key_a_stage_and_a_time() -> None:
    (found,) = read("deal key,stage,entered\n7,Proposal,2026-01-02\n")
    assert isinstance(found, Keyed)
    assert (found.key, found.entry.changes, found.entry.at.day.isoformat()) == ("7", {"stage": "proposal"}, "2026-01-02")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        (",Proposal,2026-01-02", "deal key"),
        ("7,Dreaming,2026-01-02", "stage"),
        ("7,Proposal,soon", "entered"),
        ("7,Proposal,2126-01-02", "entered"),
    ],
)
def test_a_bad_line_is_told_by_line_and_column(line: str, column: str) -> None:
    (found,) = read(f"deal key,stage,entered\n{line}\n")
    assert isinstance(found, Fault)
    assert (found.line, found.column) == (2, column)


def test_a_field_that_is_not_followed_says_nothing() -> None:
    assert read("OpportunityId,Field,OldValue,NewValue,CreatedDate\n1,NextStep,a,b,2026-01-01\n") == []


@pytest.mark.parametrize("header", ["stage,entered,x", "deal key,entered,x", "deal key,stage,x"])
def test_a_file_without_its_columns_is_no_history(header: str) -> None:
    with pytest.raises(Unreadable, match="has no column for"):
        read(f"{header}\n1,2,3\n")
