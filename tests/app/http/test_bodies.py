"""Bodies become commands, or every complaint there is, by field, and never anything else."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from app.http.bodies import decode
from app.http.problems import Refused
from domain.errors import Invalid
from domain.event import Command
from domain.fields import CustomFields, StakeholderIds, Tags

JSON = "application/json"
ID = "0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c"


class Part(msgspec.Struct, frozen=True):
    key: str
    weight: int = 0


class Sample(Command, frozen=True):
    name: str
    account_id: UUID
    amount: Decimal | UnsetType | None = UNSET
    close_date: date | None = None
    probability: int | None = None
    at: datetime | None = None
    kind: Literal["one", "two"] = "one"
    ids: tuple[UUID, ...] = ()
    custom_fields: dict[str, Any] = msgspec.field(default_factory=dict)


class Nested(Command, frozen=True):
    parts: tuple[Part, ...]
    moves: Literal["all"] | dict[str, tuple[str, ...]] = "all"


def body(**fields: Any) -> bytes:
    return json.dumps({"name": "Annual", "account_id": ID, **fields}).encode()


def refused(raw: bytes, cls: type[Command] = Sample) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        decode(raw, JSON, cls)
    return caught.value.errors


def malformed(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        decode(raw, JSON, Sample)
    assert caught.value.status == 400
    return caught.value.detail


def test_a_good_body_is_the_command() -> None:
    raw = body(amount="24000", close_date="2026-06-30", custom_fields={"competitor": "incumbent_vendor"})
    assert decode(raw, JSON, Sample) == Sample(
        name="Annual",
        account_id=UUID(ID),
        amount=Decimal(24000),
        close_date=date(2026, 6, 30),
        custom_fields={"competitor": "incumbent_vendor"},
    )


@pytest.mark.parametrize("amount", [24000, 24000.10, "24000.10", "1e3", None])
def test_an_amount_may_be_a_number_or_a_decimal_in_a_string(amount: object) -> None:
    found = decode(body(amount=amount), JSON, Sample).amount
    assert found == (None if amount is None else Decimal(str(amount)))


def test_all_that_is_wrong_is_told_at_once_in_words() -> None:
    raw = body(amount="a lot", close_date="30.6.2026", probability="60", kind="three", ids=[ID, 3], name=None)
    assert refused(raw) == {
        "name": ["Must not be null."],
        "amount": ["Must be a number."],
        "close_date": ["Must be a date such as 2026-06-30."],
        "probability": ["Must be a whole number."],
        "kind": ["Must be one of: one, two."],
        "ids.1": ["Must be the id of a record, such as 0197a3c2-7d1e-7b5a-8c3f-2f1e5d6a7b8c."],
    }


def test_missing_fields_are_named() -> None:
    assert refused(b"{}") == {"name": ["This field is required."], "account_id": ["This field is required."]}


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    assert refused(body(close_dat="2026-06-30")) == {"close_dat": ["Unknown field. Did you mean close_date?"]}


def test_read_only_keys_mean_nothing() -> None:
    raw = body(id="x", version=7, created_at=None, account={"id": ID})
    assert decode(raw, JSON, Sample, frozenset({"account"})).name == "Annual"


def test_fields_that_are_given_are_no_keys_of_the_body() -> None:
    assert decode(b'{"name":"Annual"}', JSON, Sample, account_id=UUID(ID)).account_id == UUID(ID)
    with pytest.raises(Invalid):
        decode(body(), JSON, Sample, account_id=UUID(ID))


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1_000", " 1", "٣", "", "1E+400000", True, [], {}])
def test_what_only_python_takes_for_a_number_is_none(amount: object) -> None:
    assert refused(body(amount=amount)) == {"amount": ["Must be a number."]}


def test_nul_characters_are_refused_by_field() -> None:
    raw = body(name="a\0b", custom_fields={"note": ["x", "\0"]})
    message = ["Must not contain the NUL character."]
    assert refused(raw) == {"name": message, "custom_fields.note.1": message}
    assert decode(body(name="a\\u0000b"), JSON, Sample).name == "a\\u0000b"


def test_half_a_surrogate_pair_is_refused_by_field() -> None:
    assert list(refused(b'{"name":"\\ud800","account_id":"%s"}' % ID.encode())) == ["name"]
    assert "surrogate" in malformed(body(**{"\ud800": 1}))


def test_nesting_without_end_is_refused() -> None:
    deep = b'{"name":"x","account_id":"%s","custom_fields":{"a":%s}}'
    assert refused(deep % (ID.encode(), b"[" * 30 + b"]" * 30)) == {"custom_fields": ["Is nested deeper than 16 levels."]}
    assert "nested" in malformed(deep % (ID.encode(), b"[" * 100_000 + b"]" * 100_000))


def test_numbers_beyond_all_bounds_are_refused() -> None:
    assert refused(b'{"name":"x","account_id":"%s","custom_fields":{"a":1e999}}' % ID.encode()) == {
        "custom_fields.a": ["This number is too large."]
    }
    assert "digits" in malformed(b'{"name":"x","probability":%s}' % (b"9" * 5000))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "line 1, column 2"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"\xef\xbb\xbf", "empty"),
        (b'{"name":"\xff"}', "UTF-8"),
        (b'{"name":NaN}', "NaN"),
        (b'{"name":-Infinity}', "Infinity"),
        (b'{"name":"x"} {}', "line 1"),
        (b"name=x", "JSON"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_place(raw: bytes, told: str) -> None:
    assert told in malformed(raw)


@pytest.mark.parametrize("media_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_other_media_types_are_refused(media_type: str | None) -> None:
    with pytest.raises(Refused) as caught:
        decode(body(), media_type, Sample)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/merge-patch+json"]
)
def test_json_may_say_its_charset(media_type: str) -> None:
    assert decode(body(), media_type, Sample).name == "Annual"


def test_another_charset_is_refused() -> None:
    with pytest.raises(Refused):
        decode(body(), "application/json; charset=latin-1", Sample)


def test_instants_need_a_zone_and_come_in_utc() -> None:
    assert decode(body(at="2026-06-30T12:00:00+02:00"), JSON, Sample).at == datetime(2026, 6, 30, 10, tzinfo=UTC)
    for text in ("2026-06-30T12:00:00", "9999-12-31T23:59:59-14:00", "2026-06-30", 5):
        assert refused(body(at=text)) == {"at": ["Must be an instant such as 2026-06-30T12:00:00Z."]}


def test_what_is_wrong_inside_lists_and_objects_is_named_by_its_place() -> None:
    raw = json.dumps({"parts": [{"key": "a", "wieght": 1}, {"weight": "x"}, 3], "moves": {"a": "b"}}).encode()
    assert refused(raw, Nested) == {
        "parts.0.wieght": ["Unknown field. Did you mean weight?"],
        "parts.1.key": ["This field is required."],
        "parts.1.weight": ["Must be a whole number."],
        "parts.2": ["Must be an object."],
        "moves": ["Must be one of: all. Or: Must be an object."],
    }


def test_complaints_are_limited_whatever_is_sent() -> None:
    assert len(refused(body(**{f"key{n}": n for n in range(5000)}))) == 50


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*Sample.__struct_fields__, "id", "x"]), values) | values)
def test_any_json_is_a_command_or_a_complaint(value: object) -> None:
    complaint = complaint_about(json.dumps(value).encode())
    match complaint:
        case Invalid():
            assert complaint.errors
            assert msgspec.json.encode(complaint.errors)
        case Refused():
            assert complaint.status == 400


def complaint_about(raw: bytes) -> Exception | None:
    try:
        decode(raw, JSON, Sample)
    except (Invalid, Refused) as error:
        return error
    return None


@settings(deadline=None)
@given(st.binary() | st.text(alphabet='{}[]",:0123456789eE.-\\untrfalsame ').map(str.encode))
def test_any_bytes_are_a_command_or_a_complaint(raw: bytes) -> None:
    with pytest.raises((Invalid, Refused)):
        decode(raw, JSON, Sample)


@pytest.mark.parametrize("probability", ["60.0", "6e1", "60.00", "6.0E+1", "600e-1"])
def test_a_number_without_a_fraction_is_a_whole_number(probability: str) -> None:
    raw = b'{"name":"x","account_id":"%s","amount":0.10,"probability":%s}' % (ID.encode(), probability.encode())
    found = decode(raw, JSON, Sample)
    assert (found.probability, type(found.probability), found.amount) == (60, int, Decimal("0.10"))
    nested = decode(b'{"parts":[{"key":"a","weight":%s}]}' % probability.encode(), JSON, Nested)
    assert nested.parts == (Part("a", 60),)


@pytest.mark.parametrize("probability", ["60.5", "1e300", "1e19", "1e18", '"60"', '"60.0"', "true", "[]"])
def test_what_is_no_whole_number_is_refused_as_before(probability: str) -> None:
    raw = b'{"name":"x","account_id":"%s","probability":%s}' % (ID.encode(), probability.encode())
    assert refused(raw) == {"probability": ["Must be a whole number."]}


def test_a_whole_number_with_a_point_makes_nothing_else_be_taken_loosely() -> None:
    raw = body(probability=60.0, close_date="null", name=5)
    assert set(refused(raw)) == {"close_date", "name"}


def test_a_byte_order_mark_before_json_means_nothing() -> None:
    assert decode(b"\xef\xbb\xbf" + body(), JSON, Sample).name == "Annual"


class Capped(Command, frozen=True):
    ids: StakeholderIds
    tags: Tags = ()
    custom_fields: CustomFields = msgspec.field(default_factory=dict)


def test_a_list_or_object_that_is_too_long_is_one_complaint_and_its_items_are_none() -> None:
    raw = json.dumps({"ids": ["x"] * 60_000, "tags": [1] * 51, "custom_fields": {f"k{n}": n for n in range(101)}}).encode()
    assert refused(raw, Capped) == {
        "ids": ["At most 100 items; got 60000."],
        "tags": ["At most 50 items; got 51."],
        "custom_fields": ["At most 100 keys; got 101."],
    }


def test_a_body_of_too_many_values_is_refused_whatever_it_is_of() -> None:
    many = body(custom_fields={f"k{n}": [0] * 9_999 for n in range(3)})
    assert list(refused(many)) == ["custom_fields"]
    assert "25002 keys" in malformed(body(**{f"k{n}": n for n in range(25_000)}))
    assert refused(body(custom_fields={"k": [0] * 10_001})) == {"custom_fields.k": ["At most 10000 items; got 10001."]}


def test_complaints_do_not_repeat_long_keys() -> None:
    long = "k" * 100_000
    for fields in ({long: 1}, {"custom_fields": {long: "\0"}}):
        assert all(len(name) < 200 for name in refused(body(**fields)))
    raw = json.dumps({"parts": [{"key": "a", long: 1}], "moves": {long: ["\0"]}}).encode()
    assert all(len(name) < 200 for name in refused(raw, Nested))


def test_items_are_complained_about_as_long_as_there_is_room() -> None:
    raw = json.dumps({"parts": [{"key": 1, "weight": "x"}] * 5_000}).encode()
    assert len(refused(raw, Nested)) == 50


class ByReference(Command, frozen=True):
    name: str
    account_id: UUID
    owner_id: UUID | None = None
    stakeholder_ids: tuple[UUID, ...] = ()


def test_who_sends_a_record_in_place_of_its_id_is_told_what_to_send() -> None:
    read_only = frozenset({"account", "owner", "stakeholders", "status"})
    raw = json.dumps({"name": "x", "account": {"id": ID}, "owner": {"id": ID}, "stakeholders": [], "status": "open"}).encode()
    with pytest.raises(Invalid) as caught:
        decode(raw, JSON, ByReference, read_only)
    assert caught.value.errors == {
        "account_id": ["This field is required."],
        "account": ["This is read-only: send account_id."],
        "owner": ["This is read-only: send owner_id."],
        "stakeholders": ["This is read-only: send stakeholder_ids."],
    }
