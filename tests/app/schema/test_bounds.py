"""Every bound that the OpenAPI document states is true of the API: what is at it is taken, what is one beyond it refused by name.

The cases come from the document itself, so a bound that is stated is tested; those that it has no words for are at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest

from app.main import create_app
from app.schema import openapi
from app.settings import Settings
from tests.support import imports
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, raw, refused
from tests.support.server import Reply

_numbers = count(1)
DOCUMENT = openapi.document(create_app(Settings(database_url="postgresql://nowhere/none")))
CLOSED = {"stage": "won", "actual_amount": "1", "actual_close_date": "2026-01-01"}


class Bound(NamedTuple):
    """``keys`` lead from a body to the value; a parameter is its one key. ``schema`` is the value's."""

    method: str
    path: str
    parameter: bool
    keys: tuple[str | int, ...]
    word: str
    number: int
    schema: Json


LOWER = ("minimum", "exclusiveMinimum", "minItems", "minLength")
WORDS = {*LOWER, "maximum", "maxItems", "maxLength", "maxProperties"}


def resolved(schema: Json) -> Json:
    if "$ref" in schema:
        found: Json = DOCUMENT["components"][schema["$ref"].split("/")[2]][schema["$ref"].split("/")[3]]
        return found
    return schema


def places(schema: Json, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """The schemas in a schema that say something of a value, with the way to it; of a list, to its first item."""
    schema = resolved(schema)
    for option in schema.get("anyOf", ()):
        yield from places(option, keys)
    yield keys, schema
    for name, value in schema.get("properties", {}).items():
        yield from places(value, (*keys, name))
    if isinstance(schema.get("items"), dict):
        yield from places(schema["items"], (*keys, 0))


def stated() -> Iterator[Bound]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            found = []
            for body in operation.get("requestBody", {}).get("content", {}).values():
                found += [(False, keys, schema) for keys, schema in places(body["schema"]) if keys]
            for one in map(resolved, operation.get("parameters", ())):
                if one["in"] == "query":
                    found += [(True, (one["name"],), schema) for keys, schema in places(one["schema"]) if not keys]
            exclusive = {keys for _, keys, schema in found if "exclusiveMinimum" in schema}
            for parameter, keys, schema in found:
                for word in sorted(WORDS & schema.keys()):
                    empty = parameter and word in ("minItems", "minLength")  # an empty parameter is none
                    if not empty and not (word == "minimum" and keys in exclusive):
                        yield Bound(method, path, parameter, keys, word, schema[word], schema)


BODIES: dict[tuple[str, str], Json] = {
    ("post", "/api/opportunities/"): {"name": "A", **CLOSED},
    ("put", "/api/opportunities/{id}/"): {"name": "A", **CLOSED},
    ("patch", "/api/opportunities/{id}/"): CLOSED,
    ("post", "/api/opportunities/{id}/transition/"): CLOSED,
    ("post", "/api/opportunities/{id}/activities/"): {"type": "note", "subject": "A"},
    ("post", "/api/accounts/"): {"name": "A"},
    ("post", "/api/contacts/"): {"first_name": "A", "last_name": "B"},
    ("post", "/api/opportunities/bulk/"): {"mode": "independent"},
    ("post", "/api/accounts/bulk/"): {"mode": "independent"},
    ("post", "/api/contacts/bulk/"): {"mode": "independent"},
    ("put", "/api/opportunities/by-external-id/{value}/"): {"name": "A", **CLOSED},
    ("put", "/api/accounts/by-external-id/{value}/"): {"name": "A"},
    ("put", "/api/contacts/by-external-id/{value}/"): {"first_name": "A", "last_name": "B"},
    ("post", "/api/users/"): {"email": "someone@yours.com", "name": "A"},
    ("put", "/api/pipeline/"): {
        "stages": [
            {"key": "s", "label": "S", "type": "open"},
            {"key": "won", "label": "W", "type": "won"},
            {"key": "lost", "label": "L", "type": "lost"},
        ],
        "lost_reasons": [{"code": "r", "label": "R"}],
    },
    ("post", "/api/custom-fields/"): {"key": "k", "label": "K", "type": "dropdown", "options": [{"value": "o", "label": "O"}]},
    ("patch", "/api/custom-fields/{key}/"): {"options": [{"value": "o", "label": "O"}]},
    ("put", "/api/exchange-rates/"): {"currency": "EUR", "valid_from": "2026-01-01", "rate": "1"},
    ("post", "/api/tokens/"): {"name": "A"},
    ("post", "/api/webhooks/"): {"url": "https://hooks.example.com/", "events": ["opportunity.won"]},
}
OPEN = {"stage": "discovery", "actual_amount": None, "actual_close_date": None}
LOST = {"stage": "lost", "actual_amount": None, "actual_close_date": None}


def item(bound: Bound, number: int) -> Any:
    """One of many: valid, and another for each number where they must differ."""
    match bound.keys[-1]:
        case "operations":
            return {"op": "delete", "ref": number}
        case "events":
            return "opportunity.won"
        case "stages":
            type_ = {1: "won", 2: "lost"}.get(number, "open")
            return {"key": f"s{number}", "label": "S", "type": type_}
        case "lost_reasons":
            return {"code": f"r{number}", "label": "R"}
    return f"o{number}"


def sized(bound: Bound, size: int) -> Any:
    """A value of this size, or this value."""
    if bound.word in ("minimum", "exclusiveMinimum", "maximum"):
        return size
    if bound.word == "maxProperties":
        return {f"s{number}" if bound.keys[-1] == "transitions" else f"k{number}": [] for number in range(size)}
    if bound.word.endswith("Items"):
        return ",".join([sample(bound.schema["items"])] * size) if bound.parameter else [item(bound, n) for n in range(size)]
    if bound.keys[-1] in ("email", "owner_email"):
        return f"{'a' * 64}@{'.'.join(['b' * 63] * 4)}"[: size - 4] + ".com" if size > 64 else "x" * size
    return "https://example.com/".ljust(size, "x") if bound.keys[-1] == "url" else "x" * size


def sample(schema: Json) -> str:
    """A value of a parameter that is one of several."""
    schema = resolved(schema)
    if "enum" in schema:
        return str(schema["enum"][0])
    formats = {"uuid": "00000000-0000-7000-8000-000000000999", "email": "a@b.example", "date": "2026-01-01"}
    if "format" in schema or "anyOf" in schema:
        return formats[schema.get("format", "date")]
    return {"integer": "1", "number": "1", "boolean": "true"}.get(schema["type"], "USD" if "pattern" in schema else "me")


def put(body: Json, keys: tuple[str | int, ...], value: Any) -> None:
    *way, last = keys
    place: Any = body
    for key in way:
        place = place[key]
    place[last] = value


class Ground:
    """An org with a record of every kind, for the paths that name one."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.account, self.contact = org.account()["id"], org.contact()["id"]
        org.custom_field("k", "dropdown", options=["a"])
        self.ids = {
            "accounts": self.account,
            "contacts": self.contact,
            "users": org.user()["id"],
            "imports": made(imports.send(org.admin, b"Name,Account\nA,Acme\n"))["id"],
            "webhooks": made(org.admin.post("/api/webhooks/", BODIES["post", "/api/webhooks/"]))["id"],
        }

    def sent(self, bound: Bound, size: int) -> Reply:
        value, kind = sized(bound, size), bound.path.split("/")[2]
        path = bound.path.replace("{key}", "k")
        if "{id}" in path:
            id_ = self.org.opportunity(account_id=self.account)["id"] if kind == "opportunities" else self.ids[kind]
            path = path.replace("{id}", id_)
        if bound.parameter:
            return self.org.admin.get(f"{path}?{urlencode({str(bound.keys[0]): value}, quote_via=quote)}")
        if bound.keys[-1] == "stakeholder_ids":
            value = [self.contact] * size
        self.name(str(bound.keys[0]), value)
        if "{value}" in path:
            path = path.replace(
                "{value}", quote(value if bound.keys[-1] == "external_id" and value else f"A{next(_numbers)}", safe="")
            )
        return self.org.admin.request(bound.method.upper(), path, self.body(bound, value))

    def name(self, key: str, value: Any) -> None:
        """See to it that there is a record of this name, if there can be one."""
        match key:
            case "account_external_id":
                self.org.admin.post("/api/accounts/", {"name": "A", "external_id": value})
            case "stakeholder_external_ids":
                for one in value if isinstance(value, list) else [value]:
                    self.org.admin.post("/api/contacts/", {"first_name": "A", "last_name": "B", "external_id": one})
            case "owner_email":
                self.org.admin.post("/api/users/", {"email": value, "name": "A"})

    def body(self, bound: Bound, value: Any) -> Json:
        body = deepcopy(BODIES.get((bound.method, bound.path), {}))
        deals = ("/api/opportunities/", "/api/opportunities/{id}/", "/api/opportunities/by-external-id/{value}/")
        if bound.path in deals and bound.keys[0] != "account_external_id":
            body["account_id"] = self.account
        if bound.keys[0] == "stakeholder_external_ids":
            body["stakeholder_external_ids"] = [None]
        if "stage" in body:
            body |= {"lost_reason": LOST, "probability": OPEN}.get(str(bound.keys[0]), {})
        place: Any = body
        for key in bound.keys[:-1]:
            place = place[key]
        place[bound.keys[-1]] = value
        return body


@pytest.fixture
def ground(org: Org) -> Ground:
    return Ground(org)


def complaint(reply: Reply, name: str) -> str:
    """What is said of a value, or of the list that it is in; empty if nothing is."""
    said = errors(reply) if reply.status == 400 else {}
    return next((text for path, text in said.items() if f"{name}.".startswith(f"{path}.")), "")


@pytest.mark.parametrize("path", sorted({bound.path for bound in stated()}))
def test_a_bound_of_the_document_is_taken_at_it_and_refused_beyond_it(ground: Ground, path: str) -> None:
    wrong: list[tuple[object, ...]] = []
    for bound in stated():
        if bound.path != path or (path.endswith("/bulk/") and len(bound.keys) > 1):  # of one operation: tests/app/http/test_bulk.py
            continue
        further = -1 if bound.word in LOWER else 1
        at = bound.number + (bound.word == "exclusiveMinimum")
        name = ".".join(map(str, bound.keys))
        taken, beyond = ground.sent(bound, at), ground.sent(bound, at + further)
        if taken.status not in (200, 201, 400, 409) or complaint(taken, name):
            wrong.append((*bound[:6], "is refused", taken.body))
        if not complaint(beyond, name):
            wrong.append((*bound[:6], "does not hold", beyond.status, beyond.body))
    assert not wrong


def test_the_document_states_bounds_of_bodies_and_parameters() -> None:
    """So many that a document which lost them would be noticed."""
    found = list(stated())
    assert len([bound for bound in found if bound.parameter]) > 140
    assert len([bound for bound in found if not bound.parameter]) > 100


# What has no word in the document.


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        ({"stage": [f"s{n}" for n in range(101)]}, "stage"),
        ({"owner": [f"00000000-0000-7000-8000-000000000{n}" for n in range(100, 201)]}, "owner"),
        ({"currency": ["USD"] * 101}, "currency"),
        ({"custom_fields": {f"k{n}": 1 for n in range(101)}}, "custom_fields"),
    ],
)
def test_a_webhook_filters_by_a_hundred_values_at_most(org: Org, filters: Json, name: str) -> None:
    values = filters[name]
    hundred = {name: dict(list(values.items())[:100]) if isinstance(values, dict) else values[:100]}
    body = BODIES["post", "/api/webhooks/"]
    assert made(org.admin.post("/api/webhooks/", {**body, "filters": hundred}))
    assert list(errors(org.admin.post("/api/webhooks/", {**body, "filters": filters}))) == [f"filters.{name}"]


def test_a_webhook_filters_by_one_amount_at_least_and_at_most(org: Org) -> None:
    body = BODIES["post", "/api/webhooks/"]
    for bounds, taken in (({"amount__gte": "5", "amount__lte": "5"}, True), ({"amount__gte": "5.01", "amount__lte": "5"}, False)):
        reply = org.admin.post("/api/webhooks/", {**body, "filters": bounds})
        assert reply.status == 201 if taken else list(errors(reply)) == ["filters.amount__lte"]


def test_an_amount_has_15_digits_before_the_point_and_the_decimals_of_its_currency(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    for amount, currency, taken in [
        ("999999999999999.99", "USD", True), ("1000000000000000", "USD", False), ("0.001", "USD", False),
        ("1", "JPY", True), ("0.1", "JPY", False), ("0.001", "BHD", True), ("0.0001", "BHD", False),
    ]:  # fmt: skip
        reply = org.admin.patch(path, {"amount": amount, "currency": currency})
        assert reply.status == 200 if taken else list(errors(reply)) == ["amount"]


def test_a_rate_has_12_digits_before_the_point_and_12_after_it(org: Org) -> None:
    body = {"currency": "EUR", "valid_from": "2026-01-01"}
    for rate, taken in [
        ("999999999999.999999999999", True), ("1000000000000", False), ("0.000000000001", True), ("0.0000000000001", False),
    ]:  # fmt: skip
        reply = org.admin.put("/api/exchange-rates/", {**body, "rate": rate})
        assert reply.status in (200, 201) if taken else list(errors(reply)) == ["rate"]


def test_a_date_is_of_the_years_1900_to_2199(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    for day, taken in [("1899-12-31", False), ("1900-01-01", True), ("2199-12-31", True), ("2200-01-01", False)]:
        reply = org.admin.patch(path, {"close_date": day})
        assert reply.status == 200 if taken else list(errors(reply)) == ["close_date"]


def test_what_nobody_defined_has_8_levels_18_digits_and_16384_bytes(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    deepest: Any = 1
    for _ in range(8):
        deepest = [deepest]
    for value, taken in [
        (deepest, True), ([deepest], False), (10**18 - 1, True), (10**18, False), ("x" * 16_376, True), ("x" * 16_377, False),
    ]:  # fmt: skip
        reply = org.admin.patch(path, {"custom_fields": {"k": value}})
        assert reply.status == 200 if taken else next(iter(errors(reply))).startswith("custom_fields")


def test_a_forecast_is_of_120_months_at_most(org: Org) -> None:
    assert org.admin.get("/api/opportunities/forecast/?close_date__gte=2020-01-31&close_date__lte=2029-12-01").status == 200
    reply = org.admin.get("/api/opportunities/forecast/?close_date__gte=2020-01-31&close_date__lte=2030-01-01")
    assert list(errors(reply)) == ["close_date__lte"]


def test_a_body_has_a_mebibyte_at_most(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    assert org.admin.patch(path, b'{"name":"B"}'.ljust(1_048_576)).status == 200
    assert refused(org.admin.patch(path, b'{"name":"B"}'.ljust(1_048_577)), 413)


def test_a_body_has_25000_values_at_most(org: Org) -> None:
    path = f"{OPPORTUNITIES}{org.opportunity()['id']}/"
    for more, too_many in ((0, False), (1, True)):
        fields = {"a": [0] * 10_000, "b": [0] * 10_000, "c": [0] * (4_997 + more)}
        reply = errors(org.admin.patch(path, {"custom_fields": fields}))
        assert ("25000 values" in reply["custom_fields"]) is too_many


def test_a_query_has_200_parameters_at_most(org: Org) -> None:
    for number, code in ((200, "invalid"), (201, "bad_query")):
        assert refused(org.admin.get(f"{OPPORTUNITIES}?{'&'.join(f'x{n}=1' for n in range(number))}"))["code"] == code


def test_an_idempotency_key_has_255_characters_at_most(org: Org) -> None:
    assert made(org.admin.post("/api/accounts/", {"name": "A"}, Idempotency_Key="k" * 255))
    assert refused(org.admin.post("/api/accounts/", {"name": "A"}, Idempotency_Key="k" * 256))["code"] == "bad_header"


def test_a_head_has_100_lines_and_65536_bytes_at_most(org: Org) -> None:
    start = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for lines, status in ((98, 200), (99, 431)):
        assert raw(org.server.port, start + b"".join(b"X-%d: 1\r\n" % n for n in range(lines)) + b"\r\n").status == status
    for size, status in ((65_536, 200), (65_537, 431)):
        rest = size - len(start) - len(b"X: \r\n\r\n")
        assert raw(org.server.port, start + b"X: " + b"x" * rest + b"\r\n\r\n").status == status
