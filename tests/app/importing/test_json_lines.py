"""An object a line, flat, with the line of what is none."""

from __future__ import annotations

import pytest

from app.importing.faults import MAX_CELL, MAX_COLUMNS, Unreadable
from app.importing.json_lines import records


def test_what_is_nested_is_named_by_its_path() -> None:
    line = '{"name": "Acme", "account": {"name": "A", "at": {"x": 1}}, "tags": ["a", "b"], "open": true, "none": null}'
    cells = {"name": "Acme", "account.name": "A", "account.at.x": 1, "tags": "a;b", "open": True, "none": None}
    assert list(records(["\n", line])) == [(2, cells)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "must be an object"),
        ('{"a": ' * 5_000 + "1" + "}" * 5_000, "nested"),
        ('{"a": "x\\u0000"}', "NUL"),
        ('{"a": "' + "x" * (MAX_CELL + 1) + '"}', "characters"),
        ("{" + ",".join(f'"{n}": 1' for n in range(MAX_COLUMNS + 1)) + "}", "values"),
        ('{"a": \x01}', "no JSON"),
    ],
)
def test_what_is_no_record_is_told_by_line(line: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as raised:
        list(records(["{}", line]))
    assert raised.value.fault.line == 2
