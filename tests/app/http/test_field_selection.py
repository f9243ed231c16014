"""Fields."""

from __future__ import annotations

import msgspec

from app.http.field_selection import parse_fields, select_fields
from app.http.list_envelope import joined
from domain.errors import Errors


def test_fields_pick_keys_in_the_records_own_order() -> None:
    errors: Errors = {}
    names = parse_fields("name,id", ("id", "name", "amount"), errors)
    rendered = joined(b'{"id":1,"amount":"2","name":"x"},{"id":2,"name":"y"}')
    records = [{"id": 1, "amount": "2", "name": "x"}, {"id": 2, "name": "y"}]
    for results in (rendered, records):
        assert msgspec.json.encode(select_fields(results, names)) == b'[{"id":1,"name":"x"},{"id":2,"name":"y"}]'
    assert select_fields(joined(None), names) == []
    parse_fields("nam", ("id", "name"), errors)
    assert errors == {"fields": ["No field 'nam'. Did you mean name?"]}


def test_of_many_unknown_fields_some_are_told() -> None:
    errors: Errors = {}
    assert parse_fields(",".join(["nam"] * 20_000), ("id", "name"), errors) == ()
    assert len(errors["fields"]) == 10
