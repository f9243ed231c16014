"""Every parameter there is, with every value that once broke something somewhere: the answer is a 4xx that names it, or what it
asks for, and never a 5xx."""

from __future__ import annotations

import base64
import json
from itertools import product
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.schema import openapi
from app.settings import Settings
from projections.opportunities.conditions import ORDERINGS
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made

DOCUMENT: Json = msgspec.json.decode(
    msgspec.json.encode(openapi.document(create_app(Settings(database_url="postgresql://nowhere/none"))))
)
NUMBERS = [
    "0", "-1", "1e999999", "-1e999999", "1e-999999", "1E+400", "9" * 20, "9" * 40, "9" * 41, "9" * 5000, "-" + "9" * 40,
    "0." + "0" * 39 + "1",
    "0." + "1" * 5000, "NaN", "sNaN", "Infinity", "-inf", "1_000", "0x10", "٣", "½", "+1", " 1", "1.", ".5", "--1", "2147483647",
    "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "4611686018427387904", "4611686018427387905", "1000000000000", "1000000000001",
]  # fmt: skip
TIMES = [
    "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "-0001-01-01", "2026-02-30", "2026-W01-1", "20260101", "infinity",
    "-infinity", "now", "epoch", "today", "4714-11-24 BC", "294277-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+99:99", "2026-01-01T00:00:00.1234567Z", "2026-01-01T00:00:00Z\n",
]  # fmt: skip
TEXTS = [
    "", " ", "\0", "a\0b", "null", "true", "[]", "{}", "%", "_", "\\", "'", '"', ",", ",,", "-", "--", "me", "a@b", "@", "é" * 255,
    "x" * 256, "x" * 10_000, "," * 300, "\U0001f600", "\u202e", "\ud7ff", "\ufdd0", "\uffff",
    "%(org_id)s", "%s", "$1", "'; DROP TABLE x;--",
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{00000000-0000-0000-0000-000000000000}",
    "urn:uuid:00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000g", "İ", "ß", "ǆ",
]  # fmt: skip
NASTY = [*NUMBERS, *TIMES, *TEXTS]
SOME = 17
RAW = ["%", "%0", "%zz", "%ff", "%c0%80", "%ed%a0%80", "%00", "+", "%2B", "=", "a=b", "%26"]


def operations() -> dict[str, list[str]]:
    """The query parameters of every path that can be read, by path."""
    found: dict[str, list[str]] = {}
    for path, item in DOCUMENT["paths"].items():
        if "get" in item and path.startswith("/api/"):
            parameters = [*item.get("parameters", ()), *item["get"].get("parameters", ())]
            found[path] = [each["name"] for each in parameters if each.get("in") == "query"]
    return found


@pytest.fixture
def paths(org: Org) -> dict[str, str]:
    """Every path that can be read, of records that are there."""
    org.custom_field("seats", "number")
    org.custom_field("since", "date")
    org.custom_field("paid", "checkbox")
    org.custom_field("kinds", "multiselect", options=["a", "b"])
    made(org.admin.put("/api/exchange-rates/", {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1.1"}), 200)
    deal = org.opportunity(
        amount="5", currency="EUR", close_date="2026-06-30", stakeholder_ids=[org.contact()["id"]],
        custom_fields={"seats": 5, "since": "2026-01-01", "paid": True, "kinds": ["a"], "free": 1e300},
    )  # fmt: skip
    hook = made(org.admin.post("/api/webhooks/", {"url": "https://1.1.1.1/x", "events": ["opportunity.won"]}))
    delivery = made(org.admin.post(f"/api/webhooks/{hook['id']}/test/"), 202)
    ids = {
        "opportunities": deal["id"],
        "accounts": deal["account"]["id"],
        "contacts": deal["stakeholders"][0]["id"],
        "users": org.admin_id,
        "webhooks": hook["id"],
        "custom-fields": "seats",
    }
    filled = {}
    for path in operations():
        at = path.replace("{delivery_id}", delivery["id"])
        for name in ("{id}", "{key}"):
            at = at.replace(name, ids.get(path.split("/")[2], ""))
        filled[path] = at
    return filled


def harmless(org: Org, path: str, query: str, **headers: str) -> int:
    reply = org.admin.get(f"{path}?{query}", **headers)
    assert reply.status < 500, (path, query, reply.body)
    if reply.status == 400:
        problem = reply.json()
        assert problem["code"] != "invalid" or problem["errors"], (path, query)
    return reply.status


CUSTOM = [
    *(
        f"cf_{key}{suffix}"
        for key, suffix in product(
            ("seats", "since", "paid", "kinds", "free", "none"), ("", "__gte", "__lt", "__in", "__isnull", "__icontains")
        )
    ),
    "cf_", "cf___in", "cf_\0", "cf_" + "x" * 300,
]  # fmt: skip


def asked(path: str) -> list[str]:
    """The queries of a path, each with one parameter and one value."""
    names = operations()[path] or ["unknown"]
    if "search" in names and "stage" in names:
        names = [*names, *CUSTOM]
    others = "from=2026-01-01T00:00:00Z&" if "from" in names else ""
    queries = [
        ("" if name == "from" else others) + urlencode({name: value}, errors="surrogatepass")
        for name, value in product(names, NASTY)
    ]
    return queries + [f"{name}={value}" for name, value in product(names[:3], RAW)]


@pytest.mark.parametrize("path", sorted(operations()))
def test_no_value_of_any_parameter_is_a_fault_of_ours(org: Org, paths: dict[str, str], path: str) -> None:
    """Some of the values, which differ from parameter to parameter."""
    for query in asked(path)[::SOME]:
        harmless(org, paths[path], query)


@pytest.mark.long
@pytest.mark.parametrize("path", sorted(operations()))
def test_no_value_at_all_of_any_parameter_is_a_fault_of_ours(org: Org, paths: dict[str, str], path: str) -> None:
    for query in asked(path):
        harmless(org, paths[path], query)


def test_a_history_has_an_end_wherever_it_is_asked_from(org: Org, paths: dict[str, str]) -> None:
    path = paths["/api/opportunities/{id}/history/"]
    for offset in (2**31 - 1, 2**31, 10**12):
        assert org.listed(f"offset={offset}&limit=200", path)["results"] == []


def test_a_stream_goes_on_after_a_position_or_says_what_one_is(org: Org) -> None:
    """Asked with HEAD, for the answer to GET has no end."""
    for value in [*NASTY, *RAW]:
        if "\n" in value or "\0" in value or any(ord(character) > 255 for character in value):
            continue  # no header can have it
        reply = org.admin.request("HEAD", "/api/events/", Accept="text/event-stream", Last_Event_ID=value)
        text = value.strip()
        valid = not text or (text.isascii() and text.isdigit() and int(text[:30]) <= 2**62)
        beyond = valid and text and int(text) > 10**6  # more events than any test writes: a position of a log that was lost
        assert reply.status == (410 if beyond else 200 if valid else 400), value


# Cursors


def cursor_of(org: Org, ordering: str) -> str:
    link: str = org.listed(f"cursor=&page_size=1&ordering={ordering}")["next"]
    return link.partition("&cursor=")[2]


def opened(cursor: str) -> tuple[str, list[Any]]:
    """What it begins with, and its values."""
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    name, bracket, values = text.partition("[")
    return name, json.loads(bracket + values)


def closed(name: str, values: Any) -> str:
    return base64.urlsafe_b64encode((name + json.dumps(values, ensure_ascii=False)).encode()).decode().rstrip("=")


@pytest.mark.parametrize("field", sorted(ORDERINGS))
def test_a_forged_cursor_is_told_from_a_true_one_or_does_no_harm(org: Org, field: str) -> None:
    closing: Json = {"stage": "won", "actual_amount": "900", "actual_close_date": "2026-05-05"}
    for _ in range(2):
        org.opportunity(amount=5, close_date="2026-06-30", **closing)
    for ordering in (field, f"-{field},name" if field != "name" else "-name,amount"):
        cursor = cursor_of(org, ordering)
        name, values = opened(cursor)
        assert closed(name, values) == cursor
        assert len(org.listed(f"cursor={cursor}&ordering={ordering}")["results"]) == 1
        others: list[Any] = [*NASTY, None, 1, 1e300, [], {}, True]
        forged: list[Any] = [[*values[:n], other, *values[n + 1 :]] for n, other in product(range(len(values)), others)]
        forged += [values[:-1], [*values, "x"], [], None, "x", {}, [[[[]]]]]
        for one in forged:
            reply = org.admin.get(f"{OPPORTUNITIES}?cursor={closed(name, one)}&ordering={ordering}")
            assert reply.status == 200 or set(errors(reply)) == {"cursor"}, (one, reply.body)


def test_a_number_that_no_column_holds_is_named_as_a_bad_cursor(org: Org) -> None:
    for ordering, value in [("amount", "1e999999"), ("amount", "9" * 41), ("probability", "9" * 10), ("-created_at", "2026-01-01")]:
        for _ in range(2):
            org.opportunity(amount=5)
        name, values = opened(cursor_of(org, ordering))
        reply = org.admin.get(f"{OPPORTUNITIES}?cursor={closed(name, [value, values[1]])}&ordering={ordering}")
        assert set(errors(reply)) == {"cursor"}


def test_a_cursor_says_when_it_is_of_another_ordering_or_of_an_older_version(org: Org) -> None:
    """Though its values would do: texts are texts, and instants instants."""
    for _ in range(2):
        org.opportunity(amount=5)
    for ordering, other in [("name", "stage"), ("created_at", "updated_at"), ("name", "-name"), ("name,stage", "stage,name")]:
        cursor = cursor_of(org, ordering)
        assert "another ordering" in errors(org.admin.get(f"{OPPORTUNITIES}?cursor={cursor}&ordering={other}"))["cursor"]
        older = closed("", opened(cursor)[1])
        assert "an older version" in errors(org.admin.get(f"{OPPORTUNITIES}?cursor={older}&ordering={ordering}"))["cursor"]


@settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(cursor=st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_any_other_text_is_no_cursor(org: Org, cursor: str) -> None:
    if cursor and "\ud800" <= min(cursor) <= "\udfff":
        return
    reply = org.admin.get(f"{OPPORTUNITIES}?{urlencode({'cursor': cursor}, errors='replace')}")
    assert (reply.status == 200) if not cursor else (set(errors(reply)) == {"cursor"})
