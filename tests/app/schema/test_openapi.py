"""The OpenAPI document says of every operation all that a client must know, and its examples are true."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import jsonschema_rs
import pytest

from app.http.operations import HIDDEN, Operation
from app.main import create_app
from app.schema import openapi
from app.settings import Settings
from consumers.webhooks.redelivery import TEST
from domain.webhook_endpoint import EVENT_TYPES

Json = dict[str, Any]
VERBS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> Json:
    return openapi.document(create_app(Settings(database_url="postgresql://nowhere/none")))


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            assert verb in VERBS
            yield path, verb, operation


def resolved(document: Json, node: Json) -> Json:
    while "$ref" in node:
        target: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def validator(document: Json, schema: Json) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)


def test_every_route_describes_itself() -> None:
    app = create_app(Settings(database_url="postgresql://nowhere/none"))
    for route in app.routes:
        for handler in route.route_handlers:  # type: ignore[union-attr]
            if handler.http_methods != {"OPTIONS"}:
                operation = handler.opt.get("operation")
                assert isinstance(operation, Operation), handler
                assert operation is HIDDEN or operation.summary, handler


def test_tags_come_in_the_order_of_what_a_reader_looks_for_and_say_what_they_hold(document: Json) -> None:
    names = [tag["name"] for tag in document["tags"]]
    assert (names[:2], names[-1]) == (["Opportunities", "Forecast"], "Operations")
    assert all(tag["description"].endswith(".") for tag in document["tags"])
    told = dict.fromkeys(operation["tags"][0] for _, _, operation in operations(document))
    assert list(told) == names


def nodes(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(value)


def test_instants_enums_lists_and_maps_are_of_a_type_that_generators_know(document: Json) -> None:
    for node in nodes({name: document[name] for name in ("paths", "webhooks")} | document["components"]):
        assert not isinstance(node.get("items"), bool), node
        if node.get("type") == "object":
            assert "properties" in node or "additionalProperties" in node, node
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            kinds = field.get("anyOf", [field])
            assert all("type" in one for one in kinds if "enum" in one), (name, field)
            assert not name.endswith("_at") or "date-time" in [one.get("format") for one in kinds], (name, field)


def test_no_two_paths_are_ambiguous(document: Json) -> None:
    def alike(part: str, other: str) -> bool:
        """Whether one place of a path can be the same in both; an id is a UUID, as no word is."""
        return part == other or ("{" in part + other and ("{id}" not in (part, other) or ("{" in part and "{" in other)))

    def fit(one: list[str], other: list[str]) -> bool:
        same = len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other, strict=True))
        return same and sum("{" in part for part in one) == sum("{" in part for part in other)

    paths = [path.split("/") for path in document["paths"]]
    assert [(one, other) for one, other in combinations(paths, 2) if fit(one, other)] == []


def test_every_type_of_event_has_the_request_that_an_endpoint_is_sent(document: Json) -> None:
    assert set(document["webhooks"]) == {*EVENT_TYPES, TEST}
    for type_, item in document["webhooks"].items():
        body = item["post"]["requestBody"]["content"]["application/json"]
        validator(document, body["schema"]).validate(body["example"])
        assert body["example"]["type"] == type_
        assert {"webhook-id", "webhook-timestamp", "webhook-signature"} == {each["name"] for each in item["post"]["parameters"]}


def test_operation_ids_are_unique(document: Json) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_operation_has_its_tag_summary_and_errors(document: Json) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for path, verb, operation in operations(document):
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        responses = operation["responses"]
        assert any(status.startswith("2") for status in responses)
        if not path.startswith("/api"):
            assert operation["security"] == []
            continue
        assert "security" not in operation
        assert {"400", "401", "429", "503"} <= set(responses), (path, verb)
        if "{" in path:
            assert "404" in responses
        if "requestBody" in operation:
            assert {"413", "415"} <= set(responses)
            assert all("example" in one for one in operation["requestBody"]["content"].values()), (path, verb)
        if verb == "post":
            assert "422" in responses
            assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}


def test_every_error_is_a_problem_with_an_example(document: Json) -> None:
    problem = validator(document, {"$ref": "#/components/schemas/Problem"})
    for status, response in document["components"]["responses"].items():
        example = response["content"]["application/problem+json"]["example"]
        problem.validate(example)
        assert example["status"] == int(status)


def test_every_reference_leads_somewhere(document: Json) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert resolved(document, node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)


def test_every_example_is_as_its_schema_says(document: Json) -> None:
    for path, verb, operation in operations(document):
        contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
        contents += [resolved(document, response).get("content", {}) for response in operation["responses"].values()]
        for content in contents:
            for media in content.values():
                if "example" in media:
                    errors = [
                        f"{error.instance_path}: {error.message}"
                        for error in validator(document, media["schema"]).iter_errors(media["example"])
                    ]
                    assert not errors, (path, verb, errors)


def test_bodies_are_closed_all_the_way_down(document: Json) -> None:
    schemas = document["components"]["schemas"]
    for _, _, operation in operations(document):
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            schema = resolved(document, content["schema"])
            assert schema["additionalProperties"] is False
    assert schemas["Stage"]["additionalProperties"] is False
    assert "hash" not in schemas["TokenCreate"]["properties"]
    assert "hash" not in schemas["Token"]["properties"]


def test_every_filter_of_a_list_is_a_parameter(document: Json) -> None:
    names = {parameter["name"] for parameter in document["paths"]["/api/opportunities/"]["get"]["parameters"]}
    assert {
        "stage", "owner", "account", "close_date__gte", "close_date__lte", "amount__gte", "tags", "tags__all", "search",
        "page", "page_size", "limit", "offset", "cursor", "ordering", "fields", "as_of",
    } <= names  # fmt: skip
