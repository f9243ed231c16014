"""How a message reads in the terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.cli import message_lines
from consumers import message
from domain.event import Event
from domain.fold import change
from tests.support.domain import EPOCH, created, fold, recorded, won

ADA = b'{"id":"00000000-0000-0000-0000-0000000000c9","email":"ada@acme.example","name":"Ada"}'


def record(event: Event, *past: Event, actor: bytes | None = None) -> Any:
    told = message.record(change(fold(past), recorded(event, len(past) + 1)), b'{"id":"x","name":"Annual 2026"}', actor, EPOCH)
    return SimpleNamespace(value=told.value)


def test_a_line_tells_what_happened_to_what_by_whom() -> None:
    line = message_lines.line(record(created()))
    assert "  opportunity.created " in line
    assert line.endswith("  Annual 2026  by the operator")


def test_a_line_of_a_change_tells_what_was_before() -> None:
    line = message_lines.line(record(won(), created(), actor=ADA))
    assert "  by ada@acme.example  was {" in line
    assert '"stage":"discovery"' in line


@pytest.mark.parametrize("value", [b"nonsense", b"{}"])
def test_what_is_no_message_is_shown_as_it_is(value: bytes) -> None:
    assert message_lines.line(SimpleNamespace(value=value)) == f"?  {value.decode()}"
